"""Gives jobs of ours that no record knows a record again, by what their names say."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestration.errors import ConfigError, ConflictError
from orchestration.flink.client.models import TERMINAL, JobOverview
from orchestration.flink.queries import names
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.repair import Repair
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.spec_files import load_specs
from orchestration.flink.queries.states import QueryState, actual_state

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine


def adopt_jobs(engine: SqlEngine, jobs: Iterable[JobOverview], records: Iterable[QueryRecord]) -> list[Repair]:
    """Insert a record for each live job of our namespace whose query id is in none of `records`.

    A second one of the same name gets its id behind its name.
    """
    registry = engine.registry
    known = {record.id for record in records}
    taken = {record.name for record in records if record.state is not QueryState.DELETED}
    repairs: list[Repair] = []
    for job, name in _unknown(jobs, registry.namespace, known):
        record = _record_of(job, name, _declared(engine).get(name.safe), registry.who)
        if record.name in taken:
            record = replace(record, name=f"{name.safe}_{name.query_id}")
        taken.add(record.name)
        with suppress(ConflictError):  # another process was faster
            stored = registry.insert(record, event="recover")
            reason = f"job {job.id} has its id in its name and no record"
            repairs.append(Repair(stored.id, stored.name, "adopt", None, stored.state, reason))
    return repairs


def _unknown(jobs: Iterable[JobOverview], namespace: str, known: set[str]) -> list[tuple[JobOverview, names.JobName]]:
    """Return the live jobs of queries that are not known, one a query: the newest."""
    found: dict[str, tuple[JobOverview, names.JobName]] = {}
    for job in jobs:
        name = names.parse_job_name(job.name)
        if job.state in TERMINAL or name is None or name.namespace != namespace or name.query_id in known:
            continue
        if name.query_id not in found or _started(job) > _started(found[name.query_id][0]):
            found[name.query_id] = job, name
    return sorted(found.values(), key=lambda pair: _started(pair[0]), reverse=True)


def _started(job: JobOverview) -> float:
    return job.start_time.timestamp() if job.start_time else 0.0


def _declared(engine: SqlEngine) -> dict[str, QuerySpec]:
    try:
        return {names.safe_name(spec.name): spec for spec in load_specs(engine.settings.queries_dir)}
    except ConfigError:  # a broken file must not keep a job without a record
        return {}


def _record_of(job: JobOverview, name: names.JobName, spec: QuerySpec | None, who: str) -> QueryRecord:
    """Return the record; `spec_hash` stays empty, as the job may run an older definition than the declared one."""
    generation, attempt = names.find_submission(name.query_id, job.id) or (1, 1)
    record = QueryRecord(
        id=name.query_id,
        namespace=name.namespace,
        name=spec.name if spec else name.safe,
        owner=spec.labels.get("owner", who) if spec else who,
        spec=spec,
        job_name=job.name,
        generation=generation,
        attempt=attempt,
        job_id=job.id,
        started_at=job.start_time,
    )
    return replace(record, state=actual_state(job.state, record))
