"""The states of a persistent query, and which one a Flink job's state means."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from orchestration.flink.client.models import TERMINAL, JobOverview, check_job_state

if TYPE_CHECKING:
    from orchestration.flink.queries.record import QueryRecord


class QueryState(StrEnum):
    """Where a query stands."""

    DEPLOYING = "DEPLOYING"
    """A process is about to submit its job."""
    STARTING = "STARTING"
    """Flink has the job and has not started it."""
    RUNNING = "RUNNING"
    DEGRADED = "DEGRADED"
    """The job fails and is started again by Flink."""
    STOPPING = "STOPPING"
    SUSPENDED = "SUSPENDED"
    """Stopped with a savepoint, to be continued."""
    STOPPED = "STOPPED"
    FINISHED = "FINISHED"
    """The job read all of its bounded sources."""
    FAILED = "FAILED"
    LOST = "LOST"
    """It should run and the cluster does not know the job."""
    DELETING = "DELETING"
    DELETED = "DELETED"


class Desired(StrEnum):
    """What the owner of a query wants."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    DELETED = "DELETED"


BUSY = frozenset({QueryState.DEPLOYING, QueryState.STOPPING, QueryState.DELETING})
"""A process is at work on the query. Its record names that process (holder.py)."""

LIVE = frozenset({QueryState.STARTING, QueryState.RUNNING, QueryState.DEGRADED})
"""The query has a job on the cluster."""

OVER = frozenset({QueryState.SUSPENDED, QueryState.STOPPED, QueryState.FINISHED, QueryState.FAILED, QueryState.LOST})
"""The query has no job; it can be started again."""

_BY_JOB_STATE = {
    "INITIALIZING": QueryState.STARTING,
    "CREATED": QueryState.STARTING,
    "RECONCILING": QueryState.STARTING,
    # The JobManager lost its leadership and takes the job up again.
    "SUSPENDED": QueryState.STARTING,
    "RUNNING": QueryState.RUNNING,
    "RESTARTING": QueryState.DEGRADED,
    "FAILING": QueryState.DEGRADED,
    "CANCELLING": QueryState.STOPPING,
    "CANCELED": QueryState.STOPPED,
    "FAILED": QueryState.FAILED,
}


def actual_state(job_state: str | None, record: QueryRecord) -> QueryState:
    """Return the state of a query whose job is in `job_state`; None: the cluster does not know the job.

    A job that the cluster has forgotten is LOST only if it should run: one that was over stays what it was.

    Raises:
        FlinkError: Flink sent a state that we do not know.
    """
    if job_state is None:
        return QueryState.LOST if record.desired is Desired.RUNNING and record.state in LIVE else record.state
    if check_job_state(job_state, record.job_id or "?") == "FINISHED":
        # A stop with a savepoint ends the job as FINISHED, as the end of its sources does.
        return QueryState.SUSPENDED if record.stop_mode in ("savepoint", "drain") else QueryState.FINISHED
    return _BY_JOB_STATE[job_state]


def find_job(record: QueryRecord, jobs: Sequence[JobOverview]) -> JobOverview | None:
    """Return the job of a query: by its id, or if that one is over or unknown, the newest live one of its job name."""
    job = next((job for job in jobs if job.id == record.job_id), None)
    if job is not None and job.state not in TERMINAL:
        return job
    named = [other for other in jobs if other.name == record.job_name and other.state not in TERMINAL]
    return max(named, key=lambda other: other.start_time.timestamp() if other.start_time else 0.0, default=job)


def shown_state(record: QueryRecord, job: JobOverview | None) -> QueryState:
    """Return the state of a query for people: the record's while somebody works on it, else what its job says.

    How a job ended that is long over is known best by the record: a stop with a savepoint looks like an end.
    """
    if record.state in BUSY or record.state is QueryState.DELETED:
        return record.state
    if job is not None and job.state in TERMINAL and record.state in OVER:
        return record.state
    return actual_state(job.state if job else None, record)
