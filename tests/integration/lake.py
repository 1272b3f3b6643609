"""A dataset of its own on the shared stack: topics, tables, job names, locks and gold file that no other test sees."""

from __future__ import annotations

import json
import signal
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.broker.admin import ensure_topics
from orchestration.broker.producer import EventProducer
from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.snapshots import ancestry
from orchestration.contracts import DatasetContract, load_contract
from orchestration.contracts.models import Tables
from orchestration.dbt_plugin.attach import connect
from orchestration.embedded.readiness import taskmanager_ready
from orchestration.embedded.stack import Stack
from orchestration.errors import MillraceError
from orchestration.flink.client.models import JobOverview
from orchestration.flink.client.rest import FlinkRest
from orchestration.generator.land import LandingResult, land
from orchestration.generator.sample import SampleExpectation, sample_expectation, write_sample
from orchestration.lakehouse.bronze import BronzeResult, load_bronze_table
from orchestration.lakehouse.counts import Counts, count_layers
from orchestration.lakehouse.silver import SilverResult, refresh_silver_table
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for

T = TypeVar("T")

COMES_BACK_S = 180.0
"""For a killed server on a busy machine; it takes 10 s on a quiet one."""


@dataclass(frozen=True)
class Lake:
    """The taxi contract under other names, and its steps without Dagster."""

    settings: Settings
    contract: DatasetContract
    folder: Path

    def with_contract(self, **changes: Any) -> Lake:
        """Return the same tables under a changed contract."""
        return Lake(self.settings, self.contract.model_copy(update=changes), self.folder)

    def sample(self, month: str, rows: int, dirty: float = 0.0, seed: int = 42) -> Path:
        """Write a sample file of a month and return its path."""
        path = self.folder / f"trips_{month}_{seed}.parquet"
        write_sample(path, rows=rows, dirty=dirty, seed=seed, month=month)
        return path

    def land(self, path: Path) -> LandingResult:
        """Land one file."""
        [result] = land(self.settings, self.contract, str(path))
        return result

    def bronze(self) -> BronzeResult:
        """Load bronze."""
        return load_bronze_table(self.settings, self.contract)

    def silver(self, *, full_refresh: bool = False) -> SilverResult:
        """Refresh silver."""
        return refresh_silver_table(self.settings, self.contract, full_refresh=full_refresh)

    def load(self) -> tuple[BronzeResult, SilverResult]:
        """Bring bronze and silver up to date."""
        return self.bronze(), self.silver()

    def counts(self) -> Counts:
        """Count the layers, from the broker and the tables."""
        return count_layers(self.settings, self.contract)

    def snapshots(self) -> dict[str, int]:
        """Return how many snapshots each table has."""
        catalog = open_catalog(self.settings)
        names = self.contract.tables.model_dump()
        tables = {layer: find_table(catalog, name) for layer, name in names.items()}
        return {layer: len(ancestry(table)) if table is not None else 0 for layer, table in tables.items()}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run DuckDB SQL in which {bronze}, {silver} and {rejected} stand for the tables."""
        names = {layer: f"lakehouse.{name}" for layer, name in self.contract.tables.model_dump().items()}
        with connect(self.settings) as connection:
            return connection.execute(sql.format(**names)).fetchall()

    def rejected_by(self) -> dict[str, int]:
        """Return rule to refused rows."""
        return dict(self.query("SELECT rejected_by, count(*) FROM {rejected} GROUP BY ALL"))

    def content(self) -> tuple[int, int]:
        """Return rows of silver and a hash of their content that does not hang on their order."""
        columns = ", ".join(name for name in self.contract.silver_columns if name != "ingestion_ts")
        [row] = self.query(f"SELECT count(*), bit_xor(hash({columns})) FROM {{silver}}")
        return row[0], row[1]

    def days(self) -> tuple[date, date, int]:
        """Return the first and the last day of silver, and how many days have rows."""
        [row] = self.query("SELECT min(pickup_date), max(pickup_date), count(DISTINCT pickup_date) FROM {silver}")
        return row[0], row[1], row[2]

    def post(self, values: Sequence[bytes | None]) -> None:
        """Send records as a foreign producer: without headers, in turn on the partitions."""
        ensure_topics(self.settings, self.contract)
        with EventProducer(self.settings) as producer:
            for number, value in enumerate(values):
                partition = number % self.settings.topic_partitions
                producer._producer.produce(self.contract.topic, value, None, partition)
            producer.finish()

    def drop(self) -> None:
        """Remove the tables."""
        catalog = open_catalog(self.settings)
        names = self.contract.tables.model_dump().values()
        for name in names:
            if find_table(catalog, name) is not None:
                catalog.drop_table(name)
        catalog.drop_namespace(next(iter(names)).split(".")[0])


def make_lake(settings: Settings, folder: Path, **changes: Any) -> Lake:
    """Return a lake that holds nothing.

    Args:
        folder: for its files; gold file, locks and metrics go there too.
        changes: settings.
    """
    name = f"taxi_{uuid.uuid4().hex[:8]}"
    tables = Tables(bronze=f"{name}.raw_trips", silver=f"{name}.cleaned_trips", rejected=f"{name}.rejected_trips")
    contract = load_contract("taxi").model_copy(
        update={"name": name, "topic": f"{name}.raw", "dlq_topic": f"{name}.dlq", "tables": tables}
    )
    own = settings.with_changes(
        state_dir=folder / "state",
        warehouse=settings.warehouse,
        topic=contract.topic,
        dlq_topic=contract.dlq_topic,
        **{field: getattr(settings, field) for field in ENDPOINTS},
        **changes,
    )
    return Lake(own, contract, folder)


ENDPOINTS = ("broker_url", "flink_rest_url", "flink_sql_gateway_url", "catalog_uri")


def add(*expected: SampleExpectation) -> dict[str, int]:
    """Return the sum of what samples become, in the words of `Counts`."""
    names = ("produced", "dead_lettered", "bronze", "silver", "duplicates", "rejected")
    return {name: sum(getattr(one, name) for one in expected) for name in names}


def expect(rows: int, dirty: float = 0.0) -> dict[str, int]:
    """Return what one sample becomes."""
    return add(sample_expectation(rows, dirty))


def event(**changes: Any) -> bytes:
    """Return a trip that holds every rule, as JSON."""
    trip: dict[str, Any] = {
        "VendorID": 1,
        "tpep_pickup_datetime": "2024-01-05T08:00:00",
        "tpep_dropoff_datetime": "2024-01-05T08:10:00",
        "passenger_count": 1,
        "trip_distance": 2.5,
        "RatecodeID": 1,
        "store_and_fwd_flag": "N",
        "PULocationID": 7,
        "DOLocationID": 8,
        "payment_type": 1,
        "fare_amount": 10.5,
        "extra": 0.0,
        "mta_tax": 0.5,
        "tip_amount": 2.0,
        "tolls_amount": 0.0,
        "improvement_surcharge": 1.0,
        "total_amount": 14.0,
        "congestion_surcharge": 0.0,
        "Airport_fee": 0.0,
    }
    return json.dumps(trip | changes).encode()


def rewrite(source: Path, target: Path, rows: Sequence[int], changes: Mapping[str, Any]) -> Path:
    """Write the chosen rows of a file, with the values of some columns replaced, into another file."""
    table = pq.read_table(source).take(pa.array(rows))
    for name, value in changes.items():
        position = table.schema.get_field_index(name)
        table = table.set_column(position, table.schema.field(name), pa.array([value] * len(rows), table[name].type))
    pq.write_table(table, target)
    return target


def await_job(
    rest: FlinkRest, name: str, states: Sequence[str] = ("RUNNING",), timeout_s: float = 120.0
) -> JobOverview:
    """Wait until a job of this name is in one of the states."""

    def look() -> tuple[JobOverview | None, object]:
        jobs = [job for job in rest.jobs_overview() if job.name == name]
        return next((job for job in jobs if job.state in states), None), [job.state for job in jobs]

    return wait_for(look, what=f"job {name}", timeout_s=timeout_s, backoff=Backoff(0.01, 0.03))


def kill_taskmanager(stack: Stack) -> None:
    """Kill the TaskManager of the stack with SIGKILL."""
    kill(stack, "taskmanager")


def kill(stack: Stack, name: str) -> None:
    """Kill a server of the stack with SIGKILL."""
    pid = next(server.pid for server in stack.status() if server.name == name)
    assert pid is not None
    psutil.Process(pid).send_signal(signal.SIGKILL)


def retried(step: Callable[[], T], times: int = 3) -> T:
    """Run a step as Dagster does: again after an error that says it can be retried."""
    for left in reversed(range(times)):
        try:
            return step()
        except MillraceError as error:
            if not error.is_retryable or not left:
                raise
    raise AssertionError("times is at least 1")


def await_slot(stack: Stack) -> None:
    """Wait until the supervisor brought a TaskManager back and its slots are free to take."""

    def look() -> tuple[bool | None, object]:
        is_running = any(server.name == "taskmanager" and server.state == "RUNNING" for server in stack.status())
        ready, seen = taskmanager_ready(stack.settings)
        return (True if is_running and ready else None), seen

    wait_for(look, what="the TaskManager to come back", timeout_s=COMES_BACK_S, backoff=Backoff(0.2, 0.5))


def closed_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
