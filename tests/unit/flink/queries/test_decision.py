"""What is done about a query: one row a situation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestration.flink.queries.decision import Action, Facts, Savepoint, counted, decide, next_restart
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.states import Desired, QueryState
from tests.unit.flink.queries.records import JOB, NOW, record, spec

S, A = QueryState, Action
GONE = Facts()
ON_FAILURE = spec(restart_policy={"kind": "on_failure", "max_per_hour": 3})
OWNERS = spec(restart_policy={"kind": "owner"})


def job(state: str, savepoint: Savepoint | None = None, cause: str = "", job_id: str = JOB) -> Facts:
    return Facts(job_id, state, savepoint, cause)


DONE = Savepoint("done", "file:/sp")
UNDER_WAY = Savepoint("in_progress")
REFUSED = Savepoint("failed")
TO_START = {"desired": Desired.RUNNING}
TO_STOP = {"desired": Desired.STOPPED}


@pytest.mark.parametrize(
    ("state", "fields", "facts", "action", "after"),
    [
        # a job that runs as it should
        (S.RUNNING, {}, job("RUNNING"), A.NOTHING, None),
        (S.DEGRADED, {}, job("RESTARTING"), A.NOTHING, None),
        # what happened meanwhile
        (S.RUNNING, {}, job("RESTARTING"), A.SET_STATE, S.DEGRADED),
        (S.DEGRADED, {}, job("RUNNING"), A.SET_STATE, S.RUNNING),
        (S.STARTING, {}, job("RUNNING"), A.SET_STATE, S.RUNNING),
        (S.RUNNING, {}, job("FAILED"), A.SET_STATE, S.FAILED),
        (S.RUNNING, {}, job("FINISHED"), A.SET_STATE, S.FINISHED),
        (S.RUNNING, {}, job("CANCELED"), A.SET_STATE, S.STOPPED),
        (S.RUNNING, {}, GONE, A.SET_STATE, S.LOST),
        (S.STARTING, {}, GONE, A.SET_STATE, S.LOST),
        (S.RUNNING, TO_STOP, GONE, A.NOTHING, None),
        # a job that lives although the record says otherwise
        (S.LOST, {}, job("RUNNING"), A.SET_STATE, S.RUNNING),
        (S.FAILED, {}, job("RUNNING"), A.SET_STATE, S.RUNNING),
        (S.STOPPED, TO_STOP, job("RUNNING"), A.SET_STATE, S.RUNNING),
        (S.RUNNING, {}, job("RUNNING", job_id="other"), A.SET_STATE, S.RUNNING),
        # over is over
        (S.SUSPENDED, TO_STOP | {"stop_mode": "savepoint"}, job("FINISHED"), A.NOTHING, None),
        (S.SUSPENDED, TO_STOP | {"stop_mode": "savepoint"}, GONE, A.NOTHING, None),
        (S.STOPPED, TO_STOP | {"stop_mode": "cancel"}, job("CANCELED"), A.NOTHING, None),
        (S.STOPPED, {"stop_mode": None}, job("CANCELED"), A.NOTHING, None),
        (S.FINISHED, {}, GONE, A.NOTHING, None),
        (S.FINISHED, {}, job("FINISHED"), A.NOTHING, None),
        (S.FAILED, {}, GONE, A.NOTHING, None),
        (S.FAILED, {}, job("CANCELED"), A.NOTHING, None),
        (S.LOST, {}, GONE, A.NOTHING, None),
        # a deploy that was cut off
        (S.DEPLOYING, {"has_run": False}, job("RUNNING"), A.SET_STATE, S.RUNNING),
        (S.DEPLOYING, {"has_run": False}, job("CREATED"), A.SET_STATE, S.STARTING),
        (S.DEPLOYING, {"has_run": False}, job("RESTARTING"), A.SET_STATE, S.DEGRADED),
        (S.DEPLOYING, {"has_run": False}, job("FAILED"), A.SET_STATE, S.FAILED),
        (S.DEPLOYING, {"has_run": False}, job("FINISHED"), A.SET_STATE, S.FINISHED),
        (S.DEPLOYING, {"has_run": False}, GONE, A.SET_STATE, S.FAILED),
        (S.DEPLOYING, {"has_run": False, "attempt": 2}, GONE, A.SET_STATE, S.FAILED),
        (S.DEPLOYING, {"has_run": True, "attempt": 2}, GONE, A.RESTART, None),
        (S.DEPLOYING, {"has_run": False, "generation": 2}, GONE, A.RESTART, None),
        # a stop that was cut off
        (S.STOPPING, TO_STOP | {"stop_mode": "savepoint"}, job("FINISHED", DONE), A.SET_STATE, S.SUSPENDED),
        (S.STOPPING, TO_STOP | {"stop_mode": "savepoint"}, job("RUNNING", UNDER_WAY), A.NOTHING, None),
        (S.STOPPING, TO_STOP | {"stop_mode": "savepoint"}, job("RUNNING", DONE), A.NOTHING, None),
        (S.STOPPING, TO_STOP | {"stop_mode": "savepoint"}, job("RUNNING", REFUSED), A.FINISH_STOP, None),
        (S.STOPPING, TO_STOP | {"stop_mode": "savepoint"}, job("RUNNING"), A.FINISH_STOP, None),
        (S.STOPPING, TO_STOP | {"stop_mode": "savepoint"}, job("FINISHED"), A.SET_STATE, S.FINISHED),
        (S.STOPPING, TO_STOP | {"stop_mode": "savepoint"}, job("FAILED"), A.SET_STATE, S.FAILED),
        (S.STOPPING, TO_STOP | {"stop_mode": "savepoint"}, GONE, A.SET_STATE, S.STOPPED),
        (S.STOPPING, TO_STOP | {"stop_mode": "cancel"}, job("CANCELED"), A.SET_STATE, S.STOPPED),
        (S.STOPPING, TO_STOP | {"stop_mode": "cancel"}, job("CANCELLING"), A.NOTHING, None),
        (S.STOPPING, TO_STOP | {"stop_mode": "cancel"}, job("RUNNING"), A.FINISH_STOP, None),
        # a restart or upgrade that was cut off
        (S.STOPPING, TO_START | {"stop_mode": "savepoint"}, job("RUNNING"), A.SET_STATE, S.RUNNING),
        (S.STOPPING, TO_START | {"stop_mode": "savepoint"}, job("FINISHED", DONE), A.SET_STATE, S.SUSPENDED),
        (S.STOPPING, TO_START | {"stop_mode": "savepoint"}, GONE, A.SET_STATE, S.LOST),
        (S.SUSPENDED, TO_START | {"stop_mode": "savepoint"}, job("FINISHED"), A.RESTART, None),
        (S.STOPPED, TO_START | {"stop_mode": "cancel"}, job("CANCELED"), A.RESTART, None),
        # a delete
        (S.DELETING, {}, job("RUNNING"), A.FINISH_DELETE, None),
        (S.DELETING, {}, GONE, A.FINISH_DELETE, None),
        (S.DELETED, {}, GONE, A.NOTHING, None),
        (S.DELETED, {}, job("CANCELED"), A.NOTHING, None),
        (S.DELETED, {}, job("RUNNING"), A.WARN, None),
    ],
)
def test_each_situation_has_one_step(
    state: QueryState, fields: dict[str, Any], facts: Facts, action: Action, after: QueryState | None
) -> None:
    found = decide(record(state, **fields), facts, now=NOW, recover=False)
    assert (found.action, found.state) == (action, after)
    assert bool(found.reason) is (action is not A.NOTHING)


@pytest.mark.parametrize(
    ("query", "action"),
    [
        (record(S.LOST), A.RESTART),
        (record(S.LOST, spec=spec(mode="batch")), A.WARN),
        (record(S.LOST, desired=Desired.STOPPED), A.NOTHING),
        (record(S.LOST, spec=None), A.RESTART),
        (record(S.FAILED), A.NOTHING),
    ],
    ids=["streaming", "batch", "not wanted", "definition unknown", "failed"],
)
def test_recover_starts_lost_queries_and_no_others(query: QueryRecord, action: Action) -> None:
    assert decide(query, GONE, now=NOW, recover=True).action is action


def test_a_job_lost_while_it_is_looked_at_is_started_in_the_second_step() -> None:
    first = decide(record(), GONE, now=NOW, recover=True)
    assert (first.action, first.state, first.error_code) == (A.SET_STATE, S.LOST, "job_not_found")


def test_the_cause_of_a_failure_is_told() -> None:
    found = decide(record(), job("FAILED", cause="NumberFormatException: x"), now=NOW, recover=False)
    assert (found.error_code, found.reason) == ("job_failed", "its job ended: NumberFormatException: x")


def test_a_savepoint_that_was_found_is_kept() -> None:
    found = decide(record(S.STOPPING, stop_mode="savepoint"), job("FINISHED", DONE), now=NOW, recover=False)
    assert found.savepoint_path == "file:/sp"


def ago(*seconds: float) -> tuple[Any, ...]:
    return tuple(NOW - timedelta(seconds=s) for s in seconds)


@pytest.mark.parametrize(
    ("since_s", "restarts", "action"),
    [
        (5, (), A.NOTHING),
        (10, (), A.RESTART),
        (15, ago(60), A.NOTHING),
        (20, ago(60), A.RESTART),
        (39, ago(100, 60), A.NOTHING),
        (40, ago(100, 60), A.RESTART),
        (3000, ago(3300, 3200, 3100), A.NOTHING),
        (3000, ago(3601, 3200, 3100), A.RESTART),
    ],
    ids=["too soon", "first", "too soon", "second", "too soon", "third", "three an hour", "an hour later"],
)
def test_the_restart_policy_waits_longer_each_time_and_gives_up(
    since_s: float, restarts: tuple[Any, ...], action: Action
) -> None:
    query = record(S.FAILED, spec=ON_FAILURE, restarts=restarts, stopped_at=NOW - timedelta(seconds=since_s))
    found = decide(query, job("FAILED"), now=NOW, recover=False)
    assert (found.action, found.is_policy) == (action, action is A.RESTART)


def test_the_pause_ends_at_ten_minutes() -> None:
    query = record(S.FAILED, restarts=ago(*range(100, 120)), stopped_at=NOW)
    assert next_restart(query, NOW) == NOW + timedelta(minutes=10)


def test_a_first_deploy_that_failed_is_not_tried_again_by_the_policy() -> None:
    query = record(S.FAILED, spec=ON_FAILURE, has_run=False, stopped_at=NOW - timedelta(hours=1))
    assert decide(query, GONE, now=NOW, recover=False).action is A.NOTHING


def test_a_restart_that_is_cut_off_again_and_again_is_given_up() -> None:
    query = record(S.DEPLOYING, attempt=6, restarts=ago(500, 400, 300, 200, 100))
    found = decide(query, GONE, now=NOW, recover=False)
    assert (found.action, found.state) == (A.SET_STATE, S.FAILED)


def test_only_the_restarts_of_the_last_hour_are_counted() -> None:
    assert counted(record(restarts=ago(3700, 100)), NOW) == (*ago(100), NOW)


@pytest.mark.parametrize(
    ("state", "fields", "action", "after"),
    [
        (S.LOST, {}, A.WARN, None),
        (S.FAILED, {}, A.NOTHING, None),
        (S.SUSPENDED, {"stop_mode": "savepoint"}, A.WARN, None),
        (S.STOPPED, {"stop_mode": "cancel"}, A.WARN, None),
        (S.DEPLOYING, {"has_run": True, "attempt": 2}, A.SET_STATE, S.FAILED),
        (S.DEPLOYING, {"has_run": False, "generation": 2}, A.SET_STATE, S.FAILED),
        (S.RUNNING, {}, A.SET_STATE, S.LOST),
    ],
)
def test_a_query_that_its_owner_starts_is_never_started_here(
    state: QueryState, fields: dict[str, Any], action: Action, after: QueryState | None
) -> None:
    decision = decide(record(state, spec=OWNERS, **(TO_START | fields)), GONE, now=NOW, recover=True)
    assert (decision.action, decision.state) == (action, after)
