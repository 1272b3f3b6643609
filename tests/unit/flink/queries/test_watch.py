"""The verdict on a job that starts, and the loop around it."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from orchestration.errors import JobFailedError, JobTimeoutError
from orchestration.flink.jobs.wait import Patience
from orchestration.flink.queries.watch import Look, Quiet, StartRules, judge, watch_start
from orchestration.waiting import Backoff
from tests.unit.flink.fakes import FakeFlink

ID = "a" * 32
CAST = "java.lang.NumberFormatException: For input string: 'abc'\n\tat a.b(C.java:1)\n"
SLOTS = (
    "java.util.concurrent.CompletionException: org.apache.flink.runtime.jobmanager.scheduler."
    "NoResourceAvailableException: Could not acquire the minimum required resources.\n\tat a.b(C.java:1)\n"
)
RULES = StartRules(stable_for_s=3, timeout_s=20)
UP = ("RUNNING", "RUNNING")


def look(state: str, *vertices: str, at_s: float = 10, failures: int = 0) -> Look:
    return Look(at_s, state, vertices, failures)


@pytest.mark.parametrize(
    ("seen", "before", "verdict", "since_s"),
    [
        pytest.param(look("INITIALIZING"), Quiet(), "starting", None, id="no vertices yet"),
        pytest.param(look("CREATED", "CREATED"), Quiet(), "starting", None, id="created"),
        pytest.param(look("RUNNING", "RUNNING", "SCHEDULED"), Quiet(), "starting", None, id="one vertex waits"),
        pytest.param(look("RUNNING", "INITIALIZING"), Quiet(9), "starting", None, id="restores its state"),
        pytest.param(look("RUNNING", *UP), Quiet(), "starting", 10, id="just up"),
        pytest.param(look("RUNNING", *UP, at_s=12.9), Quiet(10), "starting", 10, id="not long enough"),
        pytest.param(look("RUNNING", *UP, at_s=13), Quiet(10), "steady", 10, id="long enough"),
        pytest.param(look("RUNNING", "FINISHED", "RUNNING", at_s=13), Quiet(10), "steady", 10, id="a source is done"),
        pytest.param(look("RUNNING"), Quiet(1), "starting", None, id="running without vertices"),
        pytest.param(look("FINISHED", "FINISHED"), Quiet(), "finished", None, id="bounded"),
        pytest.param(look("FAILED"), Quiet(), "failed", None, id="failed"),
        pytest.param(look("CANCELED"), Quiet(), "failed", None, id="canceled"),
        pytest.param(look("RESTARTING", "CREATED", failures=1), Quiet(), "failed", None, id="restarting with a cause"),
        pytest.param(look("RESTARTING", "CREATED"), Quiet(5), "starting", None, id="restarting, cause not yet known"),
        pytest.param(look("FAILING", "FAILED", failures=1), Quiet(), "failed", None, id="failing with a cause"),
        pytest.param(look("RUNNING", *UP, failures=1), Quiet(1), "failed", 1, id="came back between two looks"),
        pytest.param(look("SUSPENDED"), Quiet(), "starting", None, id="leadership lost"),
    ],
)
def test_verdict(seen: Look, before: Quiet, verdict: str, since_s: float | None) -> None:
    found, quiet = judge(seen, before, RULES)
    assert (found, quiet.since_s) == (verdict, since_s)


def test_a_forgiven_restart_starts_the_quiet_time_again() -> None:
    rules = StartRules(stable_for_s=3, tolerate_restarts=1)
    verdict, quiet = judge(look("RUNNING", *UP, at_s=14, failures=1), Quiet(10, 0), rules)
    assert (verdict, quiet) == ("starting", Quiet(14, 1))
    assert judge(look("RUNNING", *UP, at_s=17, failures=1), quiet, rules)[0] == "steady"
    assert judge(look("RUNNING", *UP, at_s=17, failures=2), quiet, rules)[0] == "failed"


def test_a_job_without_slots_is_given_up_before_flink_does() -> None:
    waiting = Look(10, "RUNNING", ("SCHEDULED", "SCHEDULED"), 0, free_slots=0)
    verdict, quiet = judge(waiting, Quiet(), RULES)
    assert (verdict, quiet.starved_since_s) == ("starting", 10)
    assert judge(replace(waiting, at_s=24), quiet, RULES)[0] == "starting"
    assert judge(replace(waiting, at_s=25), quiet, RULES)[0] == "starved"
    assert judge(replace(waiting, at_s=25, free_slots=1), quiet, RULES) == ("starting", Quiet())


def test_a_batch_job_runs_when_its_first_stage_does() -> None:
    rules = StartRules(stable_for_s=3, all_vertices=False)
    assert judge(look("RUNNING", "RUNNING", "CREATED", at_s=13), Quiet(10), rules)[0] == "steady"
    assert judge(look("RUNNING", "CREATED", "CREATED", at_s=13), Quiet(10), rules)[0] == "starting"


def watch(flink: FakeFlink, rules: StartRules = RULES) -> str:
    poll = Backoff(first_s=0.5, most_s=0.5)
    patience = Patience(poll=poll, sleep=flink.clock.sleep, clock=flink.clock.time)
    return watch_start(flink.rest(), ID, rules, patience=patience).state


def test_a_job_that_runs_is_watched_for_the_quiet_time(flink: FakeFlink) -> None:
    flink.add_job(ID, "q", "INITIALIZING", "CREATED", "RUNNING")
    assert watch(flink) == "RUNNING"
    assert flink.clock.now == 1000 + 2 * 0.5 + 3


def test_a_bounded_job_may_finish(flink: FakeFlink) -> None:
    flink.add_job(ID, "q", "RUNNING", "FINISHED")
    assert watch(flink) == "FINISHED"


def test_a_job_that_restarts_for_ever_fails_with_its_cause(flink: FakeFlink) -> None:
    flink.add_job(ID, "q", "RUNNING", "RESTARTING", exception=CAST)
    with pytest.raises(JobFailedError) as caught:
        watch(flink)
    assert caught.value.message == f"Flink job q ({ID}) did not start: NumberFormatException: For input string: 'abc'"
    assert (caught.value.code, caught.value.exit_code) == ("job_failed", 4)
    assert flink.clock.sleeps == []


def test_a_full_cluster_is_told_with_its_slots(flink: FakeFlink) -> None:
    flink.overrides["GET /overview"] = lambda _: httpx.Response(200, json={"slots-total": 8, "slots-available": 3})
    flink.add_job(ID, "q", "RESTARTING", exception=SLOTS)
    with pytest.raises(JobFailedError) as caught:
        watch(flink)
    assert caught.value.code == "no_slots"
    assert caught.value.root_cause == "not enough free slots for parallelism 1; 3 of the cluster's 8 slots are free"
    assert "lower the parallelism" in (caught.value.hint or "")


def test_a_job_that_waits_for_slots_on_a_full_cluster_is_told_the_same(flink: FakeFlink) -> None:
    flink.overrides["GET /overview"] = lambda _: httpx.Response(200, json={"slots-total": 8, "slots-available": 0})
    vertex = {"id": "v", "name": "Source", "status": "SCHEDULED", "parallelism": 20}
    detail = {"jid": ID, "name": "q", "state": "RUNNING", "vertices": [vertex]}
    flink.overrides[f"GET /jobs/{ID}/exceptions"] = lambda _: httpx.Response(200, json={})
    flink.overrides[f"GET /jobs/{ID}"] = lambda _: httpx.Response(200, json=detail)
    with pytest.raises(
        JobFailedError, match="not enough free slots for parallelism 20; 0 of the cluster's 8"
    ) as caught:
        watch(flink, StartRules(timeout_s=120))
    assert caught.value.code == "no_slots"
    assert 1015 <= flink.clock.now < 1020


def test_a_job_canceled_by_somebody_else_is_no_success(flink: FakeFlink) -> None:
    flink.add_job(ID, "q", "RUNNING", "CANCELED")
    with pytest.raises(JobFailedError, match="somebody canceled it while it started"):
        watch(flink)


def test_a_job_that_never_gets_up_times_out_with_what_was_seen(flink: FakeFlink) -> None:
    flink.overrides["GET /overview"] = lambda _: httpx.Response(200, json={"slots-total": 8, "slots-available": 8})
    flink.add_job(ID, "q", "CREATED")
    with pytest.raises(
        JobTimeoutError, match=r"waited 20\.0 s .* last seen: CREATED, 1 of 1 vertices running"
    ) as caught:
        watch(flink)
    assert (caught.value.code, caught.value.exit_code) == ("job_start_timeout", 6)
    assert (caught.value.hint or "").startswith("8 of the cluster's 8 slots are free")


def test_a_jobmanager_that_is_silent_for_a_while_does_not_matter(flink: FakeFlink) -> None:
    flink.add_job(ID, "q", "RUNNING")
    answers = flink.handle

    def silent(request: httpx.Request) -> httpx.Response:
        if flink.clock.now < 1010:
            raise httpx.ConnectError("x", request=request)
        flink.overrides.clear()
        return answers(request)

    flink.overrides["GET /jobs/"] = silent
    assert watch(flink) == "RUNNING"


def test_an_unknown_state_is_an_error_that_names_it(flink: FakeFlink) -> None:
    flink.add_job(ID, "q", "HIBERNATING")
    with pytest.raises(Exception, match="HIBERNATING"):
        watch(flink)
