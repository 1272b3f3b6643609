"""What a job's state means for its query, and which job that is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestration.errors import FlinkError
from orchestration.flink.client.models import LIVE as LIVE_JOB
from orchestration.flink.client.models import TERMINAL, JobOverview
from orchestration.flink.queries.states import (
    BUSY,
    LIVE,
    OVER,
    Desired,
    QueryState,
    actual_state,
    find_job,
    shown_state,
)
from tests.unit.flink.queries.records import JOB, JOB_NAME, NOW, record

S = QueryState


def job(job_id: str, state: str = "RUNNING", name: str = JOB_NAME, age_s: float = 0) -> JobOverview:
    return JobOverview(id=job_id, name=name, state=state, start_time=NOW - timedelta(seconds=age_s))


@pytest.mark.parametrize(
    ("job_state", "stop_mode", "expected"),
    [
        ("INITIALIZING", None, S.STARTING),
        ("CREATED", None, S.STARTING),
        ("RECONCILING", None, S.STARTING),
        ("SUSPENDED", None, S.STARTING),
        ("RUNNING", None, S.RUNNING),
        ("RESTARTING", None, S.DEGRADED),
        ("FAILING", None, S.DEGRADED),
        ("CANCELLING", None, S.STOPPING),
        ("CANCELED", None, S.STOPPED),
        ("FAILED", None, S.FAILED),
        ("FINISHED", None, S.FINISHED),
        ("FINISHED", "cancel", S.FINISHED),
        ("FINISHED", "savepoint", S.SUSPENDED),
        ("FINISHED", "drain", S.SUSPENDED),
    ],
)
def test_a_job_state_is_a_query_state(job_state: str, stop_mode: str | None, expected: QueryState) -> None:
    assert actual_state(job_state, record(S.STOPPING if stop_mode else S.RUNNING, stop_mode=stop_mode)) is expected


@pytest.mark.parametrize("job_state", sorted(LIVE_JOB | TERMINAL))
def test_every_state_of_flink_has_a_meaning(job_state: str) -> None:
    assert actual_state(job_state, record()) in QueryState


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("desired", Desired)
def test_a_forgotten_job_is_lost_only_if_it_should_run(state: QueryState, desired: Desired) -> None:
    is_lost = state in LIVE and desired is Desired.RUNNING
    assert actual_state(None, record(state, desired=desired)) is (S.LOST if is_lost else state)


def test_an_unknown_state_is_an_error() -> None:
    with pytest.raises(FlinkError, match="HIBERNATING"):
        actual_state("HIBERNATING", record())


def test_every_query_state_is_of_one_kind() -> None:
    assert sorted([*BUSY, *LIVE, *OVER, S.DELETED]) == sorted(S)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([], None),
        ([job(JOB)], JOB),
        ([job(JOB, "FAILED")], JOB),
        ([job("b", name="other")], None),
        ([job("b")], "b"),
        ([job("b", "FINISHED")], None),
        ([job(JOB, "FAILED"), job("b")], "b"),
        ([job(JOB), job("b")], JOB),
        ([job("b", age_s=9), job("c", age_s=1)], "c"),
    ],
    ids=["none", "by id", "over", "foreign", "by name", "over by name", "over and live", "id first", "newest"],
)
def test_the_job_of_a_query_is_found_by_id_then_by_name(jobs: list[JobOverview], expected: str | None) -> None:
    found = find_job(record(), jobs)
    assert (found.id if found else None) == expected


@pytest.mark.parametrize(
    ("recorded", "job_state", "shown"),
    [
        (S.RUNNING, "RUNNING", S.RUNNING),
        (S.RUNNING, "FAILED", S.FAILED),
        (S.RUNNING, None, S.LOST),
        (S.STARTING, "RUNNING", S.RUNNING),
        (S.DEPLOYING, "RUNNING", S.DEPLOYING),
        (S.STOPPING, "RUNNING", S.STOPPING),
        (S.SUSPENDED, "FINISHED", S.SUSPENDED),
        (S.SUSPENDED, None, S.SUSPENDED),
        (S.STOPPED, "FINISHED", S.STOPPED),
        (S.FAILED, "CANCELED", S.FAILED),
        (S.FAILED, "RUNNING", S.RUNNING),
        (S.LOST, None, S.LOST),
        (S.DELETED, "RUNNING", S.DELETED),
    ],
)
def test_people_see_the_work_in_progress_else_the_job(
    recorded: QueryState, job_state: str | None, shown: QueryState
) -> None:
    assert shown_state(record(recorded), job(JOB, job_state) if job_state else None) is shown
