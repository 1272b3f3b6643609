"""Who needs which snapshots of a table, and who writes it now: marks, the cluster, the registry of queries."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyiceberg.table import Table
from sqlalchemy.engine import make_url

from orchestration.catalog.expiry import facts_of
from orchestration.catalog.progress import marked_snapshots
from orchestration.catalog.retention import Needed
from orchestration.contracts.loader import list_datasets, load_contract
from orchestration.contracts.models import Tables
from orchestration.errors import MillraceError
from orchestration.flink.client.models import TERMINAL, JobOverview
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.registry import Registry
from orchestration.flink.queries.states import Desired, QueryState
from orchestration.lakehouse.maintenance.tables import name_of
from orchestration.naming import CATALOG, bronze_job, silver_job
from orchestration.settings import Settings


@dataclass(frozen=True)
class Activity:
    """What the cluster and the registry know at one moment.

    Attributes:
        jobs: jobs that are not over; None: the cluster does not answer.
        queries: persistent queries that are not deleted; None: the registry does not answer.
    """

    jobs: tuple[JobOverview, ...] | None
    queries: tuple[QueryRecord, ...] | None

    @property
    def job_ids(self) -> frozenset[str] | None:
        """Jobs that run or may be started again from a savepoint or checkpoint; None if that is not known."""
        if self.jobs is None or self.queries is None:
            return None
        return frozenset(job.id for job in self.jobs) | {query.job_id for query in self.queries if query.job_id}


def look_around(settings: Settings) -> Activity:
    """Ask the cluster and the registry. Either may be away: maintenance then keeps more, and does not fail."""
    return Activity(_live_jobs(settings), _queries(settings))


def needed_snapshots(tables: Iterable[Table], activity: Activity) -> Needed:
    """Return what marks, in any table of the catalog, and Flink jobs need."""
    marked: dict[int, str] = {}
    for table in tables:
        marked |= marked_snapshots(table)
    return Needed(marked, activity.job_ids)


def find_writers(settings: Settings, table: Table, activity: Activity) -> list[str]:
    """Return who writes the table now, as people read it.

    A job is known by its commits, by the registry, or by the name of our batch jobs. One that was started by hand and
    has not committed yet is not seen.
    """
    name = name_of(table)
    if activity.jobs is None:
        return [f"unknown: the Flink cluster at {settings.flink_rest_url} does not answer"]
    committed = {facts_of(snapshot).job_id for snapshot in table.metadata.snapshots}
    queries = [query for query in activity.queries or () if f"{CATALOG}.{name}" in query.sinks]
    of_queries = {query.job_id for query in queries}
    batch = set(_batch_jobs(settings, name))
    jobs = [job for job in activity.jobs if job.id in committed or job.id in of_queries or job.name in batch]
    running = {job.id for job in jobs}
    return [
        *(f"Flink job {job.id} ({job.name}, {job.state})" for job in jobs),
        *(f"query {query.name}, which is meant to run" for query in queries if _comes_back(query, running)),
    ]


def _comes_back(query: QueryRecord, running: Container[str | None]) -> bool:
    """Whether a query without a job may get one at any moment, from its owner's process or from a repair."""
    is_wanted = query.desired is Desired.RUNNING and query.state is not QueryState.FINISHED
    return is_wanted and query.job_id not in running


def writer_lock(settings: Settings, table: str) -> str:
    """Return the name of the lock that our batch runs hold while they write a table: silver's for its rejected rows."""
    tables = _dataset_tables(settings, table)
    return tables[1].silver if tables is not None and table == tables[1].rejected else table


def _batch_jobs(settings: Settings, table: str) -> Sequence[str]:
    found = _dataset_tables(settings, table)
    if found is None:
        return []
    dataset, tables = found
    return [bronze_job(dataset) if table == tables.bronze else silver_job(dataset)]


def _dataset_tables(settings: Settings, table: str) -> tuple[str, Tables] | None:
    for dataset in list_datasets(settings.datasets_dir):
        tables = load_contract(dataset, settings.datasets_dir).tables
        if table in tables.model_dump().values():
            return dataset, tables
    return None


def _live_jobs(settings: Settings) -> tuple[JobOverview, ...] | None:
    try:
        with FlinkRest(settings.flink_rest_url, timeout_s=settings.http_timeout_s) as rest:
            return tuple(job for job in rest.jobs_overview() if job.state not in TERMINAL)
    except MillraceError:
        return None


def _queries(settings: Settings) -> tuple[QueryRecord, ...] | None:
    url = make_url(settings.query_registry)
    if url.drivername.startswith("sqlite") and not Path(url.database or "").is_file():
        # Nobody deployed a query yet, and a look shall not make the file.
        return ()
    try:
        return tuple(Registry(settings.query_registry, settings.sql_engine_namespace).active())
    except MillraceError:
        return None
