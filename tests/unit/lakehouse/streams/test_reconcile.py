"""Silver and the rejected rows of a stream are brought to what bronze says, within a bound of memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from orchestration.catalog.snapshots import current_id
from orchestration.lakehouse.spilling import open_spilling
from orchestration.lakehouse.streams import reconcile
from orchestration.lakehouse.streams.reconcile import Held, Mended, reconcile_tables
from tests.unit.tiny import tiny_contract

NOON = datetime(2024, 1, 5, 12)
LINEAGE = [
    ("_kafka_partition", pa.int32()),
    ("_kafka_offset", pa.int64()),
    ("_kafka_timestamp", pa.timestamp("us")),
    ("ingestion_ts", pa.timestamp("us")),
]
SOURCE = [("Zone", pa.int64()), ("start", pa.timestamp("us")), ("fare", pa.float64()), ("shared", pa.bool_())]
BRONZE = pa.schema([*SOURCE, ("note", pa.string()), *LINEAGE])
REJECTED = pa.schema([("rejected_by", pa.string()), *BRONZE])
SILVER = pa.schema(
    [
        ("ride_id", pa.string()),
        ("zone_id", pa.int32()),
        ("started_at", pa.timestamp("us")),
        ("fare", pa.decimal128(6, 2)),
        ("is_shared", pa.bool_()),
        ("note", pa.string()),
        ("ingestion_ts", pa.timestamp("us")),
        ("ride_date", pa.date32()),
    ]
)


class Tables:
    """The three tables of the tiny dataset."""

    def __init__(self, catalog: Catalog) -> None:
        catalog.create_namespace_if_not_exists("bronze")
        catalog.create_namespace_if_not_exists("silver")
        self.bronze = catalog.create_table("bronze.raw_rides", schema=BRONZE)
        self.silver = catalog.create_table("silver.rides", schema=SILVER)
        self.rejected = catalog.create_table("silver.refused_rides", schema=REJECTED)

    def arrive(self, rows: pa.Table) -> None:
        """Append bronze rows in one snapshot."""
        self.bronze.append(rows.select(BRONZE.names).cast(BRONZE))

    def reconcile(self, folder: Path, *, after: int | None = None, memory_mb: int = 256) -> Mended:
        """Bring silver and the rejected rows to what bronze says."""
        upto = current_id(self.bronze)
        assert upto is not None
        held = Held(current_id(self.silver), current_id(self.rejected))
        with open_spilling(folder, memory_mb) as connection:
            return reconcile_tables(
                connection,
                tiny_contract(),
                self.bronze,
                self.silver,
                self.rejected,
                after=after,
                upto=upto,
                held=held,
                say=lambda _: None,
            )

    def zones(self) -> list[tuple[int, float]]:
        """Return zone and fare of each silver row, sorted."""
        rows = self.silver.scan().to_arrow().to_pylist()
        return sorted((row["zone_id"], float(row["fare"])) for row in rows)


@pytest.fixture
def tables(iceberg: Catalog) -> Tables:
    return Tables(iceberg)


def ride(zone: int, offset: int, fare: float = 1.0, **changes: Any) -> dict[str, Any]:
    at = NOON + timedelta(seconds=offset)
    place = {"_kafka_partition": 0, "_kafka_offset": offset, "_kafka_timestamp": at, "ingestion_ts": at}
    return {"Zone": zone, "start": NOON, "fare": fare, "shared": False, "note": "", **place, **changes}


def bronze_rows(rows: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=BRONZE)


def remove(table: Table, offset: int) -> None:
    table.delete(f"_kafka_offset = {offset}")


def test_a_second_pass_mends_nothing(tables: Tables, tmp_path: Path) -> None:
    tables.arrive(bronze_rows([ride(1, 0), ride(1, 1, fare=2.0), ride(2, 2), ride(3, 3, fare=-1.0)]))
    first = tables.reconcile(tmp_path)
    assert (first.keys, first.rejected) == (2, 1)
    assert tables.zones() == [(1, 2.0), (2, 1.0)]
    again = tables.reconcile(tmp_path)
    assert (again.keys, again.rejected) == (0, 0)


def test_rows_of_a_record_that_left_bronze_before_the_first_refresh_go_too(tables: Tables, tmp_path: Path) -> None:
    """The stream wrote them, then an audit found the record malformed, and only then silver is refreshed."""
    tables.arrive(bronze_rows([ride(1, 0), ride(2, 1), ride(3, 2, fare=-1.0)]))
    tables.reconcile(tmp_path)
    assert (tables.zones(), tables.rejected.scan().count()) == ([(1, 1.0), (2, 1.0)], 1)
    remove(tables.bronze, 1)
    remove(tables.bronze, 2)
    mended = tables.reconcile(tmp_path)
    assert (mended.keys, mended.rejected) == (1, 1)
    assert (tables.zones(), tables.rejected.scan().count()) == ([(1, 1.0)], 0)


def test_what_the_stream_appended_after_the_settled_snapshots_is_left_alone(tables: Tables, tmp_path: Path) -> None:
    tables.arrive(bronze_rows([ride(1, 0)]))
    tables.reconcile(tmp_path)
    upto, held = current_id(tables.bronze), Held(current_id(tables.silver), current_id(tables.rejected))
    assert upto is not None
    tables.arrive(bronze_rows([ride(2, 1)]))
    tables.reconcile(tmp_path)
    with open_spilling(tmp_path, 256) as connection:
        mended = reconcile_tables(
            connection,
            tiny_contract(),
            tables.bronze,
            tables.silver,
            tables.rejected,
            after=None,
            upto=upto,
            held=held,
            say=lambda _: None,
        )
    assert mended.keys == 0
    assert tables.zones() == [(1, 1.0), (2, 1.0)]


def test_many_wrong_keys_are_replaced_in_parts(tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "_AT_ONCE", 3)
    tables.arrive(bronze_rows([ride(zone, zone, fare=1.0 if zone % 2 else -1.0) for zone in range(14)]))
    mended = tables.reconcile(tmp_path)
    assert (mended.keys, mended.rejected) == (7, 7)
    assert tables.zones() == [(zone, 1.0) for zone in range(1, 14, 2)]
    assert tables.rejected.scan().count() == 7
    assert tables.reconcile(tmp_path).keys == 0


def test_more_rows_than_memory_give_the_right_rows(tables: Tables, tmp_path: Path) -> None:
    arrivals, keys = 205_000, 200_000
    rows = duckdb.sql(f"""
        SELECT (o % {keys})::BIGINT AS "Zone", TIMESTAMP '2024-01-05 12:00:00' AS "start",
            (o // {keys})::DOUBLE AS fare, false AS shared, repeat(md5(o::VARCHAR), 4) AS note,
            0::INT AS _kafka_partition, o AS _kafka_offset,
            TIMESTAMP '2024-01-06' + to_milliseconds(o) AS _kafka_timestamp, TIMESTAMP '2024-01-06' AS ingestion_ts
        FROM range({arrivals}) AS numbers(o)""")
    tables.arrive(rows.to_arrow_table())
    # The stream kept the first arrivals.
    stale = duckdb.sql(f"""
        SELECT md5("Zone" || '|' || strftime("start", '%Y-%m-%d %H:%M:%S.%f')) AS ride_id, "Zone"::INT AS zone_id,
            "start" AS started_at, fare::DECIMAL(6, 2) AS fare, shared AS is_shared, note, ingestion_ts,
            "start"::DATE AS ride_date FROM rows WHERE _kafka_offset < {keys}""")
    tables.silver.append(stale.to_arrow_table().cast(SILVER))

    with pytest.raises(duckdb.OutOfMemoryException), open_spilling(tmp_path, 64) as connection:
        connection.execute("SET max_temp_directory_size = '1KB'")
        _reconcile_all(connection, tables)

    assert tables.reconcile(tmp_path, memory_mb=64).keys == arrivals - keys
    fares = pa.TableGroupBy(tables.silver.scan().to_arrow(), "fare").aggregate([([], "count_all")]).to_pylist()
    assert {float(row["fare"]): row["count_all"] for row in fares} == {0.0: 2 * keys - arrivals, 1.0: arrivals - keys}
    assert not list(tmp_path.glob("duckdb-*")), "temporary files are gone"


def _reconcile_all(connection: duckdb.DuckDBPyConnection, tables: Tables) -> None:
    upto = current_id(tables.bronze)
    assert upto is not None
    reconcile_tables(
        connection,
        tiny_contract(),
        tables.bronze,
        tables.silver,
        tables.rejected,
        after=None,
        upto=upto,
        held=Held(),
        say=lambda _: None,
    )
