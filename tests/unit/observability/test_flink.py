"""Flink's metrics under the reporter's names, from a REST API without sockets."""

from __future__ import annotations

import httpx
import pytest

from orchestration.flink.client.models import Vertex
from orchestration.flink.client.rest import FlinkRest
from orchestration.observability.flink import MAX_JOBS, TASK, number_of, read_flink, subtask_names
from tests.unit.flink.fakes import REST_URL
from tests.unit.observability.samples import by_name

JOB, OLD, TASK_ID = "a" * 32, "b" * 32, "v1"
LONG_SQL = "Calc(select=[a], where=['s3.secret-access-key' = 'hunter22'])"


class Cluster:
    """One running job of one vertex with 70 subtasks, and one that is over. Each look at the CPU time is a new one."""

    def __init__(self, jobs: int = 1) -> None:
        self.cpu = 0
        self.jobs = jobs
        self.longest = 0
        self.is_gone = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        names = request.url.params.get("get", "").split(",")
        self.longest = max(self.longest, len(names))
        if path == "/jobs/overview":
            jobs = [
                {"jid": f"{n:032x}" if n else JOB, "name": "taxi", "state": "RUNNING", "start-time": 1000 + n}
                for n in range(self.jobs)
            ]
            return httpx.Response(200, json={"jobs": [*jobs, {"jid": OLD, "name": "old", "state": "FINISHED"}]})
        if path == "/taskmanagers":
            return httpx.Response(200, json={"taskmanagers": [{"id": "tm:1/x"}]})
        if path == "/jobmanager/metrics":
            self.cpu += 1
            values = {"numRunningJobs": "1", "Status.JVM.CPU.Time": str(self.cpu), "Status.JVM.CPU.Load": "NaN"}
            return self.metrics(names, values)
        if path.startswith("/taskmanagers/tm"):
            return self.metrics(names, {"Status.JVM.Memory.Heap.Used": "42"})
        if self.is_gone and path.startswith("/jobs/"):
            return httpx.Response(404, json={"errors": ["no such job"]})
        if path == f"/jobs/{JOB}/metrics":
            return self.metrics(names, {"numRestarts": "2", "lastCheckpointDuration": "-1"})
        if path == f"/jobs/{JOB}":
            vertices = [{"id": TASK_ID, "name": LONG_SQL, "status": "RUNNING", "parallelism": 70}]
            return httpx.Response(200, json={"jid": JOB, "name": "taxi", "state": "RUNNING", "vertices": vertices})
        if path == f"/jobs/{JOB}/vertices/{TASK_ID}/metrics":
            return self.metrics(names, {f"{n}.numRecordsIn": str(n) for n in range(70)})
        return httpx.Response(200, json={"jid": "x", "name": "taxi", "state": "RUNNING", "vertices": []})

    def metrics(self, names: list[str], values: dict[str, str]) -> httpx.Response:
        return httpx.Response(200, json=[{"id": name, "value": values[name]} for name in names if name in values])


def read(cluster: Cluster) -> dict[str, dict[tuple[str, ...], float]]:
    with FlinkRest(REST_URL, transport=httpx.MockTransport(cluster)) as rest:
        return by_name(read_flink(rest))


def test_names_are_those_of_the_reporter() -> None:
    found = read(Cluster())
    assert found["flink_jobmanager_numRunningJobs"] == {("jobmanager",): 1.0}
    assert found["flink_taskmanager_Status_JVM_Memory_Heap_Used"] == {("tm:1/x",): 42.0}
    assert found["flink_jobmanager_job_numRestarts"] == {(JOB, "taxi"): 2.0}
    assert found["flink_jobmanager_job_lastCheckpointDuration"] == {(JOB, "taxi"): -1.0}


def test_a_task_has_a_sample_for_each_subtask_in_requests_of_bounded_length() -> None:
    cluster = Cluster()
    samples = read(cluster)["flink_taskmanager_job_task_numRecordsIn"]
    assert sorted(samples.values()) == list(range(70))
    assert {labels[-1] for labels in samples} == {str(n) for n in range(70)}
    assert cluster.longest <= 60


def test_a_secret_in_the_name_of_a_task_is_masked() -> None:
    labels = next(iter(read(Cluster())["flink_taskmanager_job_task_numRecordsIn"]))
    assert "hunter22" not in " ".join(labels)


def test_values_are_those_of_after_the_question() -> None:
    # The first answer is of the copy before; the page has a later one.
    assert read(Cluster())["flink_jobmanager_Status_JVM_CPU_Time"]["jobmanager",] > 1


def test_a_value_that_is_no_number_is_left_out() -> None:
    assert "flink_jobmanager_Status_JVM_CPU_Load" not in read(Cluster())
    assert [number_of(text) for text in (None, "NaN", "yes", "1.5")] == [None, None, None, 1.5]


def test_a_job_that_ends_meanwhile_takes_nothing_else_along() -> None:
    cluster = Cluster()
    cluster.is_gone = True
    found = read(cluster)
    assert "flink_jobmanager_job_numRestarts" not in found
    assert found["flink_jobmanager_numRunningJobs"]


def test_jobs_beyond_the_bound_are_left_out_the_oldest_stay() -> None:
    found = read(Cluster(jobs=MAX_JOBS + 5))["flink_jobmanager_job_numRestarts"]
    assert (JOB, "taxi") in found


@pytest.mark.parametrize("parallelism", [1, 3])
def test_subtasks_are_asked_for_by_number(parallelism: int) -> None:
    vertex = Vertex(id="v", name="v", status="RUNNING", parallelism=parallelism)
    assert subtask_names(vertex) == [f"{n}.{name}" for n in range(parallelism) for name in TASK]
