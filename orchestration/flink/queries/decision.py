"""What `reconcile` does about one query: a pure function of its record and of what the cluster says.

Each pass takes one step and looks again, so a rule only has to know its own state: a stop that was cut off first
becomes SUSPENDED, and then, if the query is to run, is started again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from orchestration.flink.client.models import TERMINAL
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.spec import RestartPolicy
from orchestration.flink.queries.states import OVER, Desired, QueryState, actual_state

HOUR = timedelta(hours=1)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 600.0


class Action(StrEnum):
    """What to do."""

    NOTHING = "nothing"
    SET_STATE = "set_state"
    """Write what the cluster says into the record."""
    RESTART = "restart"
    FINISH_STOP = "finish_stop"
    FINISH_DELETE = "finish_delete"
    WARN = "warn"
    """Tell people; there is nothing that is safe to do."""


@dataclass(frozen=True)
class Savepoint:
    """What became of the savepoint that a stop asked for; `path` is None unless it is done."""

    status: Literal["in_progress", "done", "failed"]
    path: str | None = None


@dataclass(frozen=True)
class Facts:
    """What the cluster says about a query.

    Args:
        job_id, job_state: of the query's job; None: the cluster knows none.
        savepoint: None: none was asked for, or Flink forgot it.
        cause: why the job failed; empty: it did not, or Flink does not say.
    """

    job_id: str | None = None
    job_state: str | None = None
    savepoint: Savepoint | None = None
    cause: str = ""

    @property
    def is_live(self) -> bool:
        """Whether the job runs or may run again by itself."""
        return self.job_state is not None and self.job_state not in TERMINAL


@dataclass(frozen=True)
class Decision:
    """One step.

    Args:
        state: for SET_STATE.
        reason: one clause for people and events.
        error_code: for SET_STATE into a state that somebody has to look at.
        savepoint_path: for SET_STATE, a savepoint that was found.
        is_policy: for RESTART, it counts against the restart policy.
    """

    action: Action
    reason: str = ""
    state: QueryState | None = None
    error_code: str | None = None
    savepoint_path: str | None = None
    is_policy: bool = False


_NOTHING = Decision(Action.NOTHING)


def decide(record: QueryRecord, facts: Facts, *, now: datetime, recover: bool) -> Decision:
    """Return the next step for a query that no process is at work on.

    Args:
        recover: start LOST queries again.
    """
    decision = _step(record, facts, now, recover)
    is_owners = record.spec is not None and record.spec.restart_policy.kind == "owner"
    return _left_to_owner(record, decision) if is_owners and decision.action is Action.RESTART else decision


def _left_to_owner(record: QueryRecord, decision: Decision) -> Decision:
    reason = f"{decision.reason}; its owner starts it again"
    if record.state is QueryState.DEPLOYING:
        return Decision(Action.SET_STATE, reason, QueryState.FAILED, error_code="cancelled")
    return Decision(Action.WARN, reason)


def _step(record: QueryRecord, facts: Facts, now: datetime, recover: bool) -> Decision:
    match record.state:
        case QueryState.DELETED:
            return _deleted(record, facts)
        case QueryState.DELETING:
            return Decision(Action.FINISH_DELETE, "its delete was cut off")
        case QueryState.STOPPING:
            return _stopping(record, facts)
        case QueryState.DEPLOYING:
            return _deploying(record, facts, now)
        case _:
            return _settled(record, facts, now, recover)


def _deleted(record: QueryRecord, facts: Facts) -> Decision:
    if not facts.is_live:
        return _NOTHING
    return Decision(Action.WARN, f"the query is deleted, but its job {facts.job_id} is {facts.job_state}; cancel it")


def _stopping(record: QueryRecord, facts: Facts) -> Decision:
    savepoint = facts.savepoint
    if savepoint is not None and savepoint.status == "done" and not facts.is_live:
        reason = "its stop was cut off after the savepoint"
        return Decision(Action.SET_STATE, reason, QueryState.SUSPENDED, savepoint_path=savepoint.path)
    if facts.job_state is None:
        reason = "its stop was cut off, and the cluster no longer knows the job"
        state = QueryState.LOST if record.desired is Desired.RUNNING else QueryState.STOPPED
        return Decision(Action.SET_STATE, reason, state, error_code="job_not_found")
    if not facts.is_live:
        state = actual_state(facts.job_state, record)
        if state is QueryState.SUSPENDED:  # by a savepoint that nobody can name: it read its sources to their end
            state = QueryState.FINISHED
        return _ended(state, facts, "its stop was cut off")
    if facts.job_state == "CANCELLING" or (savepoint is not None and savepoint.status != "failed"):
        return _NOTHING
    if record.desired is Desired.RUNNING:
        reason = "a restart or upgrade was cut off before its stop; the old job goes on"
        return Decision(Action.SET_STATE, reason, actual_state(facts.job_state, record))
    return Decision(Action.FINISH_STOP, "its stop was cut off")


def _deploying(record: QueryRecord, facts: Facts, now: datetime) -> Decision:
    if facts.is_live:
        return Decision(
            Action.SET_STATE, "its deploy was cut off, the job is there", actual_state(facts.job_state, record)
        )
    if facts.job_state is not None:
        return _ended(actual_state(facts.job_state, record), facts, "its deploy was cut off")
    if record.generation == 1 and not record.has_run:
        reason = "its deploy was cut off before the job was submitted"
        return Decision(Action.SET_STATE, reason, QueryState.FAILED, error_code="cancelled")
    return _start_again(record, now, "a restart or upgrade was cut off before the job was submitted")


def _settled(record: QueryRecord, facts: Facts, now: datetime, recover: bool) -> Decision:
    actual = actual_state(facts.job_state, record)
    is_same_job = facts.job_id in (None, record.job_id)
    if facts.job_state is not None and (actual != record.state or not is_same_job):
        if not facts.is_live and record.state in OVER:
            return _start_if_due(record, now, recover)  # how it ended is known already, and better than Flink knows
        return _seen(record, facts, actual, is_same_job)
    if actual != record.state:  # LOST
        return Decision(
            Action.SET_STATE, "the cluster no longer knows its job", QueryState.LOST, error_code="job_not_found"
        )
    return _start_if_due(record, now, recover)


def _seen(record: QueryRecord, facts: Facts, actual: QueryState, is_same_job: bool) -> Decision:
    if not facts.is_live:
        return _ended(actual, facts, "its job ended")
    reason = f"its job is {facts.job_state}"
    if not is_same_job:
        reason = f"job {facts.job_id} has its name and runs"
    if record.desired is Desired.STOPPED:
        reason += ", although it should be stopped"
    return Decision(Action.SET_STATE, reason, actual)


def _start_if_due(record: QueryRecord, now: datetime, recover: bool) -> Decision:
    if record.desired is not Desired.RUNNING:
        return _NOTHING
    match record.state:
        case QueryState.LOST if recover:
            if record.spec is not None and record.spec.mode == "batch":
                return Decision(Action.WARN, "a lost batch query is not run again by itself: it may have written rows")
            return Decision(Action.RESTART, "its job was lost")
        case QueryState.SUSPENDED | QueryState.STOPPED if record.stop_mode is not None:
            return _start_again(record, now, "a restart or upgrade was cut off after its stop")
        case QueryState.FAILED if record.has_run and record.spec is not None:
            return _policy(record, now, record.spec.restart_policy)
        case _:
            return _NOTHING


def _start_again(record: QueryRecord, now: datetime, reason: str) -> Decision:
    """Start a query whose restart was cut off; one that kills its deployer each time is given up."""
    most = record.spec.restart_policy.max_per_hour if record.spec else 1
    if len(_recent(record, now)) >= most:
        return Decision(Action.SET_STATE, f"{reason}, {most} times within an hour", QueryState.FAILED, "cancelled")
    return Decision(Action.RESTART, reason, is_policy=True)


def _policy(record: QueryRecord, now: datetime, policy: RestartPolicy) -> Decision:
    recent, most = _recent(record, now), policy.max_per_hour
    if policy.kind != "on_failure" or len(recent) >= most or now < next_restart(record, now):
        return _NOTHING
    return Decision(Action.RESTART, f"its job failed, restart {len(recent) + 1} of {most} an hour", is_policy=True)


def next_restart(record: QueryRecord, now: datetime) -> datetime:
    """Return when the restart policy may start a failed query again: 10 s, 20 s, 40 s, … 10 min after its end."""
    pause_s = min(FIRST_PAUSE_S * 2.0 ** len(_recent(record, now)), LONGEST_PAUSE_S)
    return (record.stopped_at or now) + timedelta(seconds=pause_s)


def _recent(record: QueryRecord, now: datetime) -> tuple[datetime, ...]:
    return tuple(at for at in record.restarts if now - at < HOUR)


def counted(record: QueryRecord, now: datetime) -> tuple[datetime, ...]:
    """Return the record's restarts of the last hour and one more, now."""
    return (*_recent(record, now), now)


def _ended(state: QueryState, facts: Facts, what: str) -> Decision:
    because = f": {facts.cause}" if facts.cause else ""
    if state is QueryState.FAILED:
        return Decision(Action.SET_STATE, f"{what}{because}", state, error_code="job_failed")
    return Decision(Action.SET_STATE, f"{what} as {facts.job_state}", state)
