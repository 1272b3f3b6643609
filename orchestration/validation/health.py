"""How well everything is, a line a service and layer: the looks of `millrace health`, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from orchestration.contracts import DatasetContract
from orchestration.errors import MillraceError, UnreachableError
from orchestration.flink.monitoring.health import Health, Level
from orchestration.settings import Settings
from orchestration.validation.results import Result, within

if TYPE_CHECKING:
    from orchestration.flink.monitoring.rounds import Verdict
    from orchestration.lakehouse.freshness import LayerState
    from orchestration.lakehouse.heartbeat import Heartbeat

Kind = Literal["service", "query", "sensor", "layer", "dead letters"]
STALE_S = 900.0
"""Age of a layer's last commit from which data that waits for it is trouble: silver is refreshed each 15 minutes."""
LOOK_S = 30.0
STREAM_SENSOR = "stream_health"


@dataclass(frozen=True)
class Line:
    """One line of the report.

    Attributes:
        codes: kinds of trouble, for machines; empty when healthy.
        hint: what to do; None when healthy.
    """

    kind: Kind
    name: str
    level: Level
    message: str
    codes: tuple[str, ...] = ()
    hint: str | None = None
    url: str | None = None


def report_health(settings: Settings, contract: DatasetContract, now: datetime | None = None) -> list[Line]:
    """Look at every service, query and layer at once and return a line for each. Reads only, raises nothing.

    What cannot be read because a service is down is unhealthy itself, with the service's own words.
    """
    at = now or datetime.now(UTC)
    looks: list[tuple[Kind, str, Callable[[], list[Line]]]] = [
        *(("service", name, look) for name, look in _services(settings, contract).items()),
        ("query", "persistent queries", lambda: look_at_queries(settings, at)),
        ("layer", "layers", lambda: look_at_layers(settings, contract, at)),
        ("dead letters", contract.dlq_topic, lambda: [_look_at_dead_letters(settings, contract)]),
    ]
    with ThreadPoolExecutor(len(looks)) as pool:
        found = pool.map(lambda one: _guarded(*one), looks)
    return [line for lines in found for line in lines]


def worst(lines: Iterable[Line]) -> Level:
    """Return the worst level; healthy without any line."""
    order = list(Level)
    return max((line.level for line in lines), key=order.index, default=Level.HEALTHY)


def _guarded(kind: Kind, name: str, look: Callable[[], list[Line]]) -> list[Line]:
    try:
        return within(LOOK_S, look)
    except MillraceError as error:
        return [Line(kind, name, Level.UNHEALTHY, error.message, (error.code,), error.hint)]
    except TimeoutError:
        text = f"no answer within {LOOK_S:g} s"
        return [Line(kind, name, Level.UNHEALTHY, text, ("timeout",), "`millrace status` shows what is slow or down")]


def _services(settings: Settings, contract: DatasetContract) -> dict[str, Callable[[], list[Line]]]:
    from orchestration.validation.broker import check_broker
    from orchestration.validation.catalog import check_catalog, check_storage
    from orchestration.validation.flink import check_cluster, check_gateway

    checks: dict[str, Callable[[], Result]] = {
        "broker": lambda: check_broker(settings, contract),
        "catalog": lambda: check_catalog(settings),
        "warehouse": lambda: check_storage(settings),
        "cluster": lambda: check_cluster(settings),
        "gateway": lambda: check_gateway(settings),
    }
    return {name: lambda name=name, run=run: [service_line(name, run())] for name, run in checks.items()}


def service_line(name: str, result: Result) -> Line:
    """Return the line of a service's check."""
    level = Level.HEALTHY if result.passed else Level.UNHEALTHY
    codes = () if result.passed else (f"{name}_down",)
    return Line("service", name, level, result.message, codes, result.hint)


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
    from orchestration.contracts.resolve import active_contract
    from orchestration.lakehouse.heartbeat import read_heartbeats
    from orchestration.lakehouse.streams import watch

    own = settings if settings.dataset == dataset else settings.with_changes(dataset=dataset)
    look = watch.look_at_stream(own, active_contract(own), now)
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
    text = f"did its work {_span(heartbeat.age_s(now))} ago"
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


def look_at_layers(settings: Settings, contract: DatasetContract, now: datetime) -> list[Line]:
    """Return how fresh bronze, silver and the marts are.

    Raises:
        UnreachableError, CatalogError: broker or catalog do not answer.
    """
    from orchestration.lakehouse.freshness import read_layers

    return [layer_line(layer, now) for layer in read_layers(settings, contract)]


def layer_line(layer: LayerState, now: datetime) -> Line:
    """Judge the freshness of a layer: data that waits for longer than STALE_S makes it degraded.

    A layer nobody writes to is as old as its last data, and that is no trouble.
    """
    age_s = (now - layer.committed_at).total_seconds() if layer.committed_at else None
    age = "never written" if age_s is None else f"last commit {_span(age_s)} ago"
    waits = f", {layer.waiting:,} {layer.unit} wait" if layer.waiting else ""
    is_stale = layer.waiting != 0 and (age_s is None or age_s > STALE_S)
    if layer.waiting is None:
        waits = ", it cannot be told what waits"
    if not is_stale:
        return Line("layer", layer.name, Level.HEALTHY, age + waits)
    return Line("layer", layer.name, Level.DEGRADED, age + waits, ("stale",), "`millrace run` brings it up to date")


def _look_at_dead_letters(settings: Settings, contract: DatasetContract) -> Line:
    from orchestration.lakehouse.counts import count_produced
    from orchestration.lakehouse.facts import count_reported
    from orchestration.lakehouse.replay import read_replayed

    _, found = count_produced(settings, contract)
    settled = count_reported(settings, contract)
    return dead_letter_line(
        contract.dlq_topic, found, settled, len(read_replayed(settings, contract).letters), settings
    )


def dead_letter_line(topic: str, found: int, settled: int, replayed: int, settings: Settings) -> Line:
    """Judge the dead letters: those that nobody accounted for are held against DLQ_MAX.

    Args:
        settled: rows that landings reported, and records that were replayed.
    """
    rest = found - settled
    text = f"{found:,} dead letters, {replayed:,} replayed, {rest:,} unsettled (DLQ_MAX={settings.dlq_max:,})"
    if rest <= settings.dlq_max:
        return Line("dead letters", topic, Level.HEALTHY, text)
    return Line("dead letters", topic, Level.DEGRADED, text, ("dlq_over_budget",), "`millrace dlq list` shows why")


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
