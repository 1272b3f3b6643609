"""Runs one batch statement as a Flink job to its end, at most once at a time for each job name.

The rule for the name: no live job, submit; one, adopt it; more, refuse. A submit is never repeated: when its outcome is
unknown the cluster is asked for the job.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from orchestration.errors import FlinkError, JobTimeoutError, MillraceError, SessionLostError, UnreachableError
from orchestration.flink.failures import DuplicateJobError, JobNotFoundError, OutcomeUnknownError
from orchestration.flink.jobs import NORMAL_PATIENCE, Patience, cancel_job, find_live_jobs, job_failure, wait_for_end
from orchestration.flink.models import ENDING, TERMINAL, JobDetail, JobOverview, Vertex
from orchestration.flink.rest import FlinkRest
from orchestration.flink.results import Result, shorten_sql
from orchestration.flink.session import Session
from orchestration.waiting import WaitTimeoutError, wait_for

FIXED_JOB_ID = "$internal.pipeline.job-id"
"""Flink's own key (PipelineOptionsInternal): with it the JobManager refuses a second job of the same id."""

JOB_NAME = "pipeline.name"

_APPEAR_S = 30.0
"""How long a job may take to show up after a submit of unknown outcome."""

_CANCEL_S = 60.0
_INTERRUPT_S = 5.0


@dataclass(frozen=True)
class JobResult:
    """A job that FINISHED.

    Args:
        started_at: aware UTC.
        adopted: the job was submitted by someone else, an earlier run as a rule.
        vertices: the chains of operators with their record counts.
        url: the job in Flink's UI.
    """

    job_id: str
    name: str
    state: str
    started_at: datetime | None
    duration_s: float
    adopted: bool
    vertices: tuple[Vertex, ...]
    url: str

    def records_read(self, table: str) -> int:
        """Return how many records the job's sources read from a table (its name without catalog and namespace).

        Filters that Flink pushes into an Iceberg scan are applied before counting; a table that several branches scan
        separately is counted once for each scan.
        """
        head = f"Source: {table}["
        return sum(vertex.metrics.read_records for vertex in self.vertices if vertex.name.startswith(head))


def run_job(
    session: Session,
    rest: FlinkRest,
    sql: str,
    *,
    name: str,
    job_id: str | None = None,
    config: Mapping[str, str] | None = None,
    timeout_s: float = 1800.0,
    on_progress: Callable[[JobDetail], None] | None = None,
    patience: Patience = NORMAL_PATIENCE,
) -> JobResult:
    """Submit an INSERT or a statement set as job `name` and wait until it FINISHED; adopt a live job of that name.

    An interrupt (Ctrl-C, a run canceled in Dagster's UI) or a fault of the caller's `on_progress` cancels the job,
    waits for its end and goes on its way. After an error of ours (timeout, unreachable) the job is left alone.

    Args:
        job_id: 32 hexadecimal digits. Flink refuses a second submission of the same id, running or over, as long as
            the JobManager remembers it; that job is then waited for like an adopted one.
        timeout_s: for the whole job.
        on_progress: called with each new look at the job, every 50 to 200 ms.

    Raises:
        JobFailedError: the job FAILED, was CANCELED or is LOST; carries the root cause.
        JobTimeoutError: it still runs after `timeout_s`.
        StatementError: Flink refused the statement; no job was started.
        FlinkError: several live jobs have the name, or the outcome of the submit stayed unknown.
        UnreachableError: gateway or JobManager do not answer.
    """
    known = [job for job in rest.jobs_overview() if job.name == name]
    live = _settle(rest, name, patience)
    if live is not None:
        current, is_adopted = live.id, True
    else:
        settings = {**(config or {}), JOB_NAME: name, "table.dml-sync": "false"}
        if job_id is not None:
            settings[FIXED_JOB_ID] = job_id
        submission = _Submission(session, rest, sql, name, job_id, frozenset(job.id for job in known), patience)
        current, is_adopted = submission.run(settings)
    with _cancelled_by_interrupt(lambda: cancel_job(rest, current, _CANCEL_S, patience=patience)):
        detail = wait_for_end(rest, current, timeout_s=timeout_s, on_progress=on_progress, patience=patience)
    if detail.state != "FINISHED":
        raise job_failure(rest, detail)
    return JobResult(
        job_id=detail.id,
        name=detail.name,
        state=detail.state,
        started_at=detail.start_time,
        duration_s=detail.duration_ms / 1000,
        adopted=is_adopted,
        vertices=detail.vertices,
        url=rest.job_url(detail.id),
    )


