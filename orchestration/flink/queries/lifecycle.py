"""The operations on a deployed query: stop, restart, upgrade, delete, savepoint.

Each one writes into the registry what it is about to do before it does it, so that `reconcile` can finish it, or take
it back, when the process dies in between.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from orchestration.errors import ConflictError, InputError
from orchestration.flink.jobs.wait import job_failure, wait_for_end
from orchestration.flink.queries.checkpoints import newest_restore_point, saved_restore_point, savepoint_target
from orchestration.flink.queries.delete import delete_query
from orchestration.flink.queries.deploy import check_spec, deploy, run
from orchestration.flink.queries.find import find_query, is_live, job_state, require_free
from orchestration.flink.queries.outcome import (
    DeleteResult,
    DeployResult,
    OnProgress,
    SavepointResult,
    Steps,
    StopResult,
)
from orchestration.flink.queries.record import QueryRecord, StopMode
from orchestration.flink.queries.restore import RestorePoint
from orchestration.flink.queries.start import StartOptions
from orchestration.flink.queries.states import QueryState
from orchestration.flink.queries.stop import OnFailure, stop_record
from orchestration.flink.queries.upgrade import interrupted_upgrade_of, run_or_go_back, stop_for_start, upgrade_record
from orchestration.flink.queries.watch import StartRules

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine
    from orchestration.flink.queries.spec import QuerySpec

__all__ = ["RestartFrom", "StopMode", "delete", "restart", "savepoint", "stop", "upgrade", "wait_finished"]

RestartFrom = Literal["savepoint", "latest_checkpoint", "fresh"]


def stop(
    engine: SqlEngine,
    ref: str,
    mode: StopMode | None = None,
    *,
    savepoint_dir: str | None = None,
    timeout_s: float | None = None,
    on_failure: OnFailure = "raise",
    on_progress: OnProgress | None = None,
) -> StopResult:
    """Stop a query. One without a live job stays as it is: `changed` is False.

    Args:
        mode: None: with a savepoint when a folder for it is known, else cancel with a warning. `drain` ends all
            windows first.
        savepoint_dir: None: the query's, the engine's or the cluster's.
        timeout_s: for the savepoint; None: SQL_ENGINE_STOP_TIMEOUT.
        on_failure: cancel the job when it makes no savepoint.

    Raises:
        NotFoundError: nothing has this id. InputError: it is no id and no query's name.
        FlinkError: code `savepoint_failed`; the job goes on.
        JobTimeoutError: code `savepoint_timeout`; `reconcile` finishes the stop.
        ConflictError: another process is at work on the query.
    """
    steps = Steps(on_progress)
    record, changed = stop_record(
        engine,
        find_query(engine, ref),
        mode,
        steps,
        directory=savepoint_dir,
        timeout_s=timeout_s,
        on_failure=on_failure,
    )
    return StopResult(
        query_id=record.id,
        name=record.name,
        job_id=record.job_id,
        state=record.state.value,
        changed=changed,
        savepoint_path=record.savepoint_path,
        warnings=tuple(steps.warnings),
        timings=dict(steps.timings),
    )


def restart(
    engine: SqlEngine,
    ref: str,
    from_: RestartFrom = "savepoint",
    *,
    allow_non_restored_state: bool = False,
    stable_for_s: float = 3.0,
    on_progress: OnProgress | None = None,
) -> DeployResult:
    """Start a query again with the definition it has; one that runs is stopped first.

    Args:
        from_: `savepoint`: of a running query a new one is made. `latest_checkpoint`: the newest checkpoint or
            savepoint that there is. `fresh`: without state.
        allow_non_restored_state: leave out state of the savepoint that the job has no operator for.

    Raises:
        ConflictError: there is no such state, or starting from it would lose rows.
        InputError: its definition is not known (it was recovered from its job's name).
        JobFailedError, JobTimeoutError, StatementError: as `deploy`; the record is FAILED and keeps the savepoint. If
            it was about an upgrade that had been cut off, the old definition runs again.
    """
    steps = Steps(on_progress)
    record = find_query(engine, ref)
    spec = record.spec
    if spec is None:
        raise InputError(
            f"the definition of query {record.name} is not known", hint="deploy it with its definition and replace"
        )
    require_free(record, "restart")
    engine.probe()
    if is_live(job_state(engine.rest, record.job_id)):
        mode = "savepoint" if from_ == "savepoint" and spec.mode == "streaming" else "cancel"
        record, restore = stop_for_start(engine, record, mode, steps)
    elif from_ == "savepoint":
        restore = saved_restore_point(engine.rest, record)
    else:
        restore = newest_restore_point(engine.rest, record) if from_ == "latest_checkpoint" else None
    rules = StartRules(stable_for_s, engine.settings.sql_engine_start_timeout_s)
    options = StartOptions(rules, allow_non_restored_state=allow_non_restored_state)
    restore = _required(record, from_, restore)
    old = interrupted_upgrade_of(engine, record)
    if old is not None:
        return run_or_go_back(engine, record, spec, restore, options, steps, old=old, left=restore)
    return run(engine, record, spec, restore, options, steps)


def _required(record: QueryRecord, from_: RestartFrom, restore: RestorePoint | None) -> RestorePoint | None:
    if from_ == "fresh" or (record.spec is not None and record.spec.mode == "batch"):
        return None
    if restore is None:
        what = "savepoint" if from_ == "savepoint" else "checkpoint or savepoint"
        raise ConflictError(
            f"query {record.name} ({record.state.value}) has no {what} to start from",
            hint="restart it from latest_checkpoint" if from_ == "savepoint" else "restart it fresh, without state",
            context={"query_id": record.id},
        )
    return restore


def upgrade(
    engine: SqlEngine,
    spec: QuerySpec,
    *,
    allow_non_restored_state: bool = False,
    require_slots: bool = False,
    stable_for_s: float = 3.0,
    on_progress: OnProgress | None = None,
) -> DeployResult:
    """Replace the definition of a query; its `upgrade_mode` says what state goes over. See `upgrade_record`.

    One that runs with this very definition stays as it is; one that is over is deployed.

    Raises:
        NotFoundError, InputError: there is no query of that name.
        SqlRefusedError, StatementError: the new definition was refused; the old job runs on.
        JobFailedError, JobTimeoutError, FlinkError: the new job failed, and the old definition runs again.
    """
    record = find_query(engine, spec.name)
    if not is_live(job_state(engine.rest, record.job_id)) or record.spec_hash == spec.spec_hash:
        return deploy(
            engine,
            spec,
            replace=True,
            require_slots=require_slots,
            stable_for_s=stable_for_s,
            on_progress=on_progress,
        )
    steps = Steps(on_progress)
    check_spec(spec, steps)
    engine.probe()
    return upgrade_record(
        engine,
        record,
        spec,
        StartRules(stable_for_s, engine.settings.sql_engine_start_timeout_s),
        steps,
        require_slots=require_slots,
        allow_non_restored_state=allow_non_restored_state,
    )


def delete(
    engine: SqlEngine,
    ref: str,
    *,
    drop_sink: bool = True,
    drop_data: bool = False,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> DeleteResult:
    """Cancel a query's job, drop its sink, and mark it deleted. A second time changes nothing.

    Args:
        drop_sink: a sink that exists in sessions only is no longer declared for others. One whose rows would go with
            it (Iceberg) is kept until `drop_data`.
        drop_data: drop tables with their rows, topics, and folders of files.
        force: although other queries read the sink, another process works on it, or the job does not end; and for the
            id of a job that no query has.

    Raises: as `delete_query`.
    """
    steps = Steps(on_progress)
    return delete_query(engine, ref, steps, with_sink=drop_sink, with_data=drop_data, force=force)


def wait_finished(engine: SqlEngine, ref: str, *, timeout_s: float = 1800.0) -> StopResult:
    """Wait until the job of a bounded query is over, and return the query as FINISHED.

    Raises:
        JobFailedError: the job FAILED or was canceled; carries the root cause.
        JobTimeoutError: it still runs after `timeout_s`; it goes on.
        NotFoundError, InputError: as `stop`.
    """
    record = find_query(engine, ref)
    if record.state is not QueryState.FINISHED:
        detail = wait_for_end(engine.rest, record.job_id or "", timeout_s=timeout_s)
        record, _ = stop_record(engine, engine.registry.require(record.id), None, Steps(), desired=record.desired)
        if detail.state != "FINISHED":
            raise job_failure(engine.rest, detail)
    return StopResult(record.id, record.name, record.job_id, record.state.value, changed=False)


def savepoint(
    engine: SqlEngine, ref: str, *, savepoint_dir: str | None = None, timeout_s: float | None = None
) -> SavepointResult:
    """Make a savepoint of a query that goes on.

    Raises:
        NotFoundError, InputError: as `stop`.
        ConflictError: the query has no live job.
        FlinkError: code `savepoint_failed`. JobTimeoutError: code `savepoint_timeout`.
    """
    record = find_query(engine, ref)
    if not is_live(job_state(engine.rest, record.job_id)):
        raise ConflictError(
            f"query {record.name} ({record.state.value}) has no job that could make a savepoint",
            context={"query_id": record.id},
        )
    started = time.monotonic()
    path = engine.rest.trigger_savepoint(
        record.job_id or "",
        target_directory=savepoint_target(engine, record, savepoint_dir),
        timeout_s=engine.settings.sql_engine_stop_timeout_s if timeout_s is None else timeout_s,
    )
    current = engine.registry.require(record.id)
    engine.registry.update(current, event="savepoint", savepoint_path=path)
    return SavepointResult(record.id, record.name, record.job_id or "", path, round(time.monotonic() - started, 3))
