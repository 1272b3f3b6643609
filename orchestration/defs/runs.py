"""What Dagster's history of runs says, for sensors: it outlives daemons and cursors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import dagster as dg

_MOST = 100
_STUCK_AFTER = timedelta(hours=4)
"""An older run that is not over was lost with its machine (dagster.yaml ends runs after so long)."""


def count_runs(
    instance: dg.DagsterInstance, job: str, tags: Mapping[str, str], *, since: datetime | None = None
) -> list[tuple[datetime, dg.DagsterRunStatus]]:
    """Return when runs of a job with these tags were made and what became of them, newest first; the last hundred.

    Args:
        since: only of runs that were made later.
    """
    wanted = dg.RunsFilter(job_name=job, tags=dict(tags), created_after=since)
    records = instance.get_run_records(wanted, limit=_MOST)
    return [(record.create_timestamp, record.dagster_run.status) for record in records]


def is_over(status: dg.DagsterRunStatus) -> bool:
    """Whether a run in this state will do nothing any more."""
    return status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def unfinished(instance: dg.DagsterInstance, jobs: Collection[str], now: datetime) -> str | None:
    """Return the job of a run that is not over, of the named jobs; None: there is none."""
    for job in jobs:
        made = count_runs(instance, job, {}, since=now - _STUCK_AFTER)
        if any(not is_over(status) for _, status in made):
            return job
    return None


def failures_in_a_row(made: Collection[tuple[datetime, dg.DagsterRunStatus]]) -> int:
    """Return how many of the newest runs failed, up to the first that did not."""
    count = 0
    for _, status in made:
        if status is not dg.DagsterRunStatus.FAILURE:
            break
        count += 1
    return count
