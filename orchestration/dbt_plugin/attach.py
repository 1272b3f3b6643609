"""DuckDB connections with the Iceberg catalog attached as `lakehouse`, offline as far as DuckDB's extensions go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.dbt_plugin.config import LakehouseConfig
from orchestration.errors import BusyError, CatalogError, MillraceError, StackError, UnreachableError
from orchestration.redaction import redact
from orchestration.sql import quote_literal

if TYPE_CHECKING:
    import duckdb

    from orchestration.settings import Settings

# In this order: iceberg needs httpfs for the catalog and avro for manifests, and DuckDB would look for them online.
EXTENSIONS = ("httpfs", "avro", "iceberg")

_SILENT = re.compile(
    r"could not connect|could not resolve|could not establish|connection (?:refused|reset|error)|timed? ?out|"
    r"server error for HTTP|HTTP (?:Error: )?.*\b50[0234]\b",
    re.IGNORECASE,
)
_REFUSALS: Sequence[tuple[str, str, str]] = (
    (
        r"could not get token|unauthorized|\b401\b|invalid_client",
        "refused the credentials",
        "check CATALOG_CLIENT_ID, CATALOG_CLIENT_SECRET and CATALOG_SCOPE",
    ),
    (r"forbidden|\b403\b", "does not let this client read its configuration", "ask for a grant on the catalog"),
    (
        # The reference server says 400 of a path that it does not know, Polaris 404.
        r"not ?found|\b404\b|bad ?request",
        "has no warehouse {warehouse} under this address",
        "check CATALOG_WAREHOUSE and the path in CATALOG_URI",
    ),
)


def extension_path(name: str) -> Path:
    """Return the file of a DuckDB extension in its wheel.

    Raises:
        StackError: the wheel is not installed, or holds no build for this DuckDB.
    """
    import duckdb

    spec = find_spec(f"duckdb_extension_{name}")
    folders = list(spec.submodule_search_locations or []) if spec else []
    pattern = f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"
    for folder in folders:
        if (path := Path(folder, pattern)).is_file():
            return path
    raise StackError(
        f"the DuckDB extension {name} for DuckDB {duckdb.__version__} is not installed",
        hint="run ./millrace once: it installs the locked packages",
    )


def load_extensions(conn: duckdb.DuckDBPyConnection) -> None:
    """Load the bundled extensions by path: nothing is downloaded and nothing is written under HOME.

    Raises:
        StackError: a wheel is missing.
    """
    for name in EXTENSIONS:
        conn.execute(f"LOAD {quote_literal(str(extension_path(name)))}")


def attach_lakehouse(conn: duckdb.DuckDBPyConnection, settings: Settings, *, read_only: bool = False) -> None:
    """Attach the catalog of the settings as `lakehouse`. A second call on the same database does nothing.

    Raises:
        ConfigError: the settings name no catalog that DuckDB can attach.
        UnreachableError: the catalog does not answer.
        CatalogError: it refused the credentials, the grant or the warehouse.
        StackError: a bundled extension is missing.
    """
    import duckdb

    config = LakehouseConfig.from_settings(settings)
    load_extensions(conn)
    for statement in config.statements(read_only=read_only):
        try:
            conn.execute(statement)
        except duckdb.Error as error:
            # The cause is dropped: DuckDB may quote the statement, and with it a secret.
            raise as_error(str(error), config) from None


def as_error(text: str, config: LakehouseConfig) -> MillraceError:
    """Return the error that a user reads when DuckDB says `text` while it attaches the catalog."""
    first = text.strip().splitlines()[0] if text.strip() else "no reason given"
    reason = redact(first, (secret.get_secret_value() for secret in config.secrets))
    where = f"the Iceberg catalog at {config.uri}"
    is_silent = _SILENT.search(text) is not None
    if not is_silent:
        for pattern, what, hint in _REFUSALS:
            if re.search(pattern, text, re.IGNORECASE):
                return CatalogError(f"{where} {what.format(warehouse=config.warehouse)}: {reason}", hint=hint)
        return CatalogError(
            f"{where} could not be attached: {reason}", hint="`millrace config show` prints its settings"
        )
    return UnreachableError(
        f"{where} does not answer: {reason}",
        hint="start the stack with `./millrace up`, or look at `./millrace status`",
    )


def connect(settings: Settings, read_only: bool = True) -> duckdb.DuckDBPyConnection:
    """Return a connection to the gold file with the catalog attached as `lakehouse`.

    `marts.fct_trips` and `lakehouse.silver.cleaned_trips` are both in reach. Without a gold file a read-only connection
    is an empty database in memory.

    Raises:
        BusyError: another process writes the gold file.
        ConfigError, UnreachableError, CatalogError, StackError: as `attach_lakehouse`.
    """
    path = settings.gold_path
    conn = _open(path, read_only=read_only)
    try:
        attach_lakehouse(conn, settings, read_only=read_only)
    except BaseException:
        conn.close()
        raise
    return conn


def connect_catalog(settings: Settings) -> duckdb.DuckDBPyConnection:
    """Return a connection in memory with only the catalog attached, read-only: it works while gold is being written.

    Raises:
        ConfigError, UnreachableError, CatalogError, StackError: as `attach_lakehouse`.
    """
    import duckdb

    conn = duckdb.connect(":memory:")
    try:
        attach_lakehouse(conn, settings, read_only=True)
    except BaseException:
        conn.close()
        raise
    return conn


def _open(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    import duckdb

    if read_only and not path.is_file():
        return duckdb.connect(":memory:")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return duckdb.connect(str(path), read_only=read_only)
    except (duckdb.IOException, duckdb.ConnectionException) as error:
        if "lock" in str(error) or "different configuration" in str(error):
            holder = re.search(r"PID (\d+)", str(error))
            by = f"process {holder[1]}" if holder else "another connection of this process"
            raise BusyError(f"{path} is being written by {by}", hint="wait until the build has ended") from error
        raise CatalogError(
            f"{path} cannot be opened: {str(error).splitlines()[0]}",
            hint="delete it and run `./millrace run`: it is built from silver",
        ) from error
