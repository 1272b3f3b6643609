"""Flink's metrics, asked from the JobManager's REST API, under the names that Flink's Prometheus reporter gives them.

The reporter itself listens on all interfaces and has no option for it (PrometheusReporter of Flink 2.1), so the
embedded stack, which listens on loopback only, does not run it. What the REST API says of JobManager, TaskManagers,
jobs and tasks are the same values; a dashboard made for one works with the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from prometheus_client.metrics_core import Metric

from orchestration.flink.client.connection import RetryPolicy, http_options
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.models import TERMINAL, JobOverview, Vertex
from orchestration.flink.client.rest import FlinkRest
from orchestration.observability.families import gauge
from orchestration.settings import Settings
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

MAX_JOBS = 50
"""Jobs whose tasks are shown, the oldest first: streams live longer than batch jobs."""
FRESH_S = 1.0
_NAMES_A_CALL = 60
_CPU_TIME = "Status.JVM.CPU.Time"

_JVM = {
    _CPU_TIME: "Processor time of the JVM, in ns",
    "Status.JVM.CPU.Load": "Share of the machine's processors that the JVM uses, 0 to 1",
    "Status.JVM.Memory.Heap.Used": "Heap in use, in bytes",
    "Status.JVM.Memory.Heap.Max": "Most that the heap may grow to, in bytes",
    "Status.JVM.Memory.Metaspace.Used": "Metaspace in use, in bytes",
    "Status.JVM.Memory.Direct.MemoryUsed": "Direct buffers in use, in bytes",
    "Status.JVM.Threads.Count": "Live threads",
    "Status.JVM.GarbageCollector.All.TimeMsPerSecond": "Time in garbage collection, in ms a second",
}
JOBMANAGER = {
    "numRunningJobs": "Jobs that run",
    "numRegisteredTaskManagers": "TaskManagers that are registered",
    "taskSlotsTotal": "Task slots of the cluster",
    "taskSlotsAvailable": "Task slots that are free",
    **_JVM,
}
TASKMANAGER = {
    **_JVM,
    "Status.Flink.Memory.Managed.Used": "Managed memory in use, in bytes",
    "Status.Flink.Memory.Managed.Total": "Managed memory, in bytes",
    "Status.Shuffle.Netty.UsedMemory": "Network buffers in use, in bytes",
    "Status.Shuffle.Netty.TotalMemory": "Network buffers, in bytes",
}
JOB = {
    "numRestarts": "Restarts since the job was submitted",
    "uptime": "Time that the job runs without interruption, in ms",
    "restartingTime": "Time that the job is restarting, or took for its last restart, in ms",
    "numberOfCompletedCheckpoints": "Checkpoints that completed",
    "numberOfFailedCheckpoints": "Checkpoints that failed",
    "numberOfInProgressCheckpoints": "Checkpoints under way",
    "totalNumberOfCheckpoints": "Checkpoints in all",
    "lastCheckpointDuration": "How long the last checkpoint took, in ms; -1 before the first",
    "lastCheckpointSize": "Size of the last checkpoint, in bytes; -1 before the first",
    "lastCheckpointFullSize": "Size of all that the last checkpoint refers to, in bytes; -1 before the first",
}
TASK = {
    "numRecordsInPerSecond": "Records that the subtask takes in, a second",
    "numRecordsOutPerSecond": "Records that the subtask passes on, a second",
    "numRecordsIn": "Records that the subtask took in",
    "numRecordsOut": "Records that the subtask passed on",
    "numBytesInPerSecond": "Bytes that the subtask takes in, a second",
    "numBytesOutPerSecond": "Bytes that the subtask passes on, a second",
    "busyTimeMsPerSecond": "Time that the subtask works, in ms a second",
    "idleTimeMsPerSecond": "Time that the subtask waits for data, in ms a second",
    "backPressuredTimeMsPerSecond": "Time that the subtask is held up by those behind it, in ms a second",
}
Labels = tuple[str, ...]


@dataclass(frozen=True)
class _Scope:
    """A kind of thing that has metrics: the prefix of their names, the labels of their samples."""

    prefix: str
    labels: Labels
    names: Mapping[str, str]


_JOBMANAGER = _Scope("flink_jobmanager_", ("host",), JOBMANAGER)
_TASKMANAGER = _Scope("flink_taskmanager_", ("tm_id",), TASKMANAGER)
_JOB = _Scope("flink_jobmanager_job_", ("job_id", "job_name"), JOB)
_TASK = _Scope("flink_taskmanager_job_task_", ("job_id", "job_name", "task_id", "task_name", "subtask_index"), TASK)

Readings = dict[Labels, Mapping[str, str]]
"""Values of the labels to Flink's name of each metric to its value."""


