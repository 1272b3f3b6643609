"""Runs one batch statement as a Flink job to its end, at most once at a time for each job name.

The rule for the name: no live job, submit; one, adopt it; more, refuse. A submit is never repeated: when its outcome is
unknown the cluster is asked for the job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from orchestration.errors import FlinkError
from orchestration.flink.client.models import ENDING, JobDetail, JobOverview, Vertex
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.submission import CANCEL_S, cancelled_by_interrupt, submit_job
from orchestration.flink.jobs.wait import (
    NORMAL_PATIENCE,
    Patience,
    cancel_job,
    find_live_jobs,
    job_failure,
    wait_for_end,
)
from orchestration.flink.sessions.session import Session


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
    live = _settle(rest, name, patience)
    if live is not None:
        current, is_adopted = live.id, True
    else:
        current, is_adopted = submit_job(session, rest, sql, name=name, job_id=job_id, config=config, patience=patience)
    with cancelled_by_interrupt(lambda: cancel_job(rest, current, CANCEL_S, patience=patience)):
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
            wait_for_end(rest, job.id, timeout_s=CANCEL_S, patience=patience)
    live = [job for job in live if job.state not in ENDING]
    if len(live) > 1:
        ids = ", ".join(job.id for job in live)
        raise FlinkError(
            f"{len(live)} live Flink jobs are called {name}: {ids}",
            hint="cancel all but one with './millrace jobs cancel ID'",
            context={"job_name": name, "job_ids": ids, "code": "conflict"},
        )
    return live[0] if live else None
