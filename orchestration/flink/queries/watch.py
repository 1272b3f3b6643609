"""Watches a job start: does it run steadily, did it end, or does it fail again and again?

The word RUNNING is not enough. With checkpointing on, Flink restarts a failing job for ever: it shows RUNNING with some
tasks running, then RESTARTING, never FAILED (seen on 2.1.3 with too few slots, and with a cast that fails on each row).
So the verdict looks at the vertices and at the history of exceptions, and wants both quiet for some seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from orchestration.errors import FlinkError, JobFailedError, JobTimeoutError, UnreachableError
from orchestration.flink.client.models import JobDetail, JobExceptions, check_job_state
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.client.traces import root_cause
from orchestration.flink.jobs.wait import JobObserver, Patience
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

Verdict = Literal["starting", "steady", "finished", "failed", "starved"]

WATCH_PATIENCE = Patience(poll=Backoff(first_s=0.2, most_s=1.0))

_STARTED = frozenset({"RUNNING", "FINISHED"})
"""States of a vertex that has its slots; a bounded source may be done while the rest still runs."""

_NO_SLOTS = re.compile(r"NoResourceAvailable|Could not acquire the minimum required resources")


@dataclass(frozen=True)
class StartRules:
    """When a start counts.

    Args:
        stable_for_s: how long all vertices must run without a new failure.
        timeout_s: until then.
        tolerate_restarts: failures that are forgiven, for sources that come up late.
        all_vertices: False for batch jobs, whose later stages wait for the earlier ones.
        slots_within_s: how long it may wait for slots while the cluster has none left. Flink itself gives up at once,
            but in the first minutes of a cluster's life it waits for further TaskManagers (`slot.request.timeout`).
    """

    stable_for_s: float = 3.0
    timeout_s: float = 120.0
    tolerate_restarts: int = 0
    all_vertices: bool = True
    slots_within_s: float = 15.0


@dataclass(frozen=True)
class Look:
    """What one look at the cluster saw.

    Args:
        at_s: monotonic time.
        vertices: the state of each vertex.
        failures: entries of the job's history of exceptions.
        free_slots: of the cluster; None: not asked, because the job is up.
    """

    at_s: float
    state: str
    vertices: tuple[str, ...]
    failures: int
    free_slots: int | None = None

    def is_up(self, *, all_vertices: bool) -> bool:
        """Whether every vertex runs, or at least one."""
        running = [status in _STARTED for status in self.vertices]
        return self.state == "RUNNING" and any(running) and (all(running) or not all_vertices)

    @property
    def is_starved(self) -> bool:
        """Whether nothing of the job runs and no slot is left."""
        return self.free_slots == 0 and not any(status in _STARTED for status in self.vertices)

    def __str__(self) -> str:
        running = sum(status in _STARTED for status in self.vertices)
        failures = f", {self.failures} failures" if self.failures else ""
        return f"{self.state}, {running} of {len(self.vertices)} vertices running{failures}"


@dataclass(frozen=True)
class Quiet:
    """Since when the job has been up without a new failure, or has had no slots; None: it is not so."""

    since_s: float | None = None
    failures: int = 0
    starved_since_s: float | None = None


def judge(look: Look, before: Quiet, rules: StartRules) -> tuple[Verdict, Quiet]:
    """Return the verdict on a start, and what the next look is compared with.

    A failure is an entry in the history, whatever the state says now: between two looks the job may have come back.
    """
    match look.state:
        case "FINISHED":
            return "finished", before
        case "FAILED" | "CANCELED":
            return "failed", before
        case _ if look.failures > rules.tolerate_restarts:
            return "failed", before
        case _ if not look.is_up(all_vertices=rules.all_vertices):
            since_s = (before.starved_since_s or look.at_s) if look.is_starved else None
            is_starved = since_s is not None and look.at_s - since_s >= rules.slots_within_s
            return ("starved" if is_starved else "starting"), Quiet(None, look.failures, since_s)
        case _:
            is_same = before.since_s is not None and before.failures == look.failures
            since_s = before.since_s if is_same and before.since_s is not None else look.at_s
            return ("steady" if look.at_s - since_s >= rules.stable_for_s else "starting"), Quiet(
                since_s, look.failures
            )


def watch_start(
    rest: FlinkRest,
    job_id: str,
    rules: StartRules = StartRules(),
    *,
    on_look: Callable[[Look], None] | None = None,
    patience: Patience = WATCH_PATIENCE,
) -> JobDetail:
    """Wait until a job runs steadily or FINISHED, and return its last detail. Cancels nothing.

    Raises:
        JobFailedError: it failed; code `no_slots` when the cluster is full, else `job_failed` with the root cause.
        JobTimeoutError: code `job_start_timeout`; it neither ran nor failed in time, and goes on trying.
        UnreachableError: the JobManager stayed silent.
    """
    observer, quiet = JobObserver(rest, job_id, patience), Quiet()

    def ask() -> tuple[JobDetail, JobExceptions]:
        return rest.job(job_id), rest.job_exceptions(job_id, max_exceptions=rules.tolerate_restarts + 1)

    def watch() -> tuple[JobDetail | None, object]:
        nonlocal quiet
        answer = observer.ask(ask)
        if answer is None:
            return None, observer.last_seen
        detail, exceptions = answer
        observer.last_state = check_job_state(detail.state, job_id)
        statuses = tuple(vertex.status for vertex in detail.vertices)
        is_up = bool(statuses) and all(status in _STARTED for status in statuses)
        free = None if is_up or detail.is_terminal else rest.overview().slots_available
        look = Look(patience.clock(), detail.state, statuses, len(exceptions.history.entries), free)
        if on_look is not None:
            on_look(look)
        verdict, quiet = judge(look, quiet, rules)
        if verdict in ("failed", "starved"):
            raise _start_failure(rest, detail, exceptions, is_starved=verdict == "starved")
        return (None if verdict == "starting" else detail), look

    try:
        return wait_for(
            watch,
            what=f"Flink job {job_id} to run steadily",
            timeout_s=rules.timeout_s,
            backoff=patience.poll,
            sleep=patience.sleep,
            clock=patience.clock,
        )
    except WaitTimeoutError as error:
        context = {"job_id": job_id, "url": rest.job_url(job_id), "code": "job_start_timeout"}
        raise JobTimeoutError(str(error), hint=f"{_slots_text(rest)}; {rest.job_url(job_id)}", context=context) from (
            error
        )


def _start_failure(
    rest: FlinkRest, detail: JobDetail, exceptions: JobExceptions, *, is_starved: bool
) -> JobFailedError:
    traces = [entry.stacktrace for entry in exceptions.history.entries if entry.stacktrace]
    trace = traces[0] if traces else (exceptions.root or "")
    url = rest.job_url(detail.id)
    context = {"job_id": detail.id, "job_name": detail.name, "state": detail.state, "url": url, "code": "job_failed"}
    if is_starved or _NO_SLOTS.search(trace):
        most = max((vertex.parallelism for vertex in detail.vertices), default=1)
        cause = f"not enough free slots for parallelism {most}; {_slots_text(rest)}"
        hint, context["code"] = "stop other jobs (./millrace jobs list) or lower the parallelism", "no_slots"
    elif not trace and detail.state == "CANCELED":
        cause, hint = "somebody canceled it while it started", url
    else:
        cause, hint = root_cause(trace) if trace else "Flink recorded no exception", url
    text = f"Flink job {detail.name} ({detail.id}) did not start: {cause}"
    return JobFailedError(text, hint=hint, context=context, root_cause=cause, state=detail.state)


def _slots_text(rest: FlinkRest) -> str:
    try:
        overview = rest.overview()
    except (FlinkError, UnreachableError):
        return "the cluster does not say how many slots are free"
    return f"{overview.slots_available} of the cluster's {overview.slots_total} slots are free"