def collect_flink(settings: Settings) -> list[Metric]:
    """Return what the cluster says of itself and of its jobs.

    Raises:
        UnreachableError: the JobManager does not answer.
    """
    # The next scrape is the retry.
    options = replace(http_options(settings), retry=RetryPolicy(attempts=1))
    with FlinkRest(settings.flink_rest_url, timeout_s=settings.http_timeout_s, options=options) as rest:
        return read_flink(rest)


def read_flink(rest: FlinkRest) -> list[Metric]:
    """Return what `collect_flink` does, by an open client."""
    await_fresh(rest)
    jobs = _live(rest.jobs_overview())
    tasks: Readings = {}
    for job in jobs:
        tasks |= _read_tasks(rest, job)
    managers: Readings = {(one.id,): rest.taskmanager_metrics(one.id, TASKMANAGER) for one in rest.taskmanagers()}
    return [
        *_families(_JOBMANAGER, {("jobmanager",): rest.jobmanager_metrics(JOBMANAGER)}),
        *_families(_TASKMANAGER, managers),
        *_families(_JOB, {(job.id, job.name): _read_job(rest, job.id) for job in jobs}),
        *_families(_TASK, tasks),
    ]


def await_fresh(rest: FlinkRest) -> None:
    """Have the JobManager gather new values, and wait for them a little.

    It answers from a copy. A question that comes more than `metrics.fetcher.update-interval` (10 s) after the last
    update starts the next one, and is itself answered from the old copy (MetricFetcherImpl.update).
    """
    first = rest.jobmanager_metrics([_CPU_TIME])

    def look() -> tuple[bool | None, object]:
        now = rest.jobmanager_metrics([_CPU_TIME])
        return (True if now and now != first else None), now

    try:
        wait_for(look, what="new metrics", timeout_s=FRESH_S, backoff=Backoff(0.05, 0.2))
    except WaitTimeoutError:
        # The copy is younger than the interval.
        return


def _live(jobs: Iterable[JobOverview]) -> list[JobOverview]:
    alive = [job for job in jobs if job.state not in TERMINAL]
    return sorted(alive, key=lambda job: (job.start_time is None, job.start_time, job.id))[:MAX_JOBS]


def _read_job(rest: FlinkRest, job_id: str) -> Mapping[str, str]:
    try:
        return rest.job_metrics(job_id, JOB)
    except JobNotFoundError:
        return {}  # it ended meanwhile


def _read_tasks(rest: FlinkRest, job: JobOverview) -> Readings:
    try:
        vertices = rest.job(job.id).vertices
    except JobNotFoundError:
        return {}
    found: Readings = {}
    for vertex in vertices:
        values: dict[str, str] = {}
        for names in _chunks(subtask_names(vertex)):
            values |= rest.subtask_metrics(job.id, vertex.id, names)
        for subtask in range(vertex.parallelism):
            own = {name: values[key] for name in TASK if (key := f"{subtask}.{name}") in values}
            found[job.id, job.name, vertex.id, vertex.name, str(subtask)] = own
    return found


def subtask_names(vertex: Vertex) -> list[str]:
    """Return what the REST API calls the metrics of all subtasks."""
    return [f"{subtask}.{name}" for subtask in range(vertex.parallelism) for name in TASK]


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield names by so many that the address of a request stays short."""
    rest = iter(names)
    while chunk := list(islice(rest, _NAMES_A_CALL)):
        yield chunk


def _families(scope: _Scope, readings: Readings) -> Sequence[Metric]:
    """Return a family for each metric, also for one that nothing has now: its name and text stay on the page."""
    return [
        gauge(
            scope.prefix + name.replace(".", "_"),
            text,
            scope.labels,
            {labels: number_of(values.get(name)) for labels, values in readings.items()},
        )
        for name, text in scope.names.items()
    ]


def number_of(text: str | None) -> float | None:
    """Return a value of the REST API as a number; None for one that is missing or is none."""
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and not math.isnan(value) else None
