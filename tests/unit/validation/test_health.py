"""What each line of the health report says: the pure part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestration.errors import UnreachableError
from orchestration.flink.monitoring.health import Health, Level, Reading, Reason
from orchestration.flink.monitoring.rounds import Verdict, Watched
from orchestration.lakehouse.freshness import LayerState
from orchestration.lakehouse.heartbeat import Heartbeat
from orchestration.settings import Settings
from orchestration.validation import health
from orchestration.validation.health import dead_letter_line, layer_line, service_line, worst
from orchestration.validation.line import Line
from orchestration.validation.results import Result
from orchestration.validation.running import query_line, sensor_line, stream_line
from tests.unit.tiny import tiny_contract

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)


def test_a_service_is_as_well_as_its_check() -> None:
    good = service_line("broker", Result("health", "broker answers", True, "1 broker"))
    assert (good.level, good.message, good.codes) == (Level.HEALTHY, "1 broker", ())
    bad = service_line("gateway", Result("health", "SQL Gateway answers", False, "no answer", hint="start it"))
    assert (bad.level, bad.codes, bad.hint) == (Level.UNHEALTHY, ("gateway_down",), "start it")


@pytest.mark.parametrize(
    ("age_s", "waiting", "level", "message"),
    [
        pytest.param(None, 0, Level.HEALTHY, "never written", id="a fresh stack"),
        pytest.param(None, 5, Level.DEGRADED, "never written, 5 records wait", id="never loaded"),
        pytest.param(60, 0, Level.HEALTHY, "last commit 60 s ago", id="fresh"),
        pytest.param(90_000, 0, Level.HEALTHY, "last commit 25 h ago", id="old, and nothing waits"),
        pytest.param(600, 1500, Level.HEALTHY, "last commit 10 min ago, 1,500 records wait", id="soon"),
        pytest.param(1000, 3, Level.DEGRADED, "last commit 17 min ago, 3 records wait", id="stale"),
        pytest.param(1000, None, Level.DEGRADED, "last commit 17 min ago, it cannot be told what waits", id="unknown"),
        pytest.param(400_000, 0, Level.HEALTHY, "last commit 5 d ago", id="days"),
    ],
)
def test_a_layer_is_stale_if_data_waits_for_long(
    age_s: int | None, waiting: int | None, level: Level, message: str
) -> None:
    at = NOW - timedelta(seconds=age_s) if age_s is not None else None
    line = layer_line(LayerState("bronze", at, waiting, "records"), NOW)
    assert (line.level, line.message) == (level, message)
    assert (line.hint is None) == (line.codes == ()) == (level is Level.HEALTHY)


def test_dead_letters_beyond_the_budget_are_degraded() -> None:
    settings = Settings(dlq_max=2)
    assert dead_letter_line("rides.dlq", 12, 10, 3, settings).level is Level.HEALTHY
    line = dead_letter_line("rides.dlq", 13, 10, 3, settings)
    assert (line.level, line.codes) == (Level.DEGRADED, ("dlq_over_budget",))
    assert line.message == "13 dead letters, 3 replayed, 3 unsettled (DLQ_MAX=2)"


def test_a_query_has_the_verdict_of_its_job_and_a_link() -> None:
    watched = Watched("rides_stream", "ab", "http://flink/ab", Reading(NOW, "RUNNING", restarts=1))
    well = query_line(Verdict(watched, Health(), is_news=False))
    assert (well.level, well.message, well.hint) == (Level.HEALTHY, "RUNNING, 1 restarts", None)
    trouble = Health((Reason("job_failed", Level.UNHEALTHY, "the job failed: no disk"),))
    ill = query_line(Verdict(watched, trouble, is_news=False))
    assert (ill.level, ill.codes, ill.message) == (Level.UNHEALTHY, ("job_failed",), "the job failed: no disk")
    assert (ill.hint or "").startswith("`millrace sql status rides_stream`")
    assert ill.url == "http://flink/ab"


def test_a_stream_tells_its_lag_and_its_own_commands() -> None:
    watched = Watched("rides_stream", "ab", "http://flink/ab", Reading(NOW, "RUNNING"))
    well = stream_line(Verdict(watched, Health(), is_news=False), 1200)
    assert (well.message, well.hint) == ("RUNNING, 0 restarts, 1,200 records behind", None)
    trouble = Health((Reason("lag", Level.DEGRADED, "1,200 records behind"),))
    ill = stream_line(Verdict(watched, trouble, is_news=False), 1200)
    assert (ill.level, ill.codes) == (Level.DEGRADED, ("lag",))
    assert "millrace stream status rides_stream" in (ill.hint or "")


@pytest.mark.parametrize(
    ("age_s", "level", "message"),
    [
        pytest.param(None, Level.DEGRADED, "never ran: a stream that goes down is not healed", id="never"),
        pytest.param(20, Level.HEALTHY, "did its work 20 s ago", id="alive"),
        pytest.param(
            3600,
            Level.DEGRADED,
            "did its work 60 min ago, is due every 15 s: a stream that goes down is not healed",
            id="silent",
        ),
    ],
)
def test_a_sensor_that_is_dead_is_noticed(age_s: int | None, level: Level, message: str) -> None:
    heartbeat = Heartbeat("stream_health", NOW - timedelta(seconds=age_s), 15) if age_s is not None else None
    line = sensor_line(heartbeat, NOW)
    assert (line.level, line.message) == (level, message)
    assert (line.hint is None) == (line.codes == ()) == (level is Level.HEALTHY)


def test_the_report_is_as_well_as_its_worst_line() -> None:
    lines = [Line("layer", "a", level, "") for level in (Level.HEALTHY, Level.DEGRADED)]
    assert worst([]) is Level.HEALTHY
    assert worst(lines) is Level.DEGRADED
    assert worst([Line("layer", "b", Level.UNHEALTHY, ""), *lines]) is Level.UNHEALTHY


def test_what_cannot_be_read_is_unhealthy_and_hides_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any) -> list[Line]:
        raise UnreachableError("the broker does not answer", hint="start it")

    fine = [Line("service", "cluster", Level.HEALTHY, "16 slots")]
    monkeypatch.setattr(health, "_services", lambda *_: {"cluster": lambda: fine})
    monkeypatch.setattr(health, "look_at_queries", silent)
    monkeypatch.setattr(health, "look_at_layers", lambda *_: [])
    monkeypatch.setattr(health, "_look_at_dead_letters", lambda *_: Line("dead letters", "x", Level.HEALTHY, ""))
    lines = health.report_health(Settings(), tiny_contract(), NOW)
    assert [(line.name, line.level) for line in lines] == [
        ("cluster", Level.HEALTHY), ("persistent queries", Level.UNHEALTHY), ("x", Level.HEALTHY)
    ]  # fmt: skip
    assert (lines[1].message, lines[1].hint) == ("the broker does not answer", "start it")
