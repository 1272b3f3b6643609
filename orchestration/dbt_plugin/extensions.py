"""DuckDB's extensions, from wheels of the lock: nothing is downloaded unless that is allowed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.catalog_errors import extension_missing
from orchestration.redaction import redact
from orchestration.sql import quote_literal

if TYPE_CHECKING:
    import duckdb

# In this order: iceberg needs httpfs for the catalog and avro for manifests, and DuckDB would look for them online.
EXTENSIONS = ("httpfs", "avro", "iceberg")


def bundled(name: str) -> Path | None:
    """Return the file of an extension in its wheel, or None if the wheel is not there or is for another DuckDB."""
    import duckdb

    spec = find_spec(f"duckdb_extension_{name}")
    folders = list(spec.submodule_search_locations or []) if spec else []
    pattern = f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"
    return next((path for folder in folders if (path := Path(folder, pattern)).is_file()), None)


def load_extensions(conn: duckdb.DuckDBPyConnection, *, may_download: bool = False) -> None:
    """Load the extensions: from their wheels, else from DuckDB's extension directory, else online if allowed.

    From wheels nothing is written, not even under HOME.

    Raises:
        StackError: PLT-EXTENSION names the extension, version, platform, directory and package.
    """
    import duckdb

    for name in EXTENSIONS:
        path = bundled(name)
        try:
            if path is not None:
                conn.execute(f"LOAD {quote_literal(str(path))}")
                continue
            if may_download:
                conn.execute(f"INSTALL {name}")
            conn.execute(f"LOAD {name}")
        except duckdb.Error as error:
            raise extension_missing(
                name,
                duckdb.__version__,
                _one(conn, "PRAGMA platform"),
                _directory(conn),
                may_download=may_download,
                reason=redact(str(error).splitlines()[0]),
            ) from None


def _directory(conn: duckdb.DuckDBPyConnection) -> str:
    return _one(conn, "SELECT current_setting('extension_directory')") or "~/.duckdb/extensions"


def _one(conn: duckdb.DuckDBPyConnection, sql: str) -> str:
    row = conn.execute(sql).fetchone()
    return str(row[0]) if row else ""
