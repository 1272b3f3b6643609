"""One wait loop on the monotonic clock; nothing else in the project sleeps."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """Delays between two looks, in seconds: from `first_s`, times `factor`, up to `most_s`.

    Args:
        jitter: share by which each delay is made longer or shorter at random, so that many waiters do not look at once.
    """

    first_s: float = 0.05
    most_s: float = 0.2
    factor: float = 1.5
    jitter: float = 0.0

    def after(self, delay_s: float) -> float:
        """Return the delay that follows `delay_s`."""
        return min(delay_s * self.factor, self.most_s)

    def spread(self, delay_s: float) -> float:
        """Return `delay_s` with jitter."""
        return delay_s * random.uniform(1 - self.jitter, 1 + self.jitter)


class WaitTimeoutError(TimeoutError):
    """Nothing came in time; says for what, how long, and what was seen last."""

    def __init__(self, what: str, waited_s: float, last_seen: object) -> None:
        self.what, self.waited_s, self.last_seen = what, waited_s, last_seen
        super().__init__(f"waited {waited_s:.1f} s for {what}; last seen: {last_seen}")


def wait_for(
    look: Callable[[], tuple[T | None, object]],
    *,
    what: str,
    timeout_s: float,
    backoff: Backoff = Backoff(),
    sleep: Callable[[float], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call `look` until its first element is not None, and return that.

    Args:
        look: returns (result or None, what it saw). What it saw goes into the timeout's text.
        what: the thing waited for, for the error text.

    Raises:
        WaitTimeoutError: after `timeout_s`; `look` is called at least once.
    """
    pause = sleep or time.sleep
    start, delay = clock(), backoff.first_s
    while True:
        result, seen = look()
        if result is not None:
            return result
        waited = clock() - start
        if waited >= timeout_s:
            raise WaitTimeoutError(what, waited, seen)
        pause(min(backoff.spread(delay), max(timeout_s - waited, 0.0)))
        delay = backoff.after(delay)
