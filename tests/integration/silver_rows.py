"""Silver without Flink: a sample's rows, cast and keyed as the silver job does, written by DuckDB."""

from __future__ import annotations

from pathlib import Path

import duckdb

from orchestration.generator.sample import write_sample

SILVER = "lakehouse.silver.cleaned_trips"

_AMOUNTS = {
    "fare_amount": "fare_amount",
    "extra": "extra_amount",
    "mta_tax": "mta_tax",
    "tip_amount": "tip_amount",
    "tolls_amount": "tolls_amount",
    "improvement_surcharge": "improvement_surcharge",
    "total_amount": "total_amount",
    "congestion_surcharge": "congestion_surcharge",
    "Airport_fee": "airport_fee",
}


def silver_query(sample: Path, loaded_at: str) -> str:
    """Return the query for the silver rows of a sample file without duplicates.

    Args:
        loaded_at: their `ingestion_ts`.
    """
    amounts = ", ".join(f"{source}::decimal(10, 2) as {name}" for source, name in _AMOUNTS.items())
    return f"""
        select
            md5(concat_ws('|', VendorID, tpep_pickup_datetime, tpep_dropoff_datetime, PULocationID, DOLocationID,
                fare_amount, total_amount)) as trip_id,
            VendorID::integer as vendor_id, tpep_pickup_datetime::timestamp as pickup_datetime,
            tpep_dropoff_datetime::timestamp as dropoff_datetime, passenger_count::integer as passenger_count,
            trip_distance::double as trip_distance_miles, RatecodeID::integer as rate_code_id, store_and_fwd_flag,
            PULocationID::integer as pickup_location_id, DOLocationID::integer as dropoff_location_id,
            payment_type::integer as payment_type_id, {amounts},
            timestamp '{loaded_at}' as ingestion_ts, tpep_pickup_datetime::date as pickup_date
        from read_parquet('{sample}')
        qualify row_number() over (partition by trip_id) = 1"""


def make_silver(conn: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """Make silver with the rows of a sample of January 2024, partitioned as the silver job does."""
    sample = folder / "silver.parquet"
    write_sample(sample, rows=rows, month="2024-01")
    query = silver_query(sample, "2024-04-01 12:00:00")
    conn.execute("create schema if not exists lakehouse.silver")
    columns = ", ".join(f"{name} {kind}" for name, kind, *_ in conn.execute(f"describe {query}").fetchall())
    conn.execute(f"create table {SILVER} ({columns}) partitioned by (pickup_date)")
    conn.execute(f"insert into {SILVER} {query}")


def add_silver(conn: duckdb.DuckDBPyConnection, folder: Path, rows: int, loaded_at: str, seed: int) -> int:
    """Append other rows of the same month, spread over all its days; return how many."""
    sample = folder / f"late_{seed}.parquet"
    write_sample(sample, rows=rows, month="2024-01", seed=seed)
    row = conn.execute(f"insert into {SILVER} {silver_query(sample, loaded_at)}").fetchone()
    assert row is not None
    return int(row[0])
