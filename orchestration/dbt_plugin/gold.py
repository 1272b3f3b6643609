"""Where the marts are, and a connection that reads them. Imports no dbt: readers start fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.dbt_plugin.attach import connect, connect_catalog
from orchestration.naming import CATALOG, GOLD
from orchestration.settings import Settings
from orchestration.sql import check_identifier, quote_duckdb

if TYPE_CHECKING:
    import duckdb

BUILT_AT = "millrace.built-at"
"""Property of a table that dbt writes: when the last build of it began, ISO 8601; also of one that changed nothing."""

MARTS = "marts"
"""Schema of the marts in the dbt project, and in a local gold file."""


def mart_table(settings: Settings, model: str) -> str:
    """Return the name of a mart for people, such as `lakehouse.gold.fct_trips`; locally `marts.fct_trips`."""
    return ".".join(_parts(settings, model))


def mart_relation(settings: Settings, model: str) -> str:
    """Return the quoted name of a mart in DuckDB SQL, as `connect_gold` knows it.

    Raises:
        ConfigError: `model` is not a plain identifier.
    """
    return ".".join(quote_duckdb(part) for part in _parts(settings, check_identifier(model, "model")))


def connect_gold(settings: Settings, *, read_only: bool = True) -> duckdb.DuckDBPyConnection:
    """Return a connection in which `mart_relation` works, silver in reach as `lakehouse.silver.…`.

    On Iceberg it reads while a build writes. A local gold file can be read only between builds.

    Raises:
        BusyError: another process writes the local gold file.
        ConfigError, UnreachableError, CatalogError, StackError: as `attach_lakehouse`.
    """
    if settings.gold_target == "duckdb":
        return connect(settings, read_only=read_only)
    return connect_catalog(settings, read_only=read_only)


def _parts(settings: Settings, model: str) -> tuple[str, ...]:
    return (CATALOG, GOLD, model) if settings.gold_target == "iceberg" else (MARTS, model)
