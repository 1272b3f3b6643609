"""How well the jobs are that should run for ever: persistent queries, streams, and the sensor that watches these."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from orchestration.errors import UnreachableError
from orchestration.flink.monitoring.health import Health, Level
from orchestration.settings import Settings
from orchestration.validation.line import Line, span

if TYPE_CHECKING:
    from orchestration.flink.monitoring.rounds import Verdict
    from orchestration.lakehouse.heartbeat import Heartbeat

STREAM_SENSOR = "stream_health"


def look_at_queries(settings: Settings, now: datetime) -> list[Line]:
    """Return a line for each persistent query and stream that should run, by the verdict of flink/monitoring/health.py.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    from orchestration.flink.look import watch
    from orchestration.flink.monitoring.rounds import Memory, go_round
    from orchestration.flink.provider import FlinkBacked, open_stream_engine
    from orchestration.flink.queries.spec import is_stream

    with open_stream_engine(settings) as engine:
        backed = engine if isinstance(engine, FlinkBacked) else None
        specs = {one.id: one.spec for one in backed.registry.active()} if backed is not None else {}
        streams = {query_id: spec for query_id, spec in specs.items() if spec is not None and is_stream(spec)}
        views = [view for view in engine.list() if view.id not in streams]
        jobs = [job for view in views if (job := watch(view, now, backed)) is not None]
    lines = [query_line(verdict) for verdict in go_round(jobs, Memory(), now).verdicts]
    for spec in streams.values():
        lines += look_at_stream(settings, spec.labels.get("dataset", settings.dataset), now)
    return lines


def look_at_stream(settings: Settings, dataset: str, now: datetime) -> list[Line]:
    """Return the lines of a dataset's stream and of the sensor that watches it; none: it should not run.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    from orchestration.contracts.resolve import settings_of
    from orchestration.lakehouse.heartbeat import read_heartbeats
    from orchestration.lakehouse.streams import watch

    own, contract = settings_of(settings, dataset)
    look = watch.look_at_stream(own, contract, now)
    if look is None:
        return []
    if "cluster" in look.silent:
        raise UnreachableError(look.silent["cluster"])
    verdicts = watch.judge_streams([look], watch.StreamMemory(), settings, now).verdicts
    beats = {beat.name: beat for beat in read_heartbeats(settings)}
    return [
        *(stream_line(verdict, look.flow.lag_records if look.flow else None) for verdict in verdicts),
        sensor_line(beats.get(STREAM_SENSOR), now),
    ]


def stream_line(verdict: Verdict, lag_records: int | None) -> Line:
    """Return the line of a stream's verdict."""
    line = query_line(verdict)
    name = verdict.watched.name
    if line.level is not Level.HEALTHY:
        return replace(line, hint=f"`millrace stream status {name}` has the details; `millrace stream deploy {name}`")
    lag = "" if lag_records is None else f", {lag_records:,} records behind"
    return replace(line, message=line.message + lag)


def sensor_line(heartbeat: Heartbeat | None, now: datetime) -> Line:
    """Judge the sensor that watches streams; one that is dead lets nobody heal a stream, which is only a warning."""
    hint = "`millrace ui` starts Dagster with its daemon; a sensor can be off, or fail in each tick"
    if heartbeat is None:
        text = "never ran: a stream that goes down is not healed"
        return Line("sensor", STREAM_SENSOR, Level.DEGRADED, text, ("sensor_silent",), hint)
    text = f"did its work {span(heartbeat.age_s(now))} ago"
    if not heartbeat.is_silent(now):
        return Line("sensor", STREAM_SENSOR, Level.HEALTHY, text)
    text += f", is due every {heartbeat.interval_s:.0f} s: a stream that goes down is not healed"
    return Line("sensor", STREAM_SENSOR, Level.DEGRADED, text, ("sensor_silent",), hint)


def query_line(verdict: Verdict) -> Line:
    """Return the line of one verdict."""
    health: Health = verdict.health
    job = verdict.watched
    is_well = health.level is Level.HEALTHY
    reading = job.reading
    text = f"{reading.state}, {reading.restarts} restarts" if is_well and reading is not None else health.text
    codes = tuple(reason.code for reason in health.reasons)
    hint = None if is_well else f"`millrace sql status {job.name}` has the details; `millrace sql restart {job.name}`"
    return Line("query", job.name, health.level, text, codes, hint, job.url)
