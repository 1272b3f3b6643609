"""How well everything is, a line a service and layer: the looks of `millrace health`, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestration.contracts import DatasetContract
from orchestration.errors import MillraceError
from orchestration.flink.monitoring.health import Level
from orchestration.settings import Settings
from orchestration.validation.line import Kind, Line, span
from orchestration.validation.results import Result, within
from orchestration.validation.running import look_at_queries

if TYPE_CHECKING:
    from orchestration.lakehouse.freshness import LayerState

STALE_S = 900.0
"""Age of a layer's last commit from which data that waits for it is trouble: silver is refreshed each 15 minutes."""
LOOK_S = 30.0


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
    age = "never written" if age_s is None else f"last commit {span(age_s)} ago"
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
