"""Size, snapshots and age of each table of the lakehouse, from metadata alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError
from pyiceberg.table import Table

from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.client import catalog_errors
from orchestration.contracts import DatasetContract
from orchestration.dbt_plugin.attach import connect
from orchestration.dbt_plugin.gold import MARTS
from orchestration.dbt_plugin.query import run_query
from orchestration.naming import GOLD
from orchestration.settings import Settings
from orchestration.sql import quote_literal


@dataclass(frozen=True)
class TableFacts:
    """A table. None: it was never written, or (files, snapshots) it is no Iceberg table.

    Attributes:
        snapshots: those that are kept.
        written_at: time of the current snapshot.
    """

    name: str
    rows: int | None
    size_bytes: int | None
    files: int | None
    snapshots: int | None
    snapshot_id: int | None
    written_at: datetime | None


def read_tables(settings: Settings, contract: DatasetContract) -> list[TableFacts]:
    """Return the tables of the dataset that are there, bronze first, then those of gold by name.

    Raises:
        UnreachableError, CatalogError: the catalog does not answer or refuses.
        BusyError: another process writes the local gold file.
    """
    catalog = open_catalog(settings)
    names = [contract.tables.bronze, contract.tables.silver, contract.tables.rejected]
    if settings.gold_target == "iceberg":
        names += _gold_names(catalog)
    found = [describe(name, table) for name in names if (table := find_table(catalog, name)) is not None]
    return found + (_local_marts(settings) if settings.gold_target == "duckdb" else [])


def describe(name: str, table: Table) -> TableFacts:
    """Return the facts of an Iceberg table as its current snapshot tells them."""
    snapshot = table.current_snapshot()
    summary = snapshot.summary if snapshot is not None else None

    def number(key: str) -> int | None:
        value = summary.get(key) if summary is not None else None
        return int(value) if value is not None else None

    return TableFacts(
        name,
        rows=number("total-records"),
        size_bytes=number("total-files-size"),
        files=number("total-data-files"),
        snapshots=len(table.metadata.snapshots),
        snapshot_id=snapshot.snapshot_id if snapshot is not None else None,
        written_at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC) if snapshot is not None else None,
    )


def _gold_names(catalog: Catalog) -> list[str]:
    with catalog_errors(str(catalog.properties.get("uri", "")), f"listing {GOLD}"):
        try:
            return sorted(".".join(identifier) for identifier in catalog.list_tables(GOLD))
        except NoSuchNamespaceError:
            return []


def _local_marts(settings: Settings) -> list[TableFacts]:
    """Return the marts of the local file; DuckDB counts the rows of a table itself, and knows no size of it."""
    if not settings.gold_path.is_file():
        return []
    at = datetime.fromtimestamp(settings.gold_path.stat().st_mtime, UTC)
    query = (
        "select table_name, estimated_size from duckdb_tables()"
        f" where schema_name = {quote_literal(MARTS)} order by table_name"
    )
    with connect(settings) as connection:
        rows = run_query(connection, query).rows
    return [TableFacts(f"{MARTS}.{name}", int(str(size)), None, None, None, None, at) for name, size in rows]
