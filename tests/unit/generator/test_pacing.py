"""When events go out, on a fake clock."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from orchestration.generator.encode import Events
from orchestration.generator.pacing import SLICE_ROWS, Pacer

SECOND = 1_000_000
DAY = 86_400


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, deadline: float) -> None:
        self.now = max(self.now, deadline)


def events(times_s: list[float | None]) -> Events:
    times = [None if time is None else int(time * SECOND) for time in times_s]
    return Events(pa.table({"time_us": pa.array(times, pa.int64()), "row": pa.array(range(len(times)), pa.int64())}))


def run(times_s: list[float | None], **options: Any) -> list[tuple[float, int]]:
    """Return (seconds since the start, number of events) of each slice."""
    clock = Clock()
    pacer = Pacer(clock=clock, wait=clock.wait, **options)
    return [(round(clock() - 1000, 3), stop - start) for start, stop in pacer.slices(pacer.arrange(events(times_s)))]


def test_a_burst_never_waits() -> None:
    assert run([0.0] * (SLICE_ROWS + 5), mode="burst") == [(0, SLICE_ROWS), (0, 5)]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(20, [(0, 2), (0.1, 2), (0.2, 1)], id="a tenth of a second each"),
        pytest.param(1, [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)], id="one a second"),
        pytest.param(10_000_000, [(0, 5)], id="more than there are"),
    ],
)
def test_a_burst_keeps_its_rate_limit(limit: int, expected: list[tuple[float, int]]) -> None:
    assert run([0.0] * 5, mode="burst", rate_limit=limit) == expected


def test_a_batch_is_flushed_and_followed_by_a_pause_but_the_last_one_is_not() -> None:
    flushed: list[int] = []
    slices = run([0.0] * 5, mode="batch", batch_size=2, batch_delay_s=3.0, flush=lambda: flushed.append(1))
    assert slices == [(0, 2), (3, 2), (6, 1)]
    assert len(flushed) == 2


def test_a_batch_goes_on_over_the_end_of_an_encoded_chunk() -> None:
    clock = Clock()
    pacer = Pacer("batch", batch_size=3, batch_delay_s=1, clock=clock, wait=clock.wait)
    slices = [stop - start for _ in range(3) for start, stop in pacer.slices(events([0.0, 0.0]))]
    assert (slices, clock() - 1000) == ([2, 1, 1, 2], 1)


@pytest.mark.parametrize(
    ("times_s", "speed", "expected"),
    [
        pytest.param([0, 10, 30], 1.0, [(0, 1), (10, 1), (30, 1)], id="as it happened"),
        pytest.param([0, 10, 30], 10.0, [(0, 1), (1, 1), (3, 1)], id="ten times as fast"),
        pytest.param([30, 0, 10], 1.0, [(0, 1), (10, 1), (30, 1)], id="sorted first"),
        pytest.param([5, 5, 5], 1.0, [(0, 3)], id="of one time together"),
        pytest.param(
            [0, 0, 7 * DAY, 7 * DAY + 5], 1.0, [(0, 2), (0, 1), (5, 1)], id="a jump of days is not waited for"
        ),
        pytest.param([None, 0, 10], 1.0, [(0, 1), (10, 1), (10, 1)], id="without a time: last, at once"),
    ],
)
def test_realtime_replays_event_time(
    times_s: list[float | None], speed: float, expected: list[tuple[float, int]]
) -> None:
    assert run(times_s, mode="realtime", speed_factor=speed) == expected


def test_realtime_goes_on_over_chunks_and_sends_late_events_at_once() -> None:
    clock = Clock()
    pacer = Pacer("realtime", clock=clock, wait=clock.wait)
    seen = [
        (round(clock() - 1000), stop - start)
        for chunk in ([0.0, 100.0], [50.0, 120.0])
        for start, stop in pacer.slices(pacer.arrange(events(list(chunk))))
    ]
    assert seen == [(0, 1), (100, 1), (100, 1), (120, 1)]
