"""The cluster's REST as it behaves: misleading 202s, 409 for what is over, times as milliseconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from orchestration.errors import FlinkError, JobTimeoutError
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.models import LIVE, TERMINAL, JobDetail, check_job_state
from orchestration.flink.client.rest import FlinkRest
from tests.unit.flink.fakes import REST_URL, FakeClock, FakeFlink

JOB = "a" * 32
FAILURE = {
    "class": "java.util.concurrent.CompletionException",
    "stack-trace": "a.b.CompletionException: x\nCaused by: java.io.IOException: no such folder\n\tat a.b(C.java:1)",
}


def rest(handler: Callable[[httpx.Request], httpx.Response], clock: FakeClock | None = None) -> FlinkRest:
    clock = clock or FakeClock()
    return FlinkRest(REST_URL, transport=httpx.MockTransport(handler), sleep=clock.sleep, clock=clock.time)


def savepoints(*answers: dict[str, object], requests: list[tuple[str, object]] | None = None) -> FlinkRest:
    queue = list(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        if requests is not None:
            body = json.loads(request.content) if request.content else None
            requests.append((f"{request.method} {request.url.path}", body))
        if request.method == "POST":
            return httpx.Response(202, json={"request-id": "r1"})
        if request.url.path.endswith("/savepoints/r1"):
            return httpx.Response(200, json=queue.pop(0) if len(queue) > 1 else queue[0])
        return httpx.Response(200, json={"jid": JOB, "name": "n", "state": "FAILED"})

    return rest(handle)


RUNNING = {"status": {"id": "IN_PROGRESS"}}
DONE = {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/sp/1"}}
REFUSED = {"status": {"id": "COMPLETED"}, "operation": {"failure-cause": FAILURE}}


def test_a_savepoint_stop_is_polled_until_its_location_is_known() -> None:
    requests: list[tuple[str, object]] = []
    client = savepoints(RUNNING, RUNNING, DONE, requests=requests)
    assert client.stop_with_savepoint(JOB, target_directory="file:/sp") == "file:/sp/1"
    assert requests[0] == (f"POST /jobs/{JOB}/stop", {"drain": False, "targetDirectory": "file:/sp"})
    assert len(requests) == 4


def test_a_savepoint_without_stop_leaves_the_job_running() -> None:
    requests: list[tuple[str, object]] = []
    assert savepoints(DONE, requests=requests).trigger_savepoint(JOB, target_directory="file:/sp") == "file:/sp/1"
    assert requests[0] == (f"POST /jobs/{JOB}/savepoints", {"cancel-job": False, "target-directory": "file:/sp"})


def test_the_202_of_a_stop_proves_nothing() -> None:
    with pytest.raises(FlinkError) as caught:
        savepoints(REFUSED).stop_with_savepoint(JOB)
    assert caught.value.message == f"no savepoint of Flink job {JOB}: IOException: no such folder"
    assert caught.value.hint == "the job is FAILED, it cannot be stopped again"


def test_a_savepoint_that_takes_too_long_says_what_was_seen_last() -> None:
    with pytest.raises(
        JobTimeoutError, match=r"waited 10\.0 s for a savepoint of Flink job a+; last seen: IN_PROGRESS"
    ):
        savepoints(RUNNING).stop_with_savepoint(JOB, timeout_s=10)


def test_a_stop_with_an_id_of_ours_is_repeated_after_a_lost_answer() -> None:
    bodies: list[object] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            operation = {"location": "file:///sp/1"}
            return httpx.Response(200, json={"status": {"id": "COMPLETED"}, "operation": operation})
        bodies.append(json.loads(request.content))
        if len(bodies) == 1:
            raise httpx.ReadTimeout("x", request=request)
        return httpx.Response(202, json={"request-id": "b" * 32})

    assert rest(handle).stop_with_savepoint(JOB, trigger_id="b" * 32) == "file:///sp/1"
    assert bodies == [{"drain": False, "triggerId": "b" * 32}] * 2


@pytest.mark.parametrize(
    ("operation", "number", "error"),
    [
        ({"checkpointId": 7}, 7, None),
        ({"checkpointId": None, "failureCause": FAILURE}, None, "no checkpoint of Flink job a+: IOException: no such"),
    ],
    ids=["made", "failed"],
)
def test_a_checkpoint_out_of_turn_is_polled(
    operation: dict[str, object], number: int | None, error: str | None
) -> None:
    answers = [{"status": {"id": "IN_PROGRESS"}}, {"status": {"id": "COMPLETED"}, "operation": operation}]

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, json={"request-id": "r1"})
        if request.url.path.endswith("/checkpoints/r1"):
            return httpx.Response(200, json=answers.pop(0))
        return httpx.Response(200, json={"jid": JOB, "name": "q", "state": "RUNNING"})

    if error is None:
        assert rest(handle).trigger_checkpoint(JOB) == number
    else:
        with pytest.raises(FlinkError, match=error):
            rest(handle).trigger_checkpoint(JOB)


def test_the_clusters_own_settings_are_read() -> None:
    rows = [{"key": "execution.checkpointing.savepoint-dir", "value": "file:///sp"}]
    config = rest(lambda _: httpx.Response(200, json=rows)).jobmanager_config()
    assert config == {"execution.checkpointing.savepoint-dir": "file:///sp"}


@pytest.mark.parametrize(("status", "accepted"), [(202, True), (409, False)])
def test_cancel_tells_whether_the_job_was_still_there_to_cancel(status: int, accepted: bool) -> None:
    calls: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(f"{request.method} {request.url.raw_path.decode()}")
        return httpx.Response(status, json={"errors": ["Job is already terminal"]})

    assert rest(handle).cancel(JOB) is accepted
    assert calls == [f"PATCH /jobs/{JOB}?mode=cancel"]


def test_an_unknown_job_has_its_own_error(flink: FakeFlink) -> None:
    with pytest.raises(JobNotFoundError, match=f"does not know job {JOB}"):
        flink.rest().job(JOB)


def test_times_are_aware_and_minus_one_means_not_yet() -> None:
    answer = {"jid": JOB, "name": "n", "state": "RUNNING", "start-time": 1700000000500, "end-time": -1}
    detail = rest(lambda request: httpx.Response(200, json=answer)).job(JOB)
    assert detail.start_time == datetime(2023, 11, 14, 22, 13, 20, 500000, tzinfo=UTC)
    assert detail.end_time is None


def test_metrics_are_read_by_name() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if "subtasks" in request.url.path:
            assert request.url.params["agg"] == "sum"
            return httpx.Response(200, json=[{"id": "numRecordsIn", "sum": 12.0}])
        return httpx.Response(200, json=[{"id": "numRestarts", "value": "0"}])

    client = rest(handle)
    assert client.job_metrics(JOB, ["numRestarts", "uptime"]) == {"numRestarts": "0"}
    assert client.vertex_metrics(JOB, "v", ["numRecordsIn"]) == {"numRecordsIn": 12.0}


@pytest.mark.parametrize("state", sorted(LIVE | TERMINAL))
def test_every_known_state_is_either_live_or_terminal(state: str) -> None:
    assert check_job_state(state, JOB) == state
    assert (state in LIVE) != (state in TERMINAL)
    assert JobDetail(jid=JOB, name="n", state=state).is_terminal == (state in TERMINAL)


def test_an_unknown_state_is_an_error_with_its_name() -> None:
    with pytest.raises(FlinkError, match="is in state 'HIBERNATING'"):
        _ = JobDetail(jid=JOB, name="n", state="HIBERNATING").is_terminal
