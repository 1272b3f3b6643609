"""Iceberg tables of the tiny dataset, with the rows that a test wants."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

BRONZE = pa.schema(
    [
        ("Zone", pa.int64()),
        ("start", pa.timestamp("us")),
        ("fare", pa.float64()),
        ("shared", pa.bool_()),
        ("note", pa.string()),
        ("_kafka_partition", pa.int32()),
        ("_kafka_offset", pa.int64()),
    ]
)
NOON = datetime(2024, 1, 5, 12)


def bronze_table(catalog: Catalog) -> Table:
    """Create an empty bronze table."""
    return catalog.create_table("bronze.raw_rides", schema=BRONZE)


def silver_table(catalog: Catalog) -> Table:
    """Create an empty silver table; its content plays no part in the decisions."""
    return catalog.create_table("silver.rides", schema=pa.schema([("ride_id", pa.string())]))


def append(table: Table, *rows: dict[str, Any]) -> int:
    """Append bronze rows in one snapshot; what a row leaves out is a good value. Return the snapshot's id."""
    filled = [
        {"Zone": 1, "start": NOON, "fare": 1.0, "shared": False, "note": "", "_kafka_partition": 0, **row}
        for row in rows
    ]
    table.append(pa.Table.from_pylist([{"_kafka_offset": n, **row} for n, row in enumerate(filled)], schema=BRONZE))
    return snapshot_id(table)


def append_offsets(table: Table, *records: tuple[int, int]) -> int:
    """Append one row a (partition, offset); return the snapshot's id."""
    return append(table, *({"_kafka_partition": partition, "_kafka_offset": offset} for partition, offset in records))


def roll_back(table: Table, snapshot: int) -> None:
    """Make an earlier snapshot the current one."""
    table.manage_snapshots().rollback_to_snapshot(snapshot).commit()


def expire(table: Table, *snapshots: int) -> None:
    """Remove snapshots from the metadata."""
    for snapshot in snapshots:
        table.maintenance.expire_snapshots().by_id(snapshot).commit()


def snapshot_id(table: Table) -> int:
    """Return the current snapshot's id."""
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return snapshot.snapshot_id


def pairs(batches: Iterable[pa.RecordBatch]) -> list[tuple[int, int]]:
    """Return the (partition, offset) of each row, sorted."""
    rows = pa.Table.from_batches(list(batches), schema=BRONZE_PLACE).to_pylist()
    return sorted((row["_kafka_partition"], row["_kafka_offset"]) for row in rows)


BRONZE_PLACE = pa.schema([("_kafka_partition", pa.int32()), ("_kafka_offset", pa.int64())])
