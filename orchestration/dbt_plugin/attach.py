"""DuckDB connections with the Iceberg catalog attached, offline as far as DuckDB's extensions go."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.catalog_errors import file_locked, secret_name_unknown
from orchestration.dbt_plugin.attempt import Attempt
from orchestration.dbt_plugin.credentials import Credentials, credentials_of
from orchestration.dbt_plugin.extensions import EXTENSIONS, load_extensions
from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.dbt_plugin.statements import attachment
from orchestration.errors import CatalogError
from orchestration.sql import quote_duckdb

if TYPE_CHECKING:
    import duckdb

    from orchestration.settings import Settings

__all__ = ["EXTENSIONS", "attach_catalog", "attach_lakehouse", "connect", "connect_catalog", "load_extensions"]


def attach_lakehouse(conn: duckdb.DuckDBPyConnection, settings: Settings, *, read_only: bool = False) -> None:
    """Attach the catalog of the settings as `lakehouse`. A second call on the same database does nothing.

    Raises:
        ConfigError: the settings name no catalog that DuckDB can attach.
        CatalogUnreachableError: the catalog does not answer.
        CatalogError: it refused the credentials, the grant or the warehouse.
        StackError: an extension is missing.
    """
    attach_catalog(conn, PluginConfig.from_settings(settings), credentials_of(settings), read_only=read_only)


def attach_catalog(
    conn: duckdb.DuckDBPyConnection, config: PluginConfig, credentials: Credentials, *, read_only: bool = False
) -> None:
    """Attach the catalog that a configuration names, and look whether it is the right one.

    An alias that is attached with other options or credentials is detached first; DuckDB's IF NOT EXISTS would keep it.

    Raises:
        MillraceError: as `attach_lakehouse`; the code says which kind, see docs/polaris.md.
    """
    import duckdb

    # After a name that it does not know, DuckDB would list the tables of every namespace for its "did you mean".
    conn.execute("SET catalog_error_max_schemas = 0")
    load_extensions(conn, may_download=config.allow_extension_download)
    if config.access_delegation == "vended-credentials" and not read_only:
        # For a table that is newer than the transaction, by the catalog's clock, DuckDB 1.5.5 reads an older metadata
        # file, and it does so before it has that table's keys and endpoint: the build fails. Without that file it goes
        # by the snapshots' timestamps. Not for readers: between the two snapshots of one commit they would see the
        # first.
        conn.execute("SET GLOBAL iceberg_use_metadata_log = false")
    wanted = attachment(config, credentials, read_only=read_only, version=duckdb.__version__)
    _require_secret(conn, config)
    found = _attached_options(conn, config.alias)
    if found is not None:
        if found == (config.warehouse, wanted.is_read_only, wanted.shown_options()):
            return
        conn.execute(f"DETACH {quote_duckdb(config.alias)}")
    Attempt(conn, config, credentials, wanted).run()


def connection_config(config: PluginConfig) -> dict[str, Any]:
    """Return what duckdb.connect is told: extensions, memory, threads, spilling."""
    given = {
        "extension_directory": config.extension_directory,
        "memory_limit": config.memory_limit,
        "threads": config.threads,
        "temp_directory": config.temp_directory,
        "max_temp_directory_size": config.max_temp_directory_size,
    }
    found = {name: value for name, value in given.items() if value is not None}
    install = str(config.allow_extension_download).lower()
    return {"allow_persistent_secrets": "false", "autoinstall_known_extensions": install, **found}


def connect(settings: Settings, read_only: bool = True) -> duckdb.DuckDBPyConnection:
    """Return a connection to the gold file with the catalog attached as `lakehouse`.

    Tables of the catalog are `lakehouse.<namespace>.<table>`. Without a gold file a read-only connection is an empty
    database in memory.

    Raises:
        BusyError: another process writes the gold file.
        ConfigError, CatalogUnreachableError, CatalogError, StackError: as `attach_lakehouse`.
    """
    path = settings.gold_path
    return _attached(lambda: _open(path, read_only=read_only), settings, read_only=read_only)


def connect_catalog(settings: Settings, *, read_only: bool = True) -> duckdb.DuckDBPyConnection:
    """Return a connection in memory with only the catalog attached: it works while gold is being written.

    Raises:
        ConfigError, CatalogUnreachableError, CatalogError, StackError: as `attach_lakehouse`.
    """
    import duckdb

    limits = connection_config(PluginConfig.from_settings(settings))
    return _attached(lambda: duckdb.connect(":memory:", config=limits), settings, read_only=read_only)


def _attached(
    make: Callable[[], duckdb.DuckDBPyConnection], settings: Settings, *, read_only: bool
) -> duckdb.DuckDBPyConnection:
    conn = make()
    try:
        _forbid_foreign_secrets(conn)
        attach_lakehouse(conn, settings, read_only=read_only)
    except BaseException:
        conn.close()
        raise
    return conn


def _forbid_foreign_secrets(conn: duckdb.DuckDBPyConnection) -> None:
    """Leave aside the secrets that other processes stored under HOME.

    Not by duckdb.connect's config: a file that this process has open already must be opened with the same one.
    """
    if conn.execute("SELECT current_setting('allow_persistent_secrets')").fetchone() == (True,):
        conn.execute("SET allow_persistent_secrets = false")


def _attached_options(conn: duckdb.DuckDBPyConnection, alias: str) -> tuple[str, bool, dict[str, str]] | None:
    row = conn.execute(
        "SELECT path, readonly, options FROM duckdb_databases() WHERE database_name = ?", [alias]
    ).fetchone()
    return None if row is None else (str(row[0]), bool(row[1]), dict(row[2] or {}))


def _require_secret(conn: duckdb.DuckDBPyConnection, config: PluginConfig) -> None:
    name = config.properties.get("SECRET")
    if name is None:
        return
    names = {str(one).lower() for (one,) in conn.execute("SELECT name FROM duckdb_secrets()").fetchall()}
    if str(name).lower() not in names:
        raise secret_name_unknown(str(name))


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
            raise file_locked(str(path), by) from error
        raise CatalogError(
            f"{path} cannot be opened: {str(error).splitlines()[0]}",
            hint="delete it and run `./millrace run`: it is built from silver",
        ) from error
