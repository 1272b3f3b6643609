"""Brings the registry and the cluster together again after a kill, a restart or a change from outside.

Safe from several processes: a record that a living process holds is left alone, and a change of a record that somebody
else changed first is dropped. What is done about a query is decided in decision.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orchestration.errors import ConflictError, FlinkError, MillraceError, NotFoundError
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.models import TERMINAL, JobOverview
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.wait import failure_cause
from orchestration.flink.queries import lifecycle, names
from orchestration.flink.queries.adoption import adopt_jobs
from orchestration.flink.queries.checkpoints import newest_restore_point
from orchestration.flink.queries.decision import Action, Decision, Facts, Savepoint, counted, decide
from orchestration.flink.queries.holder import is_at_work
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.registry import Registry, describe_error
from orchestration.flink.queries.repair import Repair
from orchestration.flink.queries.states import QueryState, find_job

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine

KEEP_DELETED = timedelta(days=30)
_MOST_STEPS = 4
"""The longest way: a stop that was cut off, suspended, started again, running."""


def reconcile(engine: SqlEngine, *, recover: bool = False) -> list[Repair]:
    """Repair the records of this namespace and return what was done; nothing to do gives an empty list.

    Marks queries whose job is gone LOST, applies restart policies, finishes what a killed process had begun, adopts
    jobs of ours that have no record, remembers the newest checkpoints, and forgets queries deleted 30 days ago.

    Args:
        recover: start LOST queries again from their last completed checkpoint or savepoint.

    Raises:
        UnreachableError: the cluster or the registry's database does not answer. No record was changed for that.
    """
    now = datetime.now(UTC)
    engine.registry.forget_deleted(now - KEEP_DELETED)
    # Records first: a job that a record knows is then on the cluster, or it was never there or is gone.
    records = engine.registry.all()
    jobs = engine.rest.jobs_overview()
    repairs: list[Repair] = []
    for record in records:
        try:
            _repair(engine, record, jobs, repairs, recover=recover)
        except ConflictError:  # another process was faster
            continue
        except FlinkError as error:  # about this query's job alone, such as a state that we do not know
            warning = Decision(Action.WARN, "the cluster's answer about it is not understood")
            repairs.append(_report(record, record, warning, error))
    return [*repairs, *adopt_jobs(engine, jobs, records)]


def recover(engine: SqlEngine) -> list[Repair]:
    """Give every live job whose name is one of ours a record again; a lost registry is rebuilt so.

    The record has the definition of flink_sql/queries if one of that name is declared there; else the definition is
    unknown until the query is deployed again.

    Raises:
        UnreachableError: the cluster or the registry's database does not answer.
    """
    return adopt_jobs(engine, engine.rest.jobs_overview(), engine.registry.all())


def _repair(
    engine: SqlEngine, record: QueryRecord, jobs: Sequence[JobOverview], repairs: list[Repair], *, recover: bool
) -> None:
    registry, rest = engine.registry, engine.rest
    if is_at_work(record.holder, record.held_until, datetime.now(UTC)):
        return
    for _ in range(_MOST_STEPS):
        now = datetime.now(UTC)
        facts = gather(rest, record, jobs)
        decision = decide(record, facts, now=now, recover=recover)
        match decision.action:
            case Action.NOTHING:
                break
            case Action.WARN:
                repairs.append(_report(record, record, decision))
                break
            case Action.SET_STATE:
                changed = registry.update(
                    record, event=f"reconcile: {decision.reason}", **_changes(record, facts, decision)
                )
                repairs.append(_report(record, changed, decision))
                record = changed
            case _:
                repairs.append(_act(engine, record, decision, now))
                return
    _look_at_checkpoint(registry, rest, record, jobs)


def gather(rest: FlinkRest, record: QueryRecord, jobs: Sequence[JobOverview]) -> Facts:
    """Return what the cluster says about a query."""
    job = find_job(record, jobs)
    if job is None:
        return Facts()
    savepoint = _savepoint(rest, record, job) if record.state is QueryState.STOPPING else None
    cause = failure_cause(rest, job.id) if job.state == "FAILED" and record.state is not QueryState.FAILED else ""
    return Facts(job.id, job.state, savepoint, cause)


def _savepoint(rest: FlinkRest, record: QueryRecord, job: JobOverview) -> Savepoint | None:
    if record.stop_mode == "cancel":
        return None
    if record.savepoint_request is not None:
        with suppress(JobNotFoundError):  # Flink forgets requests after some minutes
            trigger = rest.savepoint_status(job.id, record.savepoint_request)
            path = trigger.operation.location if trigger.operation else None
            if trigger.status.id != "COMPLETED":
                return Savepoint("in_progress")
            return Savepoint("done", path) if path else Savepoint("failed")
    if job.state != "FINISHED":
        return None
    with suppress(JobNotFoundError):
        last = rest.checkpoints(job.id).latest.savepoint
        if last is not None and last.path:
            return Savepoint("done", last.path)
    return None


def _changes(record: QueryRecord, facts: Facts, decision: Decision) -> dict[str, Any]:
    changes: dict[str, Any] = {"state": decision.state}
    if facts.is_live and facts.job_id != record.job_id and facts.job_id is not None:
        changes["job_id"] = facts.job_id
        submission = names.find_submission(record.id, facts.job_id)
        if submission is not None and submission > (record.generation, record.attempt):
            changes["generation"], changes["attempt"] = submission
    if decision.error_code is not None:
        changes |= {"error_code": decision.error_code, "error_text": decision.reason}
    elif facts.is_live:
        changes |= {"error_code": None, "error_text": None}
    if decision.savepoint_path is not None:
        changes["savepoint_path"] = decision.savepoint_path
    return changes


def _act(engine: SqlEngine, record: QueryRecord, decision: Decision, now: datetime) -> Repair:
    """Do what needs more than a change of the record, as its holder."""
    changes = {"restarts": counted(record, now)} if decision.is_policy else {}
    held = engine.registry.claim(record, event=f"reconcile: {decision.reason}", **changes)
    try:
        match decision.action:
            case Action.FINISH_STOP:
                lifecycle.stop(engine, held.id, held.stop_mode)
            case Action.FINISH_DELETE:
                # What else was to be dropped, only the process knew that is gone: the data stay.
                lifecycle.delete(engine, held.id, drop_sink=False)
            case _:
                _restart(engine, held)
    except MillraceError as error:
        after = _let_go(engine.registry, held, error)
        return _report(record, after, decision, error)
    return _report(record, engine.registry.require(held.id, include_deleted=True), decision)


def _restart(engine: SqlEngine, record: QueryRecord) -> None:
    if record.spec is None:
        raise NotFoundError(
            f"the definition of query {record.name!r} is not known: its record was rebuilt from the job's name",
            hint="deploy it again",
            context={"query_id": record.id},
        )
    is_stateless = record.spec.upgrade_mode == "stateless"
    point = None if is_stateless else newest_restore_point(engine.rest, record)
    lifecycle.restart(engine, record.id, from_="fresh" if point is None else "latest_checkpoint")


def _let_go(registry: Registry, held: QueryRecord, error: MillraceError) -> QueryRecord:
    """Write the error down, unless the operation that failed did, and return the record."""
    now = registry.require(held.id, include_deleted=True)
    if now.holder != held.holder:
        return now
    with suppress(ConflictError):
        return registry.release(now, event="reconcile", state=_without_process(now), **describe_error(error))
    return registry.require(held.id, include_deleted=True)


def _without_process(record: QueryRecord) -> QueryState:
    """A restart that failed leaves a query that does not run; the other states are taken up by the next `reconcile`."""
    return QueryState.FAILED if record.state is QueryState.DEPLOYING else record.state


def _look_at_checkpoint(registry: Registry, rest: FlinkRest, record: QueryRecord, jobs: Iterable[JobOverview]) -> None:
    if not any(job.id == record.job_id and job.state not in TERMINAL for job in jobs):
        return
    with suppress(JobNotFoundError):  # also the answer for a job that makes no checkpoints
        last = rest.checkpoints(record.job_id or "").latest.completed
        if last is not None and last.path and last.path != record.checkpoint_path:
            registry.note_checkpoint(record, last.path)


def _report(before: QueryRecord, after: QueryRecord, decision: Decision, error: MillraceError | None = None) -> Repair:
    text = str(error) if error else None
    return Repair(before.id, before.name, decision.action.value, before.state, after.state, decision.reason, text)
