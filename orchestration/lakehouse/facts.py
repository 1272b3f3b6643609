"""Single facts about the tables, for checks: nulls, distinct keys, and whether a layer moved on since the one below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestration.broker.offsets import try_log_offsets
from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.progress import BronzeMark, SilverMark, read_mark
from orchestration.catalog.snapshots import added_rows, current_id, snapshots_after
from orchestration.contracts import DatasetContract
from orchestration.dbt_plugin.attach import connect_catalog
from orchestration.generator.ledger import Ledger
from orchestration.lakehouse.replay import read_replayed
from orchestration.naming import CATALOG
from orchestration.settings import Settings
from orchestration.sql import quote_duckdb, split_table


@dataclass(frozen=True)
class NullCounts:
    """Rows of a table, and of each looked-at column how many are NULL."""

    rows: int
    nulls: Mapping[str, int]

    def rate(self, column: str) -> float:
        """Return the share of NULLs, 0 to 1; 0 for an empty table."""
        return self.nulls[column] / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class KeyCounts:
    """Rows of silver and how many different surrogate keys they have."""

    rows: int
    keys: int

    @property
    def repeated(self) -> int:
        """Rows beyond the first of their key, and rows without one."""
        return self.rows - self.keys


def time_columns(contract: DatasetContract) -> tuple[str, ...]:
    """Return the source columns of times that every event has: the event time, and required dates and times."""
    return tuple(
        column.name
        for column in contract.columns
        if column.name == contract.event_time or (column.is_required and column.json_type in ("date-time", "date"))
    )


def count_nulls(settings: Settings, contract: DatasetContract, columns: Sequence[str]) -> NullCounts:
    """Count NULLs of bronze columns; zero rows if there is no bronze yet.

    Raises:
        UnreachableError, CatalogError: the catalog does not answer or refuses.
    """
    table = contract.tables.bronze
    if find_table(open_catalog(settings), table) is None:
        return NullCounts(0, dict.fromkeys(columns, 0))
    counts = ", ".join(f"count({quote_duckdb(name)})" for name in columns)
    rows, *known = _first_row(settings, table, f"SELECT count(*), {counts}")
    return NullCounts(rows, {name: rows - count for name, count in zip(columns, known, strict=True)})


def count_keys(settings: Settings, contract: DatasetContract) -> KeyCounts:
    """Count rows and distinct surrogate keys of silver; zeros if there is no silver yet.

    Raises:
        UnreachableError, CatalogError: the catalog does not answer or refuses.
    """
    table = contract.tables.silver
    if find_table(open_catalog(settings), table) is None:
        return KeyCounts(0, 0)
    key = quote_duckdb(contract.surrogate_key)
    rows, keys = _first_row(settings, table, f"SELECT count(*), count(DISTINCT {key})")
    return KeyCounts(rows, keys)


def count_waiting(settings: Settings, contract: DatasetContract) -> int:
    """Return how many records of the topic came after the last bronze run."""
    table = find_table(open_catalog(settings), contract.tables.bronze)
    mark = read_mark(table, BronzeMark) if table is not None else None
    log = try_log_offsets(settings, contract.topic) or {}
    loaded = mark.next_offsets if mark is not None else {}
    return sum(max(span.end - loaded.get(partition, span.start), 0) for partition, span in log.items())


def count_reported(settings: Settings, contract: DatasetContract) -> int:
    """Return how many dead letters are settled: rows that landings reported, and records that were replayed.

    All others came from what other producers sent.
    """
    by_landings = Ledger(open_catalog(settings)).totals(contract.name, contract.topic).dead_lettered
    return by_landings + read_replayed(settings, contract).records


def count_unrefined(settings: Settings, contract: DatasetContract) -> int | None:
    """Return how many bronze rows came after the last refresh of silver; None if their snapshots cannot be told."""
    catalog = open_catalog(settings)
    bronze = find_table(catalog, contract.tables.bronze)
    silver = find_table(catalog, contract.tables.silver)
    mark = read_mark(silver, SilverMark) if silver is not None else None
    if bronze is None or mark is None or mark.bronze_snapshot_id == current_id(bronze):
        return 0
    newer = snapshots_after(bronze, mark.bronze_snapshot_id)
    return None if newer is None else added_rows(newer)


def _first_row(settings: Settings, table: str, select: str) -> tuple[int, ...]:
    source = ".".join(quote_duckdb(part) for part in (CATALOG, *split_table(table)))
    with connect_catalog(settings) as connection:
        row = connection.execute(f"{select} FROM {source}").fetchone()
    assert row is not None
    return tuple(int(value) for value in row)
