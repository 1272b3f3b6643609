"""Stops a query: with a savepoint, by draining it, or by canceling its job.

Flink answers 202 to a stop of a finished or unknown job as well. So nothing is believed but the state of the job and
the outcome of the savepoint.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Literal

from orchestration.errors import FlinkError, JobTimeoutError
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.jobs.submission import CANCEL_S
from orchestration.flink.jobs.wait import cancel_job, wait_for_end
from orchestration.flink.queries.checkpoints import knows_savepoint_dir, savepoint_target
from orchestration.flink.queries.find import is_live, job_state, require_free
from orchestration.flink.queries.outcome import Steps
from orchestration.flink.queries.record import QueryRecord, StopMode
from orchestration.flink.queries.registry import describe_error
from orchestration.flink.queries.states import OVER, Desired, QueryState, actual_state

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine

OnFailure = Literal["raise", "cancel"]


def stop_record(
    engine: SqlEngine,
    record: QueryRecord,
    mode: StopMode | None,
    steps: Steps,
    *,
    directory: str | None = None,
    timeout_s: float | None = None,
    on_failure: OnFailure = "raise",
    desired: Desired = Desired.STOPPED,
) -> tuple[QueryRecord, bool]:
    """Stop the job of a query; returns the record, and whether there was a job to stop.

    Args:
        mode: None: with a savepoint when a folder for it is known, else cancel with a warning.
        directory: for the savepoint; None: the query's, the engine's, the cluster's.
        on_failure: what to do when Flink makes no savepoint.
        desired: RUNNING for a stop that a start follows: cut off between the two, the query is started again.

    Raises:
        FlinkError: code `savepoint_failed`; the job goes on, and the record says so.
        JobTimeoutError: code `savepoint_timeout`, or the job does not end; the record stays STOPPING.
        ConflictError: another process is at work on it.
    """
    require_free(record, "stop")
    steps.query_id, steps.job_id = record.id, record.job_id
    state = job_state(engine.rest, record.job_id)
    if not is_live(state):
        return _write_end(engine, record, state, desired, steps), False
    place = savepoint_target(engine, record, directory)
    mode = mode or _default_mode(engine, record, place, steps)
    record = engine.registry.update(
        record,
        event=f"stop ({mode})",
        state=QueryState.STOPPING,
        desired=desired,
        stop_mode=mode,
        savepoint_request=None if mode == "cancel" else uuid.uuid4().hex,
    )
    if mode == "cancel":
        return _cancel(engine, record, steps), True
    try:
        return _with_savepoint(engine, record, place, timeout_s, steps), True
    except JobTimeoutError:
        raise  # the savepoint may still come, and the job may still stop: STOPPING is the truth
    except FlinkError as error:
        return _after_failure(engine, record, error, on_failure, desired, steps)


def _default_mode(engine: SqlEngine, record: QueryRecord, place: str | None, steps: Steps) -> StopMode:
    if record.spec is not None and record.spec.mode == "batch":
        return "cancel"
    if knows_savepoint_dir(engine.rest, place):
        return "savepoint"
    steps.warn("no folder for savepoints is known (SQL_ENGINE_SAVEPOINT_DIR): the job is canceled, its state is lost")
    return "cancel"


def _with_savepoint(
    engine: SqlEngine, record: QueryRecord, place: str | None, timeout_s: float | None, steps: Steps
) -> QueryRecord:
    timeout_s = engine.settings.sql_engine_stop_timeout_s if timeout_s is None else timeout_s
    job_id, is_drain = record.job_id or "", record.stop_mode == "drain"
    what = "draining it, with a savepoint" if is_drain else "stopping it with a savepoint"
    with steps.step("savepoint", f"job {job_id}: {what}"):
        path = engine.rest.stop_with_savepoint(
            job_id,
            target_directory=place,
            drain=is_drain,
            timeout_s=timeout_s,
            trigger_id=record.savepoint_request,
        )
        wait_for_end(engine.rest, job_id, timeout_s=timeout_s)
    if is_drain:
        steps.warn("it was drained: windows were closed early, so a job that starts from its savepoint repeats none")
    return engine.registry.update(
        record,
        event="suspended",
        state=QueryState.SUSPENDED,
        savepoint_path=path,
        savepoint_request=None,
        error_code=None,
        error_text=None,
    )


def _cancel(engine: SqlEngine, record: QueryRecord, steps: Steps) -> QueryRecord:
    job_id = record.job_id or ""
    with steps.step("cancel", f"canceling job {job_id}"):
        try:
            state = cancel_job(engine.rest, job_id, CANCEL_S)
        except JobNotFoundError:
            state = "CANCELED"
    # It may have ended by itself meanwhile: then that is what happened to it.
    return engine.registry.update(
        record,
        event="stopped",
        state=actual_state(state, record),
        savepoint_request=None,
        error_code=None,
        error_text=None,
    )


def _after_failure(
    engine: SqlEngine,
    record: QueryRecord,
    error: FlinkError,
    on_failure: OnFailure,
    desired: Desired,
    steps: Steps,
) -> tuple[QueryRecord, bool]:
    """No savepoint was made. What the job does now decides."""
    state = job_state(engine.rest, record.job_id)
    if not is_live(state):
        steps.warn(f"no savepoint: {error.message}; the job is {state or 'gone'}")
        ended = engine.registry.update(record, event="stopped", stop_mode="cancel", savepoint_request=None)
        return _write_end(engine, ended, state, desired, steps), False
    if on_failure == "cancel":
        steps.warn(f"no savepoint: {error.message}; the job is canceled instead")
        record = engine.registry.update(record, event="stop (cancel)", stop_mode="cancel", savepoint_request=None)
        return _cancel(engine, record, steps), True
    engine.registry.update(
        record,
        event="stop failed",
        state=actual_state(state, record),
        desired=Desired.RUNNING,
        stop_mode=None,
        savepoint_request=None,
        **describe_error(error),
    )
    raise error


def _write_end(
    engine: SqlEngine, record: QueryRecord, state: str | None, desired: Desired, steps: Steps
) -> QueryRecord:
    """Bring the record of a query without a live job up to date."""
    found = record.state
    if record.state not in OVER:
        found = actual_state(state, record) if state is not None else QueryState.STOPPED
        if state is None:
            steps.warn(f"the cluster does not know job {record.job_id} any more")
    elif state == "FAILED":
        found = QueryState.FAILED
    if found is record.state and record.desired is desired:
        return record
    return engine.registry.update(record, event="stop", state=found, desired=desired)
