"""What runs, and how it does: each query's record together with its job on the cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.models import TERMINAL, Checkpoints, ExceptionEntry, JobOverview
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.monitoring.health import Reading, read_job
from orchestration.flink.queries.names import parse_job_name
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.states import LIVE, QueryState, find_job, shown_state

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine

_READERS = 8
_EXCEPTIONS = 10


@dataclass(frozen=True)
class QueryView:
    """One query as it is now.

    Args:
        id: None for a job that no record belongs to (`include_foreign`).
        state: what the cluster says; `recorded` is what the registry says until the next `reconcile`.
        desired: RUNNING, STOPPED or DELETED; None for a foreign job.
        restarts: by Flink, over the life of the job; None when the job is over.
        lag_records: records that Kafka sources have not read yet; None: no Kafka source, or not known yet.
        checkpoints, exceptions: filled by `query_status` alone.
    """

    id: str | None
    name: str
    namespace: str | None
    owner: str | None
    state: QueryState
    recorded: QueryState | None
    desired: str | None
    generation: int | None
    job_id: str | None
    job_name: str
    job_state: str | None
    url: str | None
    started_at: datetime | None
    uptime_s: float | None
    restarts: int | None
    last_checkpoint_at: datetime | None
    checkpoint_path: str | None
    savepoint_path: str | None
    lag_records: int | None
    sink: str
    connector: str | None
    topic: str | None
    path: str | None
    error_code: str | None
    error_text: str | None
    updated_at: datetime | None
    checkpoints: Checkpoints | None = None
    exceptions: tuple[ExceptionEntry, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """The jobs at one time; `writes` is the registry's count of changes then."""

    jobs: tuple[JobOverview, ...]
    at_s: float
    writes: int


_seen: WeakKeyDictionary[FlinkRest, _Seen] = WeakKeyDictionary()
"""The last job overview of each cluster client, for lists that follow each other closely."""


def list_queries(
    engine: SqlEngine, *, state: QueryState | None = None, owner: str | None = None, include_foreign: bool = False
) -> list[QueryView]:
    """Return the queries that are not deleted, by name, with what their jobs say now.

    Args:
        include_foreign: add the live jobs that belong to no query, after the queries.

    Raises:
        UnreachableError: the cluster or the registry's database does not answer.
    """
    records = [record for record in engine.registry.active() if owner in (None, record.owner)]
    jobs = _jobs(engine, records)
    found = [(record, find_job(record, jobs)) for record in records]
    found = [(record, job) for record, job in found if state in (None, shown_state(record, job))]
    with ThreadPoolExecutor(_READERS) as readers:
        views = list(readers.map(lambda pair: _view(engine.rest, *pair)[0], found))
    if include_foreign:
        ours = {job.id for job in (find_job(record, jobs) for record in engine.registry.active()) if job}
        foreign = [job for job in jobs if job.id not in ours and job.state not in TERMINAL]
        views += [view for job in foreign if state in (None, (view := _foreign(engine.rest, job)).state)]
    return views


def query_status(engine: SqlEngine, ref: str) -> QueryView:
    """Return one query with its checkpoints and failures; `ref` is an id, name, job id or job name.

    Raises:
        NotFoundError: there is no such query.
        UnreachableError: the cluster or the registry's database does not answer.
    """
    record = engine.registry.require(ref)
    job = find_job(record, engine.rest.jobs_overview())
    view, reading = _view(engine.rest, record, job)
    if job is None:
        return view
    with suppress(JobNotFoundError):
        exceptions = engine.rest.job_exceptions(job.id, _EXCEPTIONS).history.entries
        return replace(view, checkpoints=reading.checkpoints if reading else None, exceptions=exceptions)
    return view


def _jobs(engine: SqlEngine, records: Iterable[QueryRecord]) -> tuple[JobOverview, ...]:
    """Return the cluster's jobs, at most `sql_engine_job_cache_ttl_s` old; a change of ours makes them too old."""
    seen, writes = _seen.get(engine.rest), engine.registry.writes
    is_fresh = (
        seen is not None
        and seen.writes == writes
        and time.monotonic() - seen.at_s < engine.settings.sql_engine_job_cache_ttl_s
    )
    # Another process may have deployed meanwhile: its query would look lost.
    if seen is not None and is_fresh and all(r.state not in LIVE or find_job(r, seen.jobs) for r in records):
        return seen.jobs
    jobs = engine.rest.jobs_overview()
    _seen[engine.rest] = _Seen(jobs, time.monotonic(), writes)
    return jobs


def _view(rest: FlinkRest, record: QueryRecord, job: JobOverview | None) -> tuple[QueryView, Reading | None]:
    is_live = job is not None and job.state not in TERMINAL
    reading = read_job(rest, job.id) if job is not None else None
    last = reading.checkpoints.latest.completed if reading else None
    view = QueryView(
        id=record.id,
        name=record.name,
        namespace=record.namespace,
        owner=record.owner,
        state=shown_state(record, job),
        recorded=record.state,
        desired=record.desired.value,
        generation=record.generation,
        job_id=job.id if job else record.job_id,
        job_name=record.job_name,
        job_state=job.state if job else None,
        url=rest.job_url(job.id) if job else None,
        started_at=(job.start_time if job else None) or record.started_at,
        uptime_s=reading.uptime_s if reading else None,
        restarts=reading.restarts if reading and is_live else None,
        last_checkpoint_at=last.trigger_time if last else None,
        checkpoint_path=(last.path if last else None) or record.checkpoint_path,
        savepoint_path=record.savepoint_path,
        lag_records=_lag(rest, job.id, reading) if job and reading and is_live else None,
        sink=record.sink,
        connector=record.connector,
        topic=record.topic,
        path=record.path,
        error_code=record.error_code,
        error_text=record.error_text,
        updated_at=record.updated_at,
    )
    return view, reading


def _lag(rest: FlinkRest, job_id: str, reading: Reading) -> int | None:
    """Return the sum of `pendingRecords` of all sources; only those of Kafka have it, some seconds after the start."""
    found: list[int] = []
    with suppress(JobNotFoundError):  # the job ended meanwhile
        for vertex in reading.vertices:
            if not vertex.name.startswith("Source: "):
                continue
            names = [name for name in rest.vertex_metric_names(job_id, vertex.id) if name.endswith(".pendingRecords")]
            if names:
                found += [int(value) for value in rest.vertex_metrics(job_id, vertex.id, names).values()]
    return sum(found) if found else None


def _foreign(rest: FlinkRest, job: JobOverview) -> QueryView:
    said = parse_job_name(job.name)
    record = QueryRecord(
        id="",
        namespace=said.namespace if said else "",
        name=job.name,
        owner="",
        spec=None,
        job_name=job.name,
        job_id=job.id,
        state=QueryState.RUNNING,
    )
    view, _ = _view(rest, record, job)
    return replace(
        view,
        id=None,
        namespace=record.namespace or None,
        owner=None,
        recorded=None,
        desired=None,
        generation=None,
    )
