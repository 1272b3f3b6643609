"""Deploys a query: from its definition to a job that runs, or to nothing at all."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from orchestration.errors import ConflictError, FlinkError
from orchestration.flink.jobs.wait import find_live_jobs
from orchestration.flink.queries.checkpoints import newest_restore_point, saved_restore_point
from orchestration.flink.queries.find import is_live, job_state, require_free
from orchestration.flink.queries.outcome import DeployResult, OnProgress, Steps
from orchestration.flink.queries.plan import plan_job, session_settings, session_spec
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.restore import RestorePoint
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.start import StartOptions, deploy_result, next_submission, start_job
from orchestration.flink.queries.states import BUSY, QueryState
from orchestration.flink.queries.watch import StartRules
from orchestration.flink.text.validate import check_properties, require_valid

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine


def deploy(
    engine: SqlEngine,
    spec: QuerySpec,
    *,
    replace: bool = False,
    require_slots: bool = False,
    keep_on_timeout: bool = False,
    tolerate_restarts: int = 0,
    stable_for_s: float = 3.0,
    on_progress: OnProgress | None = None,
) -> DeployResult:
    """Start a query and return once its job runs steadily, or FINISHED. Idempotent.

    The same definition of a query that runs changes nothing. A query that is over starts again: after a stop with a
    savepoint from there, after a failure from its newest checkpoint, unless `upgrade_mode` is stateless.
    After any failure no job runs, no new sink and no session is left, and the record is FAILED.

    Args:
        replace: another definition runs under the name: upgrade it.
        require_slots: refuse when the cluster has too few free slots; else that is a warning.
        keep_on_timeout: leave a job that is not up in time.
        tolerate_restarts: failures that the job may have while it starts.
        stable_for_s: how long it must run without a failure.

    Raises:
        SqlRefusedError: the SQL breaks a rule, or the sink cannot take the query's rows; nothing was sent.
        ConflictError: another definition runs under the name, or another process is at work on the query.
        StatementError: Flink refuses the statement.
        JobFailedError: the job fails: code `no_slots` or `job_failed`.
        JobTimeoutError: code `job_start_timeout`.
        UnreachableError: cluster or gateway do not answer.
    """
    from orchestration.flink.queries.upgrade import upgrade_record

    steps = Steps(on_progress)
    rules = StartRules(stable_for_s, engine.settings.sql_engine_start_timeout_s, tolerate_restarts)
    check_spec(spec, steps)
    with steps.step("probe", "asking whether gateway and cluster answer"):
        engine.probe()
    record = _existing(engine, spec, steps)
    if record is not None:
        state = job_state(engine.rest, record.job_id)
        if is_live(state):
            if record.spec_hash == spec.spec_hash:
                return _unchanged(engine, record, spec, steps, state)
            if not replace:
                raise _runs_already(record)
            return upgrade_record(engine, record, spec, rules, steps, require_slots=require_slots)
        _refuse_strangers(engine, record)
    check_slots(engine, spec, steps, is_required=require_slots)
    options = StartOptions(rules, keep_on_timeout=keep_on_timeout)
    restore = None if record is None else _restore_point(engine, record, spec, steps)
    return run(engine, record, spec, restore, options, steps)


def check_spec(spec: QuerySpec, steps: Steps) -> None:
    """Check SQL and settings, and collect the warnings.

    Raises:
        SqlRefusedError, ConfigError: they break a rule.
    """
    with steps.step("validate", f"checking the definition of {spec.name}"):
        settings = session_settings(spec, default_parallelism=1)
        problems = require_valid(spec.query, purpose="persistent", mode=spec.mode, properties=settings)
        check_properties(spec.execution)
    for problem in problems:
        steps.warn(str(problem))


def run(
    engine: SqlEngine,
    record: QueryRecord | None,
    spec: QuerySpec,
    restore: RestorePoint | None,
    options: StartOptions,
    steps: Steps,
) -> DeployResult:
    """Plan a job, store its record, start it and return the result. No job of the query may be live.

    Args:
        record: of the query as it was; None: it is new.
    """
    planned_for = record or engine.registry.new_record(spec)
    steps.query_id = planned_for.id
    with engine.session(session_spec(spec, default_parallelism=engine.settings.flink_parallelism)) as session:
        plan = plan_job(engine, session, spec, planned_for, steps)
        for warning in plan.warnings:
            steps.warn(warning)
        fields = plan.record_fields(planned_for.own_sinks)
        with steps.step("record", f"writing query {planned_for.id} into the registry"):
            if record is None:
                stored = engine.registry.insert(dataclasses.replace(planned_for, **fields))
            else:
                changes = next_submission(record, spec, restore) | fields
                stored = engine.registry.update(record, event="deploy", **changes)
        try:
            started = start_job(engine, session, stored, plan, restore, options, steps)
        finally:
            engine.forget_sinks()
    return deploy_result(engine, started, steps, restore=restore)


def check_slots(engine: SqlEngine, spec: QuerySpec, steps: Steps, *, is_required: bool, freed: int = 0) -> None:
    """Warn when the cluster has too few free slots for the query.

    Args:
        freed: slots that its running job gives back first.

    Raises:
        FlinkError: code `no_slots`, and `is_required`.
    """
    overview = engine.rest.overview()
    wanted = spec.parallelism or engine.settings.flink_parallelism
    free = overview.slots_available + freed
    if wanted <= free:
        return
    text = f"query {spec.name} wants {wanted} slots; {free} of the cluster's {overview.slots_total} are free"
    if is_required:
        raise FlinkError(text, hint="stop other jobs or lower the parallelism", context={"code": "no_slots"})
    steps.warn(text)


def _existing(engine: SqlEngine, spec: QuerySpec, steps: Steps) -> QueryRecord | None:
    """Return the query of that name; what a process that died left undone is repaired first."""
    from orchestration.flink.queries.reconcile import reconcile

    record = engine.registry.get(spec.name)
    if record is None or record.name != spec.name:
        return None
    require_free(record, "deploy")
    if record.state not in BUSY:
        return record
    with steps.step("repair", f"query {record.name} was left {record.state.value}: repairing it"):
        reconcile(engine)
    record = engine.registry.require(record.id, include_deleted=True)
    if record.state is QueryState.DELETED:
        return None
    if record.state in BUSY:
        raise ConflictError(
            f"query {record.name} is still {record.state.value}",
            hint="run 'millrace sql reconcile', then deploy again",
            context={"query_id": record.id, "job_id": record.job_id or ""},
        )
    return record


def _unchanged(engine: SqlEngine, record: QueryRecord, spec: QuerySpec, steps: Steps, job: str | None) -> DeployResult:
    if job != "RUNNING":
        steps.warn(f"its job {record.job_id} is {job}")
    if record.spec != spec:  # a label, or how it is watched
        record = engine.registry.update(record, event="describe", spec=spec)
    steps.say(f"query {record.name} runs already with this definition")
    return deploy_result(engine, record, steps, unchanged=True)


def _runs_already(record: QueryRecord) -> ConflictError:
    return ConflictError(
        f"query {record.name} runs with another definition, as job {record.job_id}",
        hint="deploy it with replace (--replace), or choose another name",
        context={"query_id": record.id, "job_id": record.job_id or "", "job_name": record.job_name},
    )


def _refuse_strangers(engine: SqlEngine, record: QueryRecord) -> None:
    live = find_live_jobs(engine.rest, record.job_name)
    if live:
        ids = ", ".join(job.id for job in live)
        raise ConflictError(
            f"a job of the query's name {record.job_name} runs that the registry does not know: {ids}",
            hint="run 'millrace sql reconcile', then deploy again",
            context={"query_id": record.id, "job_id": live[0].id, "job_name": record.job_name},
        )


def _restore_point(engine: SqlEngine, record: QueryRecord, spec: QuerySpec, steps: Steps) -> RestorePoint | None:
    """Return what a query that is over continues from."""
    if spec.upgrade_mode == "stateless" or record.started_at is None:
        return None
    match record.state:
        case QueryState.SUSPENDED:
            return saved_restore_point(engine.rest, record)
        case QueryState.FAILED | QueryState.LOST:
            point = newest_restore_point(engine.rest, record)
            if point is None:
                steps.warn("it starts without state: its last job left no checkpoint")
            return point
        case QueryState.STOPPED:
            steps.warn("it starts without state: it was canceled, not stopped with a savepoint")
            return None
        case _:
            return None
