"""From an event to its row in silver, as DuckDB sees it, while the stream of a dataset runs.

    .venv/bin/python benchmarks/stream_latency.py [--rate 5000] [--seconds 120] [--checkpoint-ms 2000]

An event's time begins when it is handed to the producer, and ends when a DuckDB connection that was opened afterwards
counts at least as many rows as silver had with the commit that the event's row is in. Prints one JSON object. Needs the
stack (`./millrace up`); topics and tables are of its own, and the tables are dropped at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
import uuid
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestration.broker.admin import ensure_topics
from orchestration.broker.producer import EventProducer
from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.snapshots import ancestry, read_appended
from orchestration.contracts import DatasetContract, load_contract
from orchestration.contracts.models import Tables
from orchestration.dbt_plugin.attach import connect_catalog
from orchestration.flink.engine import open_engine
from orchestration.lakehouse.streams.operate import deploy_stream
from orchestration.settings import Settings, load_settings
from orchestration.waiting import Backoff, wait_for

TICK_S = 0.1
POLL_S = 0.25
SETTLES_S = 120.0
_EVENT = (
    '{{"VendorID": 1, "tpep_pickup_datetime": "2024-01-05T08:00:00", "tpep_dropoff_datetime": "2024-01-05T08:10:00", '
    '"passenger_count": 1, "trip_distance": 2.5, "RatecodeID": 1, "store_and_fwd_flag": "N", "PULocationID": 7, '
    '"DOLocationID": 8, "payment_type": 1, "fare_amount": {fare:.2f}, "extra": 0.0, "mta_tax": 0.5, "tip_amount": 2.0, '
    '"tolls_amount": 0.0, "improvement_surcharge": 1.0, "total_amount": 14.0, "congestion_surcharge": 0.0, '
    '"Airport_fee": 0.0}}'
)


def make_dataset(folder: Path, checkpoint_ms: int) -> tuple[Settings, DatasetContract]:
    """Return settings and contract of a taxi dataset under names of its own."""
    name = f"latency_{uuid.uuid4().hex[:8]}"
    tables = Tables(bronze=f"{name}.raw", silver=f"{name}.clean", rejected=f"{name}.rejected")
    contract = load_contract("taxi").model_copy(
        update={"name": name, "topic": f"{name}.raw", "dlq_topic": f"{name}.dlq", "tables": tables}
    )
    running = load_settings()
    own = {field: getattr(running, field) for field in ("broker_url", "flink_rest_url", "flink_sql_gateway_url")}
    settings = running.with_changes(
        **own,
        catalog_uri=running.catalog_uri,
        warehouse=running.warehouse,
        state_dir=folder,
        checkpoint_interval_ms=checkpoint_ms,
    )
    return settings, contract


@contextmanager
def streamed(settings: Settings, contract: DatasetContract) -> Iterator[None]:
    """Run the stream for the block, and leave no job and no table."""
    ensure_topics(settings, contract)
    try:
        deploy_stream(settings, contract)
        yield
    finally:
        with open_engine(settings) as engine:
            for record in engine.registry.active():
                engine.delete(record.id, force=True)
        catalog = open_catalog(settings)
        for table in contract.tables.model_dump().values():
            if find_table(catalog, table) is not None:
                catalog.drop_table(table)


def produce(settings: Settings, contract: DatasetContract, rate: int, seconds: float) -> list[float]:
    """Send events at a steady rate, and return when each was handed over; its fare is its number in cents."""
    sent: list[float] = []
    begun = time.monotonic()
    with EventProducer(settings) as producer:
        while (late := time.monotonic() - begun) < seconds:
            due = round(rate * late)
            values = [_EVENT.format(fare=number / 100).encode() for number in range(len(sent), due)]
            now = time.monotonic()
            for number, value in enumerate(values, start=len(sent)):
                producer.send_one(contract.topic, number % settings.topic_partitions, value, {})
            sent += [now] * len(values)
            threading.Event().wait(TICK_S)
        producer.finish()
    return sent


def watch(settings: Settings, table: str, seen: list[tuple[int, float]], is_over: threading.Event) -> None:
    """Count silver again and again; `seen` gets (rows, when the count was there)."""
    while not is_over.wait(POLL_S):
        with connect_catalog(settings) as connection:
            row = connection.execute(f"SELECT count(*) FROM lakehouse.{table}").fetchone()
        seen.append((row[0] if row else 0, time.monotonic()))


def latencies(
    settings: Settings, contract: DatasetContract, sent: list[float], seen: list[tuple[int, float]]
) -> list[float]:
    """Return the seconds of each event that is in silver."""
    table = find_table(open_catalog(settings), contract.tables.silver)
    assert table is not None
    counts = [rows for rows, _ in seen]
    found: list[float] = []
    before: int | None = None
    for snapshot in reversed(ancestry(table)):
        total = int(snapshot.summary.get("total-records") or 0) if snapshot.summary is not None else 0
        rows = read_appended(table, ("fare_amount",), after=before, upto=snapshot.snapshot_id).read_all()
        before = snapshot.snapshot_id
        visible = seen[bisect_left(counts, total)][1]
        found += [visible - sent[round(fare * 100)] for fare in rows["fare_amount"].to_pylist()]
    return found


def measure(settings: Settings, contract: DatasetContract, rate: int, seconds: float) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    seen: list[tuple[int, float]] = []
    is_over = threading.Event()
    watcher = threading.Thread(target=watch, args=(settings, contract.tables.silver, seen, is_over))
    watcher.start()
    try:
        sent = produce(settings, contract, rate, seconds)
        wait_for(
            lambda: (True if seen and seen[-1][0] == len(sent) else None, seen[-1:]),
            what=f"{len(sent)} rows in silver",
            timeout_s=SETTLES_S,
            backoff=Backoff(POLL_S, 1.0),
        )
    finally:
        is_over.set()
        watcher.join()
    found = latencies(settings, contract, sent, seen)
    cuts = statistics.quantiles(found, n=100)
    return {
        "events": len(sent),
        "rate": round(len(sent) / seconds),
        "checkpoint_ms": settings.checkpoint_interval_ms,
        "p50_s": round(cuts[49], 2),
        "p99_s": round(cuts[98], 2),
        "max_s": round(max(found), 2),
        "load_1m": os.getloadavg()[0],
    }


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5000, help="events a second (default: 5000)")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long (default: 120)")
    parser.add_argument("--checkpoint-ms", type=int, default=2000, help="checkpoint interval (default: 2000)")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        settings, contract = make_dataset(Path(folder), options.checkpoint_ms)
        with streamed(settings, contract):
            print(json.dumps(measure(settings, contract, options.rate, options.seconds)))


if __name__ == "__main__":
    main()
