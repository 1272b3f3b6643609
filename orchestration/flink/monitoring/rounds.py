"""One round over streaming jobs: verdicts, what is new about them, alerts, and what asks for a repair.

A round is a pure function of what was read and of the memory of the rounds before. The memory is small JSON, so a
sensor keeps it in its cursor and any other process in a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from orchestration.flink.monitoring.alerts import Alert, due
from orchestration.flink.monitoring.health import NORMAL_LIMITS, Health, Level, Limits, Load, Reading, Reason, judge

SILENT = timedelta(minutes=1)
"""How long a service may be silent before it is told: a restart takes less."""

REPAIR_AGAIN = timedelta(minutes=5)
"""How often a repair is asked for while a job that may be restarted is down; the policy's own pauses come on top."""

_REPAIRABLE = frozenset({"job_failed", "job_lost", "job_canceled"})


@dataclass(frozen=True)
class Watched:
    """A job that somebody wants to run.

    Args:
        name: of the query or the stream.
        job_id: None: it was never submitted.
        url: of the job in Flink's UI.
        reading: None: there is nothing to read, as the deploy failed.
        failure: why it does not run, where the job itself cannot tell; empty: it can. `failure_code` is its kind.
        may_restart: its policy allows another start, so a repair is worth asking for again.
        more: trouble that its owner found beside the job, such as a lag.
    """

    name: str
    job_id: str | None
    url: str | None = None
    reading: Reading | None = None
    failure: str = ""
    failure_code: str = "job_failed"
    may_restart: bool = False
    more: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """How well a watched job is; `is_news`: not the same as in the last round."""

    watched: Watched
    health: Health
    is_news: bool


class Memory(BaseModel):
    """What one round must know of those before.

    Args:
        told: key of an alert to when it was last told.
        verdicts: name to level and codes.
        loads: job id to loads of the last minutes, oldest first.
        silent: name of a service to since when it does not answer.
    """

    model_config = ConfigDict(frozen=True)

    told: dict[str, datetime] = {}
    verdicts: dict[str, str] = {}
    loads: dict[str, tuple[Load, ...]] = {}
    silent: dict[str, datetime] = {}


@dataclass(frozen=True)
class Round:
    """The outcome.

    Args:
        alerts: to be sent; none of them was told within the last quarter of an hour.
        repairs: keys of repairs to start, one a trouble; the same key is the same repair.
    """

    verdicts: tuple[Verdict, ...]
    alerts: tuple[Alert, ...]
    repairs: tuple[str, ...]
    memory: Memory


def go_round(
    jobs: Sequence[Watched],
    memory: Memory,
    now: datetime,
    *,
    silent: Mapping[str, str] | None = None,
    strays: Iterable[str] = (),
    limits: Limits = NORMAL_LIMITS,
) -> Round:
    """Judge every job.

    Args:
        jobs: all that are wanted; what is missing was stopped, and is forgotten.
        silent: service that does not answer to what it said; told after a minute.
        strays: jobs of ours on the cluster that no record knows, for people.
    """
    verdicts = tuple(_judge(job, memory, limits) for job in jobs)
    since = {service: memory.silent.get(service, now) for service in silent or {}}
    alerts = [
        *(alert for verdict in verdicts for alert in _alerts(verdict, now)),
        *(
            Alert(service, f"{service}_unreachable", text, now)
            for service, text in (silent or {}).items()
            if now - since[service] >= SILENT
        ),
        *(
            Alert(
                stray,
                "registry_mismatch",
                f"no record knows the live job {stray}; `millrace sql reconcile --recover` makes one",
                now,
            )
            for stray in strays
        ),
    ]
    fresh, told = due(alerts, memory.told, now)
    repairs = [_repair_key(verdict, code, now) for verdict in verdicts for code in _repairable(verdict.health)]
    return Round(
        verdicts,
        tuple(fresh),
        tuple(repairs),
        Memory(
            told=told,
            verdicts={verdict.watched.name: _summary(verdict.health) for verdict in verdicts},
            loads=_loads(jobs, memory, limits),
            silent=since,
        ),
    )


def _judge(job: Watched, memory: Memory, limits: Limits) -> Verdict:
    if job.failure:
        health = Health((Reason(job.failure_code, Level.UNHEALTHY, job.failure),))
    elif job.reading is None:
        health = Health()
    else:
        # The oldest one that is kept: what is younger than the window is ignored by the verdict.
        earlier = memory.loads.get(job.job_id or "", ())
        health = judge(job.reading, earlier[0] if earlier else None, limits)
    health = Health((*health.reasons, *job.more))
    return Verdict(job, health, memory.verdicts.get(job.name) != _summary(health))


def _summary(health: Health) -> str:
    return ":".join([health.level.value, *(reason.code for reason in health.reasons)])


def _alerts(verdict: Verdict, now: datetime) -> list[Alert]:
    job = verdict.watched
    return [Alert(job.name, reason.code, reason.text, now, job.job_id, job.url) for reason in verdict.health.reasons]


def _repairable(health: Health) -> list[str]:
    return [reason.code for reason in health.reasons if reason.code in _REPAIRABLE]


def _repair_key(verdict: Verdict, code: str, now: datetime) -> str:
    job = verdict.watched
    key = f"{job.name}:{job.job_id}:{code}"
    return f"{key}:{int(now.timestamp() // REPAIR_AGAIN.total_seconds())}" if job.may_restart else key


def _loads(jobs: Sequence[Watched], memory: Memory, limits: Limits) -> dict[str, tuple[Load, ...]]:
    """Keep of each running job the newest load that is old enough to judge by, and all younger ones."""
    kept: dict[str, tuple[Load, ...]] = {}
    for job in jobs:
        if job.reading is None or job.job_id is None or job.reading.state != "RUNNING":
            continue
        loads = (*memory.loads.get(job.job_id, ()), job.reading.load)
        edge = job.reading.at - timedelta(seconds=limits.backpressure_s)
        first = max((number for number, load in enumerate(loads) if load.at <= edge), default=0)
        kept[job.job_id] = loads[first:]
    return kept
