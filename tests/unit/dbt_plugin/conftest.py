"""A DuckDB file in silver's place, and dbt builds on it in this process."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from orchestration.dbt_plugin.runner import DbtRun, run_dbt
from orchestration.settings import Settings

COLUMNS = {
    "trip_id": "varchar",
    "vendor_id": "integer",
    "pickup_datetime": "timestamp",
    "dropoff_datetime": "timestamp",
    "passenger_count": "integer",
    "trip_distance_miles": "double",
    "rate_code_id": "integer",
    "store_and_fwd_flag": "varchar",
    "pickup_location_id": "integer",
    "dropoff_location_id": "integer",
    "payment_type_id": "integer",
    "fare_amount": "decimal(10,2)",
    "extra_amount": "decimal(10,2)",
    "mta_tax": "decimal(10,2)",
    "tip_amount": "decimal(10,2)",
    "tolls_amount": "decimal(10,2)",
    "improvement_surcharge": "decimal(10,2)",
    "total_amount": "decimal(10,2)",
    "congestion_surcharge": "decimal(10,2)",
    "airport_fee": "decimal(10,2)",
    "ingestion_ts": "timestamp",
    "pickup_date": "date",
}
FIRST_LOAD = datetime(2024, 4, 1, 12)


def trip(trip_id: str, pickup: str, dropoff: str, **changes: Any) -> dict[str, Any]:
    """Return a silver row: 10 miles, fare 20, tip 5, total 30, paid by card, from zone 132 to zone 265."""
    started = datetime.fromisoformat(pickup)
    row: dict[str, Any] = {
        "trip_id": trip_id,
        "vendor_id": 1,
        "pickup_datetime": started,
        "dropoff_datetime": datetime.fromisoformat(dropoff),
        "passenger_count": 1,
        "trip_distance_miles": 10.0,
        "rate_code_id": 1,
        "store_and_fwd_flag": "N",
        "pickup_location_id": 132,
        "dropoff_location_id": 265,
        "payment_type_id": 1,
        "fare_amount": Decimal("20.00"),
        "extra_amount": Decimal("0.00"),
        "mta_tax": Decimal("0.50"),
        "tip_amount": Decimal("5.00"),
        "tolls_amount": Decimal("0.00"),
        "improvement_surcharge": Decimal("1.00"),
        "total_amount": Decimal("30.00"),
        "congestion_surcharge": Decimal("2.50"),
        "airport_fee": Decimal("1.00"),
        "ingestion_ts": FIRST_LOAD,
        "pickup_date": started.date(),
    }
    assert not set(changes) - set(row)
    return row | changes


class Lakehouse:
    """A silver table in a DuckDB file, and the gold that dbt builds from it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(state_dir=folder / "state")
        self.file = folder / "lakehouse.duckdb"
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        self.change(f"create schema silver; create table silver.cleaned_trips ({columns})")

    def change(self, sql: str) -> None:
        """Run statements on silver."""
        with duckdb.connect(str(self.file)) as conn:
            conn.execute(sql)

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows to silver."""
        with duckdb.connect(str(self.file)) as conn:
            marks = ", ".join("?" for _ in COLUMNS)
            conn.executemany(
                f"insert into silver.cleaned_trips values ({marks})", [[row[name] for name in COLUMNS] for row in rows]
            )

    def dbt(self, *args: str) -> DbtRun:
        """Run dbt on the target that takes this file for the catalog."""
        return run_dbt(self.settings, args, target="local", environ={"MILLRACE_LOCAL_LAKEHOUSE": str(self.file)})

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on gold, silver attached as `lakehouse`."""
        with duckdb.connect(str(self.settings.gold_path), read_only=True) as conn:
            conn.execute(f"attach '{self.file}' as lakehouse (read_only)")
            return conn.execute(sql).fetchall()
