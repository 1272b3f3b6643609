"""Heartbeats of sensors: written whole, read by name, and silent after a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestration.lakehouse.heartbeat import Heartbeat, beat, heartbeat_dir, read_heartbeats
from orchestration.settings import Settings

NOW = datetime(2024, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


def test_the_last_beat_of_each_sensor_is_known(settings: Settings) -> None:
    assert read_heartbeats(settings) == []
    beat(settings, "stream_health", 15, NOW - timedelta(minutes=1))
    beat(settings, "query_health", 60, NOW)
    beat(settings, "stream_health", 15, NOW)
    assert read_heartbeats(settings) == [Heartbeat("query_health", NOW, 60), Heartbeat("stream_health", NOW, 15)]
    assert sorted(path.name for path in heartbeat_dir(settings).iterdir()) == [
        "query_health.json",
        "stream_health.json",
    ]


def test_a_file_that_is_no_heartbeat_is_passed_over(settings: Settings) -> None:
    beat(settings, "stream_health", 15, NOW)
    (heartbeat_dir(settings) / "half.json").write_text('{"at":')
    assert [one.name for one in read_heartbeats(settings)] == ["stream_health"]


@pytest.mark.parametrize(
    ("interval_s", "age_s", "is_silent"),
    [
        pytest.param(15, 120, False, id="two minutes are borne"),
        pytest.param(15, 121, True, id="short interval"),
        pytest.param(600, 3000, False, id="five intervals are borne"),
        pytest.param(600, 3001, True, id="long interval"),
        pytest.param(15, -30, False, id="a clock that was set back"),
    ],
)
def test_silence_begins_after_five_intervals_and_two_minutes(interval_s: float, age_s: float, is_silent: bool) -> None:
    heartbeat = Heartbeat("a", NOW - timedelta(seconds=age_s), interval_s)
    assert heartbeat.is_silent(NOW) is is_silent
    assert heartbeat.age_s(NOW) == max(age_s, 0)
