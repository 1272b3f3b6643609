"""Is a stream well, beyond its Flink job? A pure verdict on lag, commits, dead letters and unaudited records.

The job itself (state, restarts, checkpoints, back-pressure) is judged by `flink/monitoring/health.py`; the reasons here
stand beside those. A topic in which nothing happens makes nobody ill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from orchestration.flink.monitoring.health import Level, Reason


@dataclass(frozen=True)
class Flow:
    """What goes through a stream, at one time. None: it could not be read, or there is nothing yet.

    Args:
        lag_records: records of the topic behind the offsets of the last checkpoint.
        committed_at: newest commit of the stream to bronze.
        running_since: the job's last start.
        checkpoint_interval_s: of the job.
        dead_letters: records that the dead-letter topic ever got.
        dropped: at least so many records were read and gave no row in bronze, and no audit has looked at them.
        audited: where the last audit ended, as text that changes with each; empty before the first.
    """

    at: datetime
    lag_records: int | None = None
    committed_at: datetime | None = None
    running_since: datetime | None = None
    checkpoint_interval_s: float | None = None
    dead_letters: int | None = None
    dropped: int | None = None
    audited: str = ""


class Sample(BaseModel):
    """What a later verdict must know of an earlier look."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    lag_records: int | None = None
    dead_letters: int | None = None


@dataclass(frozen=True)
class FlowLimits:
    """From where on something is trouble.

    Args:
        lag_records: a lag above it must fall within `trend_s`.
        commit_intervals, commit_least_s: age of the newest commit, counted from when something waited for it.
        stopped_intervals, stopped_least_s: the same, from where on it counts as stopped.
        memory_s: how long samples are kept, and new dead letters are told.
    """

    lag_records: int = 10_000
    trend_s: float = 60.0
    commit_intervals: float = 3.0
    commit_least_s: float = 60.0
    stopped_intervals: float = 30.0
    stopped_least_s: float = 600.0
    memory_s: float = 900.0


def judge_flow(flow: Flow, samples: Sequence[Sample], limits: FlowLimits) -> tuple[Reason, ...]:
    """Return what is wrong.

    Args:
        samples: of earlier looks, oldest first; without them a trend is not judged.
    """
    found = [
        _judge_lag(flow, samples, limits),
        _judge_commits(flow, samples, limits),
        _judge_dead_letters(flow, samples, limits),
        _judge_dropped(flow),
    ]
    return tuple(reason for reason in found if reason is not None)


def remember(flow: Flow, samples: Sequence[Sample], limits: FlowLimits) -> tuple[Sample, ...]:
    """Return the samples for the next look."""
    edge = flow.at - timedelta(seconds=limits.memory_s)
    kept = tuple(one for one in samples if one.at >= edge)
    return (*kept, Sample(at=flow.at, lag_records=flow.lag_records, dead_letters=flow.dead_letters))


def _judge_lag(flow: Flow, samples: Sequence[Sample], limits: FlowLimits) -> Reason | None:
    edge = flow.at - timedelta(seconds=limits.trend_s)
    before = [one.lag_records for one in samples if one.at <= edge and one.lag_records is not None]
    if flow.lag_records is None or flow.lag_records <= limits.lag_records or not before:
        return None
    grown = flow.lag_records - before[-1]
    if grown < 0:
        return None
    text = f"{flow.lag_records:,} records behind, {grown:+,} within {limits.trend_s:.0f} s"
    return Reason("lag", Level.DEGRADED, text)


def _judge_commits(flow: Flow, samples: Sequence[Sample], limits: FlowLimits) -> Reason | None:
    interval_s = flow.checkpoint_interval_s
    if not flow.lag_records or flow.running_since is None or interval_s is None:
        return None
    # What waits counts from when it came: a topic that was quiet for a day has an old commit, and that is right.
    waits_since = flow.at
    for sample in reversed(samples):
        if not sample.lag_records:
            break
        waits_since = sample.at
    since = max(time for time in (waits_since, flow.running_since, flow.committed_at) if time is not None)
    age_s = (flow.at - since).total_seconds()
    text = f"{flow.lag_records:,} records wait, and bronze got no commit for {age_s:.0f} s"
    if age_s > max(limits.stopped_intervals * interval_s, limits.stopped_least_s):
        return Reason("commits_stopped", Level.UNHEALTHY, text)
    if age_s > max(limits.commit_intervals * interval_s, limits.commit_least_s):
        return Reason("commit_age", Level.DEGRADED, text)
    return None


def _judge_dead_letters(flow: Flow, samples: Sequence[Sample], limits: FlowLimits) -> Reason | None:
    edge = flow.at - timedelta(seconds=limits.memory_s)
    before = next((one.dead_letters for one in samples if one.at >= edge and one.dead_letters is not None), None)
    if flow.dead_letters is None or before is None or flow.dead_letters <= before:
        return None
    text = f"{flow.dead_letters - before:,} new dead letters within {limits.memory_s / 60:.0f} min"
    return Reason("dead_letters", Level.DEGRADED, text)


def _judge_dropped(flow: Flow) -> Reason | None:
    if not flow.dropped:
        return None
    text = f"at least {flow.dropped:,} malformed records wait for the audit of silver_refresh"
    return Reason("malformed_waiting", Level.DEGRADED, text)
