"""What is wrong with a stream beside its job: one row a trouble, and the healthy cases that look like one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestration.flink.monitoring.health import Level
from orchestration.lakehouse.streams.verdict import Flow, FlowLimits, Sample, judge_flow, remember

NOW = datetime(2024, 1, 5, 12, 0, tzinfo=UTC)
LIMITS = FlowLimits(lag_records=1000)
FLOW = Flow(
    NOW,
    lag_records=0,
    committed_at=NOW - timedelta(seconds=5),
    running_since=NOW - timedelta(days=2),
    checkpoint_interval_s=10.0,
    dead_letters=7,
    dropped=0,
)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def lags(*pairs: tuple[float, int]) -> list[Sample]:
    """Return samples of (seconds ago, lag)."""
    return [Sample(at=ago(seconds), lag_records=lag, dead_letters=7) for seconds, lag in pairs]


@pytest.mark.parametrize(
    ("flow", "samples", "expected"),
    [
        pytest.param(FLOW, [], [], id="well"),
        pytest.param(Flow(NOW), lags((60, 5000)), [], id="nothing could be read"),
        pytest.param(replace(FLOW, committed_at=ago(90_000)), lags((60, 0)), [], id="a quiet topic"),
        pytest.param(replace(FLOW, lag_records=1, committed_at=ago(90_000)), lags((15, 0)), [], id="one after a day"),
        pytest.param(replace(FLOW, lag_records=1000), lags((90, 10)), [], id="lag at the limit"),
        pytest.param(replace(FLOW, lag_records=5000), [], [], id="lag at the first look"),
        pytest.param(replace(FLOW, lag_records=5000), lags((30, 10)), [], id="lag of a fresh burst"),
        pytest.param(replace(FLOW, lag_records=5000), lags((90, 9000), (30, 7000)), [], id="lag that falls"),
        pytest.param(replace(FLOW, lag_records=5000), lags((90, 4000)), ["lag"], id="lag that grows"),
        pytest.param(replace(FLOW, lag_records=5000), lags((90, 5000)), ["lag"], id="lag that stays"),
        pytest.param(
            replace(FLOW, lag_records=9, committed_at=ago(100)), lags((90, 9), (61, 9)), ["commit_age"], id="late"
        ),
        pytest.param(replace(FLOW, lag_records=9, committed_at=ago(50)), lags((90, 9)), [], id="soon enough"),
        pytest.param(
            replace(FLOW, lag_records=9, committed_at=None), lags((90, 9)), ["commit_age"], id="never committed"
        ),
        pytest.param(
            replace(FLOW, lag_records=9, committed_at=ago(800), running_since=ago(20)),
            lags((90, 9)),
            [],
            id="it has just started again",
        ),
        pytest.param(
            replace(FLOW, lag_records=9, committed_at=ago(800)), lags((700, 9)), ["commits_stopped"], id="stopped"
        ),
        pytest.param(
            replace(FLOW, lag_records=9, committed_at=ago(800), checkpoint_interval_s=120.0),
            lags((700, 9)),
            ["commit_age"],
            id="long intervals have longer limits",
        ),
        pytest.param(replace(FLOW, dead_letters=9), lags((600, 0), (15, 0)), ["dead_letters"], id="new dead letters"),
        pytest.param(replace(FLOW, dead_letters=9), lags((901, 0)), [], id="dead letters of long ago"),
        pytest.param(replace(FLOW, dropped=3), [], ["malformed_waiting"], id="malformed records wait for the audit"),
    ],
)
def test_each_trouble_has_its_reason(flow: Flow, samples: Sequence[Sample], expected: list[str]) -> None:
    found = judge_flow(flow, samples, LIMITS)
    assert [reason.code for reason in found] == expected
    unhealthy = {reason.code for reason in found if reason.level is Level.UNHEALTHY}
    assert unhealthy == {"commits_stopped"} & set(expected)


def test_reasons_have_the_numbers() -> None:
    flow = replace(FLOW, lag_records=12_345, dropped=2, dead_letters=10, committed_at=ago(70))
    texts = [reason.text for reason in judge_flow(flow, lags((70, 345)), LIMITS)]
    assert texts == [
        "12,345 records behind, +12,000 within 60 s",
        "12,345 records wait, and bronze got no commit for 70 s",
        "3 new dead letters within 15 min",
        "at least 2 malformed records wait for the audit of silver_refresh",
    ]


def test_samples_are_kept_for_a_quarter_of_an_hour() -> None:
    samples = remember(FLOW, lags((901, 1), (900, 2), (15, 3)), LIMITS)
    assert [one.lag_records for one in samples] == [2, 3, 0]
    assert Sample.model_validate_json(samples[-1].model_dump_json()) == samples[-1]
