"""Replaces the definition of a query that runs, and goes back to the old one when the new one does not get going."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.errors import JobFailedError, MillraceError
from orchestration.flink.queries.checkpoints import newest_restore_point
from orchestration.flink.queries.deploy import check_slots, run
from orchestration.flink.queries.find import require_free
from orchestration.flink.queries.outcome import DeployResult, Steps
from orchestration.flink.queries.plan import explain, plan_job, session_spec
from orchestration.flink.queries.record import QueryRecord, StopMode
from orchestration.flink.queries.restore import RestorePoint
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.start import StartOptions
from orchestration.flink.queries.states import OVER, Desired, QueryState
from orchestration.flink.queries.stop import stop_record
from orchestration.flink.queries.watch import StartRules

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine


def upgrade_record(
    engine: SqlEngine,
    record: QueryRecord,
    spec: QuerySpec,
    rules: StartRules,
    steps: Steps,
    *,
    require_slots: bool = False,
    allow_non_restored_state: bool = False,
) -> DeployResult:
    """Stop the live job of a query, and start the new definition from its state.

    The new definition is planned and dry run first, against the sink as it is: what Flink refuses stops nothing. When
    its job does not run, or makes no checkpoint in time, the old definition starts again from the same state.

    Raises:
        SqlRefusedError, StatementError: the new definition was refused; the old job runs on untouched.
        JobFailedError, JobTimeoutError, FlinkError: the new job failed; the message says what runs now, and the
            context's `savepoint` holds the old job's state.
    """
    require_free(record, "upgrade")
    old = record.spec
    freed = 0 if old is None else old.parallelism or engine.settings.flink_parallelism
    check_slots(engine, spec, steps, is_required=require_slots, freed=freed)
    _rehearse(engine, record, spec, steps)
    stopped, left = stop_for_start(engine, record, _stop_mode(spec), steps)
    # A job that cannot write its sink may well be RUNNING; a checkpoint proves that it can.
    options = StartOptions(
        rules, needs_checkpoint=spec.mode == "streaming", allow_non_restored_state=allow_non_restored_state
    )
    restore = None if spec.upgrade_mode == "stateless" else left
    return run_or_go_back(engine, stopped, spec, restore, options, steps, old=record, left=left)


def run_or_go_back(
    engine: SqlEngine,
    record: QueryRecord,
    spec: QuerySpec,
    restore: RestorePoint | None,
    options: StartOptions,
    steps: Steps,
    *,
    old: QueryRecord,
    left: RestorePoint | None,
) -> DeployResult:
    """Start a new definition; when that fails, start the old one again and say so in the error.

    Args:
        old: the query as it was before the new definition.
        left: the state that its job left.
    """
    try:
        return run(engine, record, spec, restore, options, steps)
    except MillraceError as error:
        raise _explained(error, left, _roll_back(engine, old, left, options.rules, steps)) from error
    except BaseException as interrupt:
        interrupt.add_note(_roll_back(engine, old, left, options.rules, steps))
        raise


def interrupted_upgrade_of(engine: SqlEngine, record: QueryRecord) -> QueryRecord | None:
    """Return the query as it was before an upgrade that was cut off before its job ran, or None: it is no such."""
    if record.state is not QueryState.DEPLOYING or record.has_run:
        return None
    before = engine.registry.generations(record.id)[-1:]
    return before[0] if before and before[0].has_run else None


def stop_for_start(
    engine: SqlEngine, record: QueryRecord, mode: StopMode, steps: Steps
) -> tuple[QueryRecord, RestorePoint | None]:
    """Stop a query that is started again at once; returns its record, and the state that its job left.

    That is the savepoint that the stop made, or after a cancel the newest checkpoint.
    """
    stopped, _ = stop_record(engine, record, mode, steps, desired=Desired.RUNNING)
    if stopped.state is QueryState.SUSPENDED and stopped.savepoint_path is not None:
        return stopped, RestorePoint("savepoint", stopped.savepoint_path)
    return stopped, newest_restore_point(engine.rest, stopped)


def _stop_mode(spec: QuerySpec) -> StopMode:
    return "savepoint" if spec.upgrade_mode == "savepoint" and spec.mode == "streaming" else "cancel"


def _rehearse(engine: SqlEngine, record: QueryRecord, spec: QuerySpec, steps: Steps) -> None:
    """Plan the new job and have Flink explain it, while the old one runs. Leaves nothing behind."""
    quiet = Steps(steps.say)
    with (
        steps.step("rehearse", "trying the new definition while the old job runs"),
        engine.session(session_spec(spec, default_parallelism=engine.settings.flink_parallelism)) as session,
    ):
        plan = plan_job(engine, session, spec, record, quiet)
        if any(branch.is_new and branch.is_lasting for branch in plan.branches):
            return  # a table that all see is not made for a rehearsal
        for branch in plan.branches:
            for statement in branch.statements():
                session.execute(statement).close()
        session.execute(explain(plan.statement)).close()


def _roll_back(
    engine: SqlEngine, record: QueryRecord, left: RestorePoint | None, rules: StartRules, steps: Steps
) -> str:
    """Start the old definition again from the state that its job left, and say what came of it."""
    current = engine.registry.require(record.id)
    where = f"from {left.path}" if left is not None else "without state"
    if record.spec is None:
        return f"the old definition is not known, so nothing runs; its state is {where.removeprefix('from ')}"
    if current.state not in OVER:
        return f"query {record.name} is {current.state.value}, so the old definition was not started"
    steps.say(f"going back to the old definition, {where}")
    try:
        back = run(engine, current, record.spec, left, StartOptions(rules), steps)
    except MillraceError as error:
        return f"the old definition could not be started again {where}: {error.message}"
    return f"the old definition runs again as job {back.job_id}, {where}"


def _explained(error: MillraceError, left: RestorePoint | None, outcome: str) -> MillraceError:
    message = f"the upgrade failed: {error.message}; {outcome}"
    context = {**error.context, "code": error.code, "savepoint": left.path if left is not None else ""}
    if isinstance(error, JobFailedError):
        return JobFailedError(message, hint=error.hint, context=context, root_cause=error.root_cause, state=error.state)
    return type(error)(message, hint=error.hint, context=context)
