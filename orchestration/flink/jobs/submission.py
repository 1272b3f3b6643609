"""One submit of a Flink job, and finding out what became of it.

A submit is never repeated: when its outcome is unknown the cluster is asked for the job. With an id fixed by us the
question has one answer, and Flink itself refuses a second job.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from orchestration.errors import FlinkError, JobTimeoutError, MillraceError, SessionLostError, UnreachableError
from orchestration.flink.client.failures import DuplicateJobError, JobNotFoundError, OutcomeUnknownError
from orchestration.flink.client.models import TERMINAL, JobOverview
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.wait import NORMAL_PATIENCE, Patience, cancel_job
from orchestration.flink.reading.pages import shorten_sql
from orchestration.flink.reading.result import Result
from orchestration.waiting import WaitTimeoutError, wait_for

FIXED_JOB_ID = "$internal.pipeline.job-id"
"""Flink's own key (PipelineOptionsInternal): with it the JobManager refuses a second job of the same id."""

JOB_NAME = "pipeline.name"

CANCEL_S = 60.0
"""How long a canceled job may take to be over."""

_APPEAR_S = 30.0
"""How long a job may take to show up after a submit of unknown outcome."""

_INTERRUPT_S = 5.0


class StatementSession(Protocol):
    """What a submit needs of a session: a `Session` or a `LogicalSession`."""

    def submit(self, sql: str, config: Mapping[str, str] | None = None) -> Result:
        """Send one statement and return at once."""
        ...

    def close(self) -> object:
        """Close the session, so that a statement in flight cannot start a job later."""
        ...


def submit_job(
    session: StatementSession,
    rest: FlinkRest,
    sql: str,
    *,
    name: str,
    job_id: str | None = None,
    config: Mapping[str, str] | None = None,
    patience: Patience = NORMAL_PATIENCE,
) -> tuple[str, bool]:
    """Submit an INSERT or a statement set as job `name`; return its id, and whether somebody else had submitted it.

    An interrupt (Ctrl-C, a run canceled in Dagster's UI) takes the submit back and cancels a job that came of it.

    Args:
        job_id: 32 hexadecimal digits. Flink refuses a second submission of the same id, running or over, as long as
            the JobManager remembers it; the id is then returned as somebody else's.

    Raises:
        StatementError: Flink refused the statement; no job was started.
        FlinkError: the outcome stayed unknown; the session is closed. Or the statement starts no job.
        DuplicateJobError: a job of that id is over and was forgotten.
        UnreachableError: the gateway does not answer; nothing was sent.
    """
    known = frozenset(job.id for job in rest.jobs_overview() if job.name == name)
    settings = {**(config or {}), JOB_NAME: name, "table.dml-sync": "false"}
    if job_id is not None:
        settings[FIXED_JOB_ID] = job_id
    return _Submission(session, rest, sql, name, job_id, known, patience).run(settings)


@dataclass(frozen=True)
class _Submission:
    """One submit, and finding out what became of it."""

    session: StatementSession
    rest: FlinkRest
    sql: str
    name: str
    job_id: str | None
    known_ids: frozenset[str]
    patience: Patience

    def run(self, settings: Mapping[str, str]) -> tuple[str, bool]:
        """Submit, and return the job's id and whether somebody else had submitted it."""
        result: Result | None = None
        with cancelled_by_interrupt(lambda: self._cancel_new(result)):
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
                hint="INSERT and statement sets start jobs",
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
        return [cancel_job(self.rest, job_id, CANCEL_S, patience=self.patience) for job_id in live]


@contextmanager
def cancelled_by_interrupt(cancel: Callable[[], object]) -> Generator[None]:
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
