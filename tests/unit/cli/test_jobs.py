"""`millrace jobs` on a cluster without sockets."""

from __future__ import annotations

import json

import httpx
import pytest
from typer.testing import CliRunner

from orchestration.cli import jobs
from orchestration.errors import InputError
from orchestration.flink import rest as rest_module
from orchestration.flink.models import JobOverview

RUNNER = CliRunner()
A, B, C = "aa11" + "0" * 28, "aa22" + "0" * 28, "bb00" + "0" * 28


def overview(job_id: str, name: str, state: str, start: int) -> dict[str, object]:
    return {"jid": job_id, "name": name, "state": state, "start-time": start, "end-time": -1, "duration": 2500}


JOBS = [
    overview(A, "millrace.bronze.taxi", "FINISHED", 1_700_000_000_000),
    overview(B, "millrace.silver.taxi", "RUNNING", 1_700_000_100_000),
    overview(C, "somebody's", "RUNNING", 1_700_000_200_000),
]


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
        return httpx.Response(200, json={**states[job_id], "vertices": []})

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
