"""`millrace jobs` on a cluster without sockets."""

from __future__ import annotations

import json

import httpx
import pytest
from typer.testing import CliRunner

from orchestration.cli import jobs
from orchestration.errors import InputError
from orchestration.flink.client import rest as rest_module
from orchestration.flink.client.models import JobOverview

RUNNER = CliRunner()
A, B, C = "aa11" + "0" * 28, "aa22" + "0" * 28, "bb00" + "0" * 28


def overview(job_id: str, name: str, state: str, start: int) -> dict[str, object]:
    return {"jid": job_id, "name": name, "state": state, "start-time": start, "end-time": -1, "duration": 2500}


JOBS = [
    overview(A, "millrace.bronze.taxi", "FINISHED", 1_700_000_000_000),
    overview(B, "millrace.silver.taxi", "RUNNING", 1_700_000_100_000),
    overview(C, "somebody's", "RUNNING", 1_700_000_200_000),
]


VERTICES = [
    {
        "id": "v1",
        "name": "Source: rides",
        "status": "RUNNING",
        "parallelism": 2,
        "duration": 1000,
        "metrics": {"read-records": 1234, "write-records": 5678},
    }
]
CHECKPOINTS = {
    "counts": {"completed": 4, "failed": 1},
    "latest": {
        "completed": {"id": 5, "trigger_timestamp": 1_700_000_150_000, "end_to_end_duration": 90, "state_size": 7},
        "failed": {"id": 3, "failure_message": "expired"},
    },
}
TRACE = "org.apache.flink.X: outer\nCaused by: java.lang.ArithmeticException: / by zero\n\tat a.b"
DETAILS = {
    "exceptions": {"exceptionHistory": {"entries": [{"stacktrace": TRACE, "timestamp": 1_700_000_140_000}]}},
    "metrics": [{"id": "numRestarts", "value": "2"}],
    "checkpoints": CHECKPOINTS,
    "checkpoints/config": {"interval": 10_000},
}


def answer_detail(tail: str) -> httpx.Response:
    return httpx.Response(200, json=DETAILS[tail])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    """A cluster with three jobs; a cancelled one is CANCELED at once. Holds the requests that changed something."""
    states = {str(job["jid"]): job for job in JOBS}
    changes: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/jobs/overview":
            return httpx.Response(200, json={"jobs": list(states.values())})
        job_id = request.url.path.split("/")[2]
        if request.method == "PATCH":
            changes.append(request)
            states[job_id] = {**states[job_id], "state": "CANCELED"}
            return httpx.Response(202, json={})
        tail = "/".join(request.url.path.split("/")[3:])
        if tail:
            return answer_detail(tail)
        return httpx.Response(200, json={**states[job_id], "vertices": VERTICES})

    real = rest_module.FlinkRest
    monkeypatch.setattr(
        rest_module, "FlinkRest", lambda url, **options: real(url, transport=httpx.MockTransport(answer), **options)
    )
    return changes


@pytest.mark.usefixtures("cluster")
def test_only_our_jobs_are_listed_newest_first() -> None:
    done = RUNNER.invoke(jobs.app, ["list", "--json"])
    found = json.loads(done.stdout)
    assert [job["id"] for job in found] == [B, A]
    assert set(found[0]) == {"id", "name", "state", "started_at", "ended_at", "duration_s"}


@pytest.mark.usefixtures("cluster")
def test_all_lists_the_jobs_of_others_too() -> None:
    assert len(json.loads(RUNNER.invoke(jobs.app, ["list", "--all", "--json"]).stdout)) == 3


@pytest.mark.usefixtures("cluster")
def test_the_list_shows_ids_that_cancel_accepts() -> None:
    shown = RUNNER.invoke(jobs.app, ["list"]).stdout.splitlines()[1].split()[0]
    assert B.startswith(shown)


def test_a_unique_prefix_is_enough_to_cancel(cluster: list[httpx.Request]) -> None:
    done = RUNNER.invoke(jobs.app, ["cancel", "AA2", "--json"])
    assert json.loads(done.stdout) == {"id": B, "name": "millrace.silver.taxi", "state": "CANCELED", "was_over": False}
    assert len(cluster) == 1


@pytest.mark.usefixtures("cluster")
def test_a_job_is_shown_with_vertices_checkpoints_failures_and_a_link() -> None:
    document = json.loads(RUNNER.invoke(jobs.app, ["show", "aa2", "--json"]).stdout)
    assert (document["id"], document["state"], document["restarts"]) == (B, "RUNNING", 2)
    assert document["health"]["level"] == "healthy"
    [vertex] = document["vertices"]
    assert (vertex["records_in"], vertex["records_out"], vertex["parallelism"]) == (1234, 5678, 2)
    checkpoints = document["checkpoints"]
    assert (checkpoints["interval_s"], checkpoints["completed"], checkpoints["failed"]) == (10, 4, 1)
    assert (checkpoints["last_completed"]["id"], checkpoints["last_failed"]["failure"]) == (5, "expired")
    assert checkpoints["last_savepoint"] is None
    assert [one["cause"] for one in document["exceptions"]] == ["ArithmeticException: / by zero"]
    assert document["url"].endswith(f"/#/job/running/{B}/overview")


@pytest.mark.usefixtures("cluster")
def test_a_job_is_shown_to_people_without_a_java_stack() -> None:
    text = RUNNER.invoke(jobs.app, ["show", "aa2"]).stdout
    assert "checkpoints every 10 s: 4 completed, 1 failed; the last, 5, took 0.1 s" in text
    assert "1,234" in text
    assert "/ by zero" in text
    assert "\tat" not in text


def test_a_job_that_is_over_is_left_as_it_is(cluster: list[httpx.Request]) -> None:
    done = RUNNER.invoke(jobs.app, ["cancel", "aa1", "--json"])
    assert json.loads(done.stdout)["was_over"] is True
    assert cluster == []


@pytest.mark.parametrize(
    ("prefix", "complaint"),
    [
        pytest.param("aa", "2 Flink jobs", id="ambiguous"),
        pytest.param("ff", "no Flink job", id="unknown"),
        pytest.param(" ", "no Flink job", id="blank"),
    ],
)
def test_a_prefix_must_name_one_job(prefix: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        jobs.find_by_prefix([JobOverview.model_validate(job) for job in JOBS], prefix)


def test_a_job_that_has_not_started_comes_first() -> None:
    waiting = JobOverview.model_validate({**overview(C, "x", "CREATED", 0), "start-time": -1})
    found = jobs.newest_first([JobOverview.model_validate(JOBS[0]), waiting])
    assert [job.state for job in found] == ["CREATED", "FINISHED"]
