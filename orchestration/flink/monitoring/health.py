"""Is a streaming job well? One reading of the cluster, and a verdict on it that needs nothing else.

`read_job` asks, `judge` decides. The verdict speaks of any job that somebody wants to run: persistent queries, and
streams of the lakehouse. A job that nobody wants any more is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.models import Checkpoints, JobDetail, JobExceptions, Vertex
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.client.traces import root_cause
from orchestration.flink.jobs.wait import LOST

_RESTARTS = "numRestarts"
_STARTING = frozenset({"INITIALIZING", "CREATED", "RECONCILING", "SUSPENDED"})
_RECOVERING = frozenset({"RESTARTING", "FAILING"})


class Level(StrEnum):
    """How well a job is, best first."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Reason:
    """Why a job is not healthy. `code` is stable, for machines; `text` has the numbers."""

    code: str
    level: Level
    text: str


@dataclass(frozen=True)
class Health:
    """The verdict: the worst level of its reasons; healthy without any."""

    reasons: tuple[Reason, ...] = ()

    @property
    def level(self) -> Level:
        """The worst level."""
        order = list(Level)
        return max((reason.level for reason in self.reasons), key=order.index, default=Level.HEALTHY)

    @property
    def text(self) -> str:
        """All reasons in one line."""
        return "; ".join(reason.text for reason in self.reasons) or "no trouble found"


@dataclass(frozen=True)
class Limits:
    """From where on something is trouble.

    Args:
        restarts: failures within `restart_window_s` that are borne.
        checkpoint_intervals: age of the last checkpoint, in intervals, and `checkpoint_least_s` at least: with an
            interval of a second, one slow checkpoint is no trouble.
        stopped_intervals, stopped_least_s: the same, from where on the job is taken for hung.
        starting_s: how long a job may start, or wait for slots.
        backpressure: share of time that a vertex may be held up, over at least `backpressure_s`.
    """

    restarts: int = 3
    restart_window_s: float = 600.0
    checkpoint_intervals: float = 3.0
    checkpoint_least_s: float = 30.0
    stopped_intervals: float = 30.0
    stopped_least_s: float = 300.0
    starting_s: float = 120.0
    backpressure: float = 0.8
    backpressure_s: float = 300.0


NORMAL_LIMITS = Limits()


@dataclass(frozen=True)
class Load:
    """How long each vertex was held up by the ones behind it since it started: id to milliseconds a subtask."""

    at: datetime
    backpressured_ms: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Reading:
    """What the cluster says about one job at one time.

    Args:
        state: Flink's word, or LOST when the cluster does not know the job.
        running_since: last change into RUNNING; None: it never was.
        restarts: since it was submitted; 0 for a job that is over, of which Flink forgets the count.
        failures: times of the newest failures, newest first; Flink keeps 16.
        cause: root cause of the newest one; empty without.
        checkpoint_interval_s: None: the job makes no checkpoints.
    """

    at: datetime
    state: str
    started_at: datetime | None = None
    running_since: datetime | None = None
    restarts: int = 0
    failures: tuple[datetime, ...] = ()
    cause: str = ""
    checkpoint_interval_s: float | None = None
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    vertices: tuple[Vertex, ...] = ()

    @property
    def checkpoint_age_s(self) -> float | None:
        """Seconds since the last completed checkpoint was triggered, or since the start; None: makes none."""
        last = self.checkpoints.latest.completed
        since = (last.trigger_time if last else None) or self.running_since
        return None if self.checkpoint_interval_s is None or since is None else (self.at - since).total_seconds()

    @property
    def failed_checkpoints(self) -> int:
        """Failed checkpoints since the job was submitted."""
        return self.checkpoints.counts.failed

    @property
    def uptime_s(self) -> float | None:
        """Seconds since the last start; None: it does not run."""
        return (self.at - self.running_since).total_seconds() if self._is_running and self.running_since else None

    @property
    def read_records(self) -> int:
        """Records that vertices took in."""
        return sum(vertex.metrics.read_records for vertex in self.vertices)

    @property
    def write_records(self) -> int:
        """Records that vertices passed on."""
        return sum(vertex.metrics.write_records for vertex in self.vertices)

    @property
    def spent_ms(self) -> dict[str, float]:
        """Milliseconds of all tasks since their start: `backpressured`, `busy`, `idle`."""
        metrics = [vertex.metrics for vertex in self.vertices]
        return {
            "backpressured": sum(one.backpressured_ms for one in metrics),
            "busy": sum(one.busy_ms for one in metrics),
            "idle": sum(one.idle_ms for one in metrics),
        }

    @property
    def load(self) -> Load:
        """What a later reading needs to tell how long vertices were held up."""
        return Load(
            self.at,
            {vertex.id: vertex.metrics.backpressured_ms / max(vertex.parallelism, 1) for vertex in self.vertices},
        )

    @property
    def _is_running(self) -> bool:
        return self.state == "RUNNING"


def read_job(rest: FlinkRest, job_id: str, now: datetime | None = None) -> Reading:
    """Ask the cluster about a job; five calls.

    Raises:
        UnreachableError: the JobManager does not answer.
    """
    at = now or datetime.now(UTC)
    try:
        detail = rest.job(job_id)
        exceptions = rest.job_exceptions(job_id, max_exceptions=16)
        restarts = rest.job_metrics(job_id, [_RESTARTS]).get(_RESTARTS, "0")
    except JobNotFoundError:
        return Reading(at, LOST)
    try:
        interval_s, checkpoints = rest.checkpoint_interval_s(job_id), rest.checkpoints(job_id)
    except JobNotFoundError:  # Flink answers 404 for a job that makes no checkpoints
        interval_s, checkpoints = None, Checkpoints()
    return _reading(at, detail, exceptions, int(restarts), interval_s, checkpoints)


