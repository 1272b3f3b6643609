"""When events go out: as fast as possible, in batches with pauses, or as they happened."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from orchestration.generator.encode import Events
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for

SLICE_ROWS = 8192
"""Events that are handed to the producer between two looks at the clock."""

_LONGEST_GAP_US = 24 * 3600 * 1_000_000


def wait_until(deadline: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Return when the monotonic clock shows `deadline`; at once if it is past."""
    remaining = deadline - clock()
    if remaining > 0:
        pause = Backoff(first_s=remaining, most_s=remaining)
        wait_for(
            lambda: (True if clock() >= deadline else None, None),
            what="the pace of the generator",
            timeout_s=remaining + 60,
            backoff=pause,
            clock=clock,
        )


@dataclass
class Pacer:
    """Cuts events into slices and waits before each as the mode wants.

    Attributes:
        mode: burst, realtime or batch.
        rate_limit: events a second over the whole call, 0: no limit; holds in every mode.
        batch_size, batch_delay_s: batch mode: after so many events flush, then pause.
        speed_factor: realtime: seconds of event time a second.
        flush: called at the end of each batch of batch mode.
    """

    mode: Literal["burst", "realtime", "batch"]
    rate_limit: int = 0
    batch_size: int = 1000
    batch_delay_s: float = 1.0
    speed_factor: float = 1.0
    flush: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = field(default=wait_until)
    _sent: int = 0
    _started: float | None = None
    _in_batch: int = 0
    _event_zero_us: int | None = None
    _event_last_us: int = 0
    _wall_zero: float = 0.0

    @classmethod
    def of(cls, settings: Settings, flush: Callable[[], None]) -> Pacer:
        """Return the pacer that the settings describe."""
        return cls(
            mode=settings.generator_mode,
            rate_limit=settings.rate_limit,
            batch_size=settings.batch_size,
            batch_delay_s=settings.batch_delay,
            speed_factor=settings.speed_factor,
            flush=flush,
        )

    def arrange(self, events: Events) -> Events:
        """Return the events of one batch in the order of sending."""
        return events.sorted_by_time() if self.mode == "realtime" and len(events) else events

    def slices(self, events: Events) -> Iterator[tuple[int, int]]:
        """Yield [start, stop) of each slice of the arranged events, when it is time to send it."""
        if self._started is None:
            self._started = self.clock()
        times = events.table["time_us"].to_pylist() if self.mode == "realtime" else None
        start = 0
        while start < len(events):
            stop = min(start + self._most(), len(events))
            if times is not None:
                stop = self._when_due(times, start, stop)
            elif self.mode == "batch" and self._in_batch >= self.batch_size:
                self.flush()
                self._in_batch = 0
                self.wait(self.clock() + self.batch_delay_s)
                continue
            if self.rate_limit:
                self.wait(self._started + self._sent / self.rate_limit)
            yield start, stop
            self._sent += stop - start
            self._in_batch += stop - start
            start = stop

    def _most(self) -> int:
        most = SLICE_ROWS
        if self.mode == "batch" and self._in_batch < self.batch_size:
            most = min(most, self.batch_size - self._in_batch)
        if self.rate_limit:
            # A tenth of a second's worth, so that the rate holds within a second too.
            most = min(most, max(self.rate_limit // 10, 1))
        return most

    def _when_due(self, times: list[int | None], start: int, stop: int) -> int:
        """Wait until the event at `start` is due; return the end of those that are due then.

        Event time runs from the first event of the call. A step of more than a day, forwards (a meter with a wrong
        clock) or backwards (the next file), is not waited for: the clock is set anew.
        """
        due = times[start]
        if due is None:
            return next((at for at in range(start, stop) if times[at] is not None), stop)
        now = self.clock()
        if self._event_zero_us is None or abs(due - self._event_last_us) > _LONGEST_GAP_US:
            self._event_zero_us, self._wall_zero = due, now
        self._event_last_us = due
        self.wait(self._wall_zero + (due - self._event_zero_us) / 1e6 / self.speed_factor)
        reached_us = self._event_zero_us + (self.clock() - self._wall_zero) * self.speed_factor * 1e6
        end = bisect_right(times, reached_us, start + 1, stop, key=_or_never)
        self._event_last_us = max(self._event_last_us, times[end - 1] or 0)
        return end


def _or_never(time_us: int | None) -> float:
    return float("inf") if time_us is None else time_us
