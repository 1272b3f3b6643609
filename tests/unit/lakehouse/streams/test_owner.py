"""Who may write the tables of a dataset."""

from __future__ import annotations

import pytest

from orchestration.errors import ConflictError
from orchestration.flink.client.models import JobOverview
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.states import Desired, QueryState
from orchestration.lakehouse.streams.owner import StreamPresence


def record(state: QueryState, desired: Desired) -> QueryRecord:
    return QueryRecord(
        id="0" * 8,
        namespace="default",
        name="rides_stream",
        owner="me",
        spec=None,
        job_name="default.rides_stream.00000000",
        state=state,
        desired=desired,
    )


def job(digit: str) -> JobOverview:
    return JobOverview.model_validate({"jid": digit * 32, "name": "default.rides_stream.00000000", "state": "RUNNING"})


@pytest.mark.parametrize(
    ("known", "jobs", "owns"),
    [
        pytest.param(None, 0, False, id="never deployed"),
        pytest.param(None, 1, True, id="a job that the registry does not know"),
        pytest.param(record(QueryState.RUNNING, Desired.RUNNING), 1, True, id="runs"),
        pytest.param(record(QueryState.FAILED, Desired.RUNNING), 0, True, id="failed, and comes back at any moment"),
        pytest.param(record(QueryState.DEPLOYING, Desired.RUNNING), 0, True, id="is being deployed"),
        pytest.param(record(QueryState.SUSPENDED, Desired.STOPPED), 0, False, id="stopped"),
        pytest.param(record(QueryState.STOPPING, Desired.STOPPED), 1, True, id="is being stopped"),
    ],
)
def test_a_stream_that_runs_or_is_to_run_owns_its_tables(known: QueryRecord | None, jobs: int, owns: bool) -> None:
    assert StreamPresence("rides_stream", known, tuple(job(str(n)) for n in range(jobs))).owns_tables is owns


def test_two_live_jobs_are_refused() -> None:
    presence = StreamPresence("rides_stream", None, (job("1"), job("2")))
    with pytest.raises(ConflictError, match="2 jobs"):
        _ = presence.job


def test_a_missing_job_is_named_with_both_remedies() -> None:
    presence = StreamPresence("rides_stream", record(QueryState.LOST, Desired.RUNNING), ())
    with pytest.raises(ConflictError) as caught:
        presence.require_job()
    assert "stream deploy" in (caught.value.hint or "")
    assert "stream stop" in (caught.value.hint or "")