def _settle(rest: FlinkRest, name: str, patience: Patience) -> JobOverview | None:
    """Return the live job to adopt, or None; jobs on their way out (an interrupted run's) are waited for first.

    Raises:
        FlinkError: several live jobs have the name.
    """
    live = find_live_jobs(rest, name)
    for job in live:
        if job.state in ENDING:
            wait_for_end(rest, job.id, timeout_s=_CANCEL_S, patience=patience)
    live = [job for job in live if job.state not in ENDING]
    if len(live) > 1:
        ids = ", ".join(job.id for job in live)
        raise FlinkError(
            f"{len(live)} live Flink jobs are called {name}: {ids}",
            hint="cancel all but one with './millrace jobs cancel ID'",
            context={"job_name": name, "job_ids": ids, "code": "conflict"},
        )
    return live[0] if live else None


@dataclass(frozen=True)
class _Submission:
    """One submit, and finding out what became of it."""

    session: Session
    rest: FlinkRest
    sql: str
    name: str
    job_id: str | None
    known_ids: frozenset[str]
    patience: Patience

    def run(self, settings: Mapping[str, str]) -> tuple[str, bool]:
        """Submit, and return the job's id and whether somebody else had submitted it."""
        result: Result | None = None
        with _cancelled_by_interrupt(lambda: self._cancel_new(result)):
            try:
                result = self.session.submit(self.sql, settings)
                result.wait_ready()
            except DuplicateJobError as error:
                return self._duplicate(error), True
            except SessionLostError as error:
                if result is None:
                    raise
                return self._find(error), False
            except (UnreachableError, JobTimeoutError) as error:
                if result is None and not isinstance(error, OutcomeUnknownError):
                    raise
                return self._find(error), False
            submitted = result.job_id
            result.close()
        if submitted is None:
            raise FlinkError(
                f"the statement started no Flink job: {shorten_sql(self.sql)}",
                hint="run_job takes INSERT and statement sets",
            )
        return submitted, False

    def _duplicate(self, error: DuplicateJobError) -> str:
        """Flink has or had a job of our fixed id: it is the one to wait for, if it is still known."""
        if self.job_id is None:
            raise error
        try:
            return self.rest.job(self.job_id).id
        except JobNotFoundError:
            raise DuplicateJobError(
                f"Flink refused job {self.name}: a job with id {self.job_id} is over and was forgotten",
                hint="submit with a new job id",
                context={"job_id": self.job_id, "job_name": self.name},
            ) from error

    def _find(self, error: MillraceError) -> str:
        """Return the id of the job that a submit of unknown outcome started.

        Raises:
            FlinkError: no such job appears. The session is closed first, so that the statement cannot start it later.
        """

        def look() -> tuple[str | None, object]:
            new = self._new_jobs()
            return (new[0].id if new else None), f"{len(new)} new jobs of that name"

        try:
            return wait_for(
                look,
                what=f"Flink job {self.name} to appear",
                timeout_s=_APPEAR_S,
                backoff=self.patience.poll,
                sleep=self.patience.sleep,
                clock=self.patience.clock,
            )
        except WaitTimeoutError as waited:
            self.session.close()
            raise FlinkError(
                f"it is not known whether Flink took job {self.name}: {error.message}; {waited}",
                hint="run again: a job that still appears is adopted, not submitted twice",
                context={**error.context, "job_name": self.name},
            ) from error

    def _new_jobs(self) -> list[JobOverview]:
        """Jobs that this submit can have started: of our id, or of our name and not there before it."""
        jobs = self.rest.jobs_overview()
        if self.job_id is not None:
            return [job for job in jobs if job.id == self.job_id]
        return [job for job in jobs if job.name == self.name and job.id not in self.known_ids]

    def _cancel_new(self, result: Result | None) -> list[str]:
        """Take back an interrupted submit: end the statement, then cancel the job it may have started."""
        if result is not None:
            result.close()
        self.session.close()

        def look() -> tuple[list[str] | None, object]:
            live = [job.id for job in self._new_jobs() if job.state not in TERMINAL]
            return (live or None), "no job"

        try:
            live = wait_for(
                look,
                what=f"Flink job {self.name} to appear",
                timeout_s=_INTERRUPT_S,
                backoff=self.patience.poll,
                sleep=self.patience.sleep,
                clock=self.patience.clock,
            )
        except WaitTimeoutError:
            return []
        return [cancel_job(self.rest, job_id, _CANCEL_S, patience=self.patience) for job_id in live]


@contextmanager
def _cancelled_by_interrupt(cancel: Callable[[], object]) -> Generator[None]:
    """Run `cancel` when anything but an error of ours leaves the block, and let that go on.

    Dagster's interrupt and KeyboardInterrupt are no `Exception`s, hence BaseException.
    """
    try:
        yield
    except MillraceError:
        raise
    except BaseException as interrupt:
        try:
            cancel()
        except MillraceError as error:
            interrupt.add_note(f"the Flink job could not be canceled: {error}")
        raise