def _reading(
    at: datetime,
    detail: JobDetail,
    exceptions: JobExceptions,
    restarts: int,
    interval_s: float | None,
    checkpoints: Checkpoints,
) -> Reading:
    entries = exceptions.history.entries
    return Reading(
        at=at,
        state=detail.state,
        started_at=detail.start_time,
        running_since=detail.running_since,
        restarts=restarts,
        failures=tuple(entry.timestamp for entry in entries if entry.timestamp is not None),
        cause=root_cause(entries[0].stacktrace) if entries else "",
        checkpoint_interval_s=interval_s,
        checkpoints=checkpoints,
        vertices=detail.vertices,
    )


def judge(reading: Reading, earlier: Load | None = None, limits: Limits = NORMAL_LIMITS) -> Health:
    """Return how well a job is that somebody wants to run.

    Args:
        earlier: load of an older reading of the same job, by which back-pressure is judged: the share is the mean of
            the time between. None, or one younger than `backpressure_s`: not judged.
    """
    found = [
        _judge_state(reading, limits),
        _judge_restarts(reading, limits),
        *_judge_checkpoints(reading, limits),
        _judge_tasks(reading, limits),
        _judge_backpressure(reading, earlier, limits),
    ]
    return Health(tuple(reason for reason in found if reason is not None))


def _judge_state(reading: Reading, limits: Limits) -> Reason | None:
    because = f": {reading.cause}" if reading.cause else ""
    match reading.state:
        case "RUNNING" | "FINISHED":
            return None
        case "FAILED":
            return Reason("job_failed", Level.UNHEALTHY, f"the job failed{because}")
        case "LOST":
            return Reason("job_lost", Level.UNHEALTHY, "the cluster no longer knows the job")
        case "CANCELED" | "CANCELLING":
            return Reason("job_canceled", Level.UNHEALTHY, "somebody canceled the job")
        case state if state in _RECOVERING:
            return Reason("job_restarting", Level.DEGRADED, f"the job recovers from a failure{because}")
        case state if state in _STARTING:
            waited_s = _since(reading, reading.started_at)
            if waited_s <= limits.starting_s:
                return None
            return Reason("job_start_timeout", Level.DEGRADED, f"the job is {state} for {waited_s:.0f} s")
        case unknown:
            return Reason("job_state_unknown", Level.DEGRADED, f"the job is in state {unknown}, unknown to Millrace")


def _judge_restarts(reading: Reading, limits: Limits) -> Reason | None:
    start = reading.at - timedelta(seconds=limits.restart_window_s)
    count = sum(failure > start for failure in reading.failures)
    if count <= limits.restarts or reading.state == "FAILED":
        return None
    return Reason(
        "restarts",
        Level.UNHEALTHY,
        f"{count} failures within {limits.restart_window_s / 60:.0f} min, the last one: {reading.cause}",
    )


def _judge_checkpoints(reading: Reading, limits: Limits) -> list[Reason]:
    interval_s, age_s = reading.checkpoint_interval_s, reading.checkpoint_age_s
    if reading.uptime_s is None or interval_s is None or age_s is None:
        return []
    reasons: list[Reason] = []
    # After a restart the last checkpoint is as old as the outage; the job gets the same time again.
    allowed_s = max(limits.checkpoint_intervals * interval_s, limits.checkpoint_least_s)
    stopped_s = max(limits.stopped_intervals * interval_s, limits.stopped_least_s)
    waited_s = min(age_s, reading.uptime_s)
    text = f"the last checkpoint is {age_s:.0f} s old, they are due every {interval_s:g} s"
    if waited_s > stopped_s:
        reasons.append(Reason("checkpoints_stopped", Level.UNHEALTHY, text))
    elif waited_s > allowed_s:
        reasons.append(Reason("checkpoint_age", Level.DEGRADED, text))
    failed, completed = reading.checkpoints.latest.failed, reading.checkpoints.latest.completed
    if failed is not None and failed.id > (completed.id if completed else 0):
        because = f": {failed.failure}" if failed.failure else ""
        text = f"checkpoint {failed.id} failed{because} ({reading.failed_checkpoints} failed in all)"
        reasons.append(Reason("checkpoint_failed", Level.DEGRADED, text))
    return reasons


def _judge_tasks(reading: Reading, limits: Limits) -> Reason | None:
    """A job waits for slots in state RUNNING: only its tasks tell."""
    waiting = [vertex.name for vertex in reading.vertices if vertex.status not in ("RUNNING", "FINISHED")]
    if not waiting or reading.uptime_s is None or reading.uptime_s <= limits.starting_s:
        return None
    text = f"{len(waiting)} of {len(reading.vertices)} vertices do not run since {reading.uptime_s:.0f} s"
    return Reason("tasks_not_running", Level.DEGRADED, text)


def _judge_backpressure(reading: Reading, earlier: Load | None, limits: Limits) -> Reason | None:
    if earlier is None or (elapsed_s := (reading.at - earlier.at).total_seconds()) < limits.backpressure_s:
        return None
    now, names = reading.load.backpressured_ms, {vertex.id: vertex.name for vertex in reading.vertices}
    held = {
        key: (now[key] - before) / elapsed_s / 1000 for key, before in earlier.backpressured_ms.items() if key in now
    }
    worst = max(held, key=held.__getitem__, default=None)
    if worst is None or held[worst] <= limits.backpressure:
        return None
    text = f"{names[worst][:80]} was back-pressured {held[worst]:.0%} of the last {elapsed_s / 60:.0f} min"
    return Reason("backpressure", Level.DEGRADED, text)


def _since(reading: Reading, start: datetime | None) -> float:
    return (reading.at - start).total_seconds() if start else 0.0
