"""Flink jobs from outside: find one by name, wait for its end, cancel it, and say why it failed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from orchestration.errors import FlinkError, JobFailedError, JobTimeoutError, TaskManagerLostError, UnreachableError
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.models import TERMINAL, JobDetail, JobOverview, check_job_state
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.client.traces import root_cause
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

T = TypeVar("T")

LOST = "LOST"
"""Our word for a job that the cluster no longer knows: the JobManager went down without high availability."""

_LOST_WORKER = re.compile(
    r"TaskManager with id \S+ (is no longer reachable|timed out)|heartbeat of TaskManager|NoResourceAvailable"
    r"|Connection unexpectedly closed by remote task manager|Could not acquire the minimum required resources"
)
"""What Flink 2.1 writes when a TaskManager dies under a job, or before its successor has registered."""

_NO_CAUSE = "Flink recorded no exception"


@dataclass(frozen=True)
class Patience:
    """How a job is watched.

    Args:
        unreachable_s: how long the JobManager may be silent (a restart takes about 10 s).
        missing_s: how long a job may be unknown while a restarted JobManager recovers it.
        sleep, clock: replaced in tests.
    """

    poll: Backoff = field(default_factory=Backoff)
    unreachable_s: float = 30.0
    missing_s: float = 30.0
    sleep: Callable[[float], None] | None = None
    clock: Callable[[], float] = time.monotonic


NORMAL_PATIENCE = Patience()


def find_live_jobs(rest: FlinkRest, name: str) -> list[JobOverview]:
    """Return the jobs of exactly this name that are not over, oldest first. Names are not unique in Flink.

    Raises:
        FlinkError: one of them is in a state that we do not know.
    """
    jobs = [job for job in rest.jobs_overview() if job.name == name]
    return sorted(
        (job for job in jobs if check_job_state(job.state, job.id) not in TERMINAL),
        key=lambda job: job.start_time.timestamp() if job.start_time else 0.0,
    )


class JobObserver:
    """Asks the JobManager about one job, and bears that it is silent or has not recovered the job yet.

    One observer a wait: it remembers since when there was no answer. `last_state` is set by who looks.
    """

    def __init__(self, rest: FlinkRest, job_id: str, patience: Patience) -> None:
        self.last_state, self.last_seen = "unknown", "nothing"
        self._rest, self._job_id, self._patience = rest, job_id, patience
        self._silent_since: float | None = None
        self._missing_since: float | None = None

    def ask(self, question: Callable[[], T]) -> T | None:
        """Return the answer, or None when there is none yet; `last_seen` then says why.

        Raises:
            JobFailedError: state LOST, the cluster does not know the job for longer than `missing_s`.
            UnreachableError: the JobManager stayed silent for longer than `unreachable_s`.
        """
        try:
            answer = question()
        except UnreachableError as error:
            now = self._patience.clock()
            self._silent_since = now if self._silent_since is None else self._silent_since
            if now - self._silent_since >= self._patience.unreachable_s:
                raise UnreachableError(
                    f"{error.message}, for {self._patience.unreachable_s:.0f} s while job {self._job_id} was "
                    f"{self.last_state}",
                    hint=f"{error.hint}; a job that survived is found again by the next run",
                    context={**error.context, "job_id": self._job_id},
                ) from error
            self.last_seen = error.message
            return None
        except JobNotFoundError as error:
            now, self._silent_since = self._patience.clock(), None
            self._missing_since = now if self._missing_since is None else self._missing_since
            if now - self._missing_since >= self._patience.missing_s:
                raise _lost(self._job_id, self.last_state) from error
            self.last_seen = error.message
            return None
        self._silent_since = self._missing_since = None
        return answer


def wait_for_end(
    rest: FlinkRest,
    job_id: str,
    *,
    timeout_s: float,
    on_progress: Callable[[JobDetail], None] | None = None,
    patience: Patience = NORMAL_PATIENCE,
) -> JobDetail:
    """Poll a job until it is over, whatever the end, and return its last detail.

    Only the JobManager is asked, so a restart of the gateway does not matter; a restarted JobManager has
    `unreachable_s` to answer and `missing_s` to recover the job.

    Raises:
        JobTimeoutError: it still runs after `timeout_s`; it goes on running.
        JobFailedError: state LOST, the cluster no longer knows it.
        UnreachableError: the JobManager stayed silent.
    """
    observer = JobObserver(rest, job_id, patience)

    def look() -> tuple[JobDetail | None, object]:
        detail = observer.ask(lambda: rest.job(job_id))
        if detail is None:
            return None, observer.last_seen
        observer.last_state = detail.state
        is_terminal = detail.is_terminal
        if on_progress is not None:
            on_progress(detail)
        return (detail if is_terminal else None), detail.state

    try:
        return wait_for(
            look,
            what=f"Flink job {job_id} to end",
            timeout_s=timeout_s,
            backoff=patience.poll,
            sleep=patience.sleep,
            clock=patience.clock,
        )
    except WaitTimeoutError as error:
        cause = failure_cause(rest, job_id)
        because = f"; its latest failure: {cause}" if cause != _NO_CAUSE else ""
        raise JobTimeoutError(
            f"{error}{because}",
            hint=f"it goes on running and the next run waits for it; cancel it with './millrace jobs cancel {job_id}'",
            context={"job_id": job_id, "state": observer.last_state, "url": rest.job_url(job_id)},
        ) from error


def _lost(job_id: str, last_state: str) -> JobFailedError:
    return JobFailedError(
        f"Flink job {job_id} is lost: the cluster no longer knows it, the last state seen was {last_state}",
        hint="the JobManager was restarted; run again, what the job committed is not loaded twice",
        context={"job_id": job_id, "state": LOST},
        root_cause="the JobManager was restarted and did not recover the job",
        state=LOST,
    )


def cancel_job(
    rest: FlinkRest,
    job_id: str,
    timeout_s: float = 60.0,
    *,
    patience: Patience = NORMAL_PATIENCE,
) -> str:
    """Cancel a job, wait until it is over and return its last state. A job that is over already is left as it is.

    Raises:
        JobNotFoundError: the cluster does not know the id.
        JobTimeoutError: it does not end.
    """
    rest.cancel(job_id)
    return wait_for_end(rest, job_id, timeout_s=timeout_s, patience=patience).state


def failure_cause(rest: FlinkRest, job_id: str) -> str:
    """Return the root cause of a job's latest failure in one line, or that there is none."""
    try:
        exceptions = rest.job_exceptions(job_id)
    except (FlinkError, UnreachableError):
        return _NO_CAUSE
    for entry in exceptions.history.entries:
        if entry.stacktrace:
            return root_cause(entry.stacktrace)
    return root_cause(exceptions.root) if exceptions.root else _NO_CAUSE


def job_failure(rest: FlinkRest, detail: JobDetail) -> JobFailedError:
    """Return the error for a job that ended FAILED or CANCELED: name, id, root cause and link."""
    url = rest.job_url(detail.id)
    context = {"job_id": detail.id, "job_name": detail.name, "state": detail.state, "url": url, "code": "job_failed"}
    if detail.state == "CANCELED":
        text, cause = "was canceled", "somebody canceled the job"
    else:
        cause = failure_cause(rest, detail.id)
        text = f"failed: {cause}"
    kind = TaskManagerLostError if _LOST_WORKER.search(cause) else JobFailedError
    return kind(
        f"Flink job {detail.name} ({detail.id}) {text}", hint=url, context=context, root_cause=cause, state=detail.state
    )
