from collections.abc import Callable

import pytest

from orchestration.waiting import Backoff, WaitTimeoutError, wait_for


class FakeClock:
    """Time that passes only by sleeping, and by `look_takes_s` at each look."""

    def __init__(self, look_takes_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []
        self.look_takes_s = look_takes_s

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def look_at(self, *results: tuple[object | None, object]) -> Callable[[], tuple[object | None, object]]:
        """Return a look that gives `results` in turn and then the last one for ever."""
        left = list(results)

        def look() -> tuple[object | None, object]:
            self.now_s += self.look_takes_s
            return left.pop(0) if len(left) > 1 else left[0]

        return look


def test_a_result_that_is_there_costs_no_sleep() -> None:
    clock = FakeClock()
    assert wait_for(clock.look_at(("ready", "up")), what="x", timeout_s=5, sleep=clock.sleep, clock=clock) == "ready"
    assert clock.slept == []


@pytest.mark.parametrize("result", [0, "", False, []], ids=repr)
def test_a_false_result_is_a_result(result: object) -> None:
    clock = FakeClock()
    assert wait_for(clock.look_at((result, "")), what="x", timeout_s=5, sleep=clock.sleep, clock=clock) == result


def test_delays_grow_to_the_largest_one() -> None:
    clock = FakeClock()
    wait_for(
        clock.look_at(*[(None, "")] * 4, ("done", "")),
        what="x",
        timeout_s=60,
        backoff=Backoff(first_s=1, most_s=3, factor=2),
        sleep=clock.sleep,
        clock=clock,
    )
    assert clock.slept == [1, 2, 3, 3]


def test_jitter_varies_the_delays_but_not_the_timeout() -> None:
    clock = FakeClock()
    backoff = Backoff(first_s=1, most_s=1, jitter=0.2)
    with pytest.raises(WaitTimeoutError, match=r"waited 50\.0 s"):
        wait_for(clock.look_at((None, "")), what="x", timeout_s=50, backoff=backoff, sleep=clock.sleep, clock=clock)
    *slept, _last = clock.slept
    assert 0.8 <= min(slept) < 0.9 < 1.1 < max(slept) <= 1.2
    assert clock.now_s == pytest.approx(50)


def test_the_timeout_says_what_for_how_long_and_what_was_seen_last() -> None:
    clock = FakeClock()
    with pytest.raises(WaitTimeoutError, match=r"waited 3\.0 s for a slot; last seen: 0 slots") as caught:
        wait_for(
            clock.look_at((None, "1 slot?"), (None, "0 slots")),
            what="a slot",
            timeout_s=3,
            sleep=clock.sleep,
            clock=clock,
        )
    assert (caught.value.what, caught.value.last_seen) == ("a slot", "0 slots")
    assert caught.value.waited_s == pytest.approx(3)


def test_the_last_sleep_does_not_pass_the_timeout() -> None:
    clock = FakeClock()
    with pytest.raises(WaitTimeoutError):
        wait_for(
            clock.look_at((None, "")),
            what="x",
            timeout_s=2.5,
            backoff=Backoff(first_s=1, most_s=1),
            sleep=clock.sleep,
            clock=clock,
        )
    assert clock.slept == [1, 1, 0.5]


def test_it_looks_once_even_without_time() -> None:
    clock = FakeClock()
    assert wait_for(clock.look_at(("ready", "")), what="x", timeout_s=0, sleep=clock.sleep, clock=clock) == "ready"


def test_it_looks_once_more_after_the_last_sleep() -> None:
    clock = FakeClock()
    look = clock.look_at((None, ""), ("ready", ""))
    backoff = Backoff(first_s=1, most_s=1)
    assert wait_for(look, what="x", timeout_s=1, backoff=backoff, sleep=clock.sleep, clock=clock) == "ready"


def test_slow_looks_count_towards_the_timeout() -> None:
    clock = FakeClock(look_takes_s=10)
    with pytest.raises(WaitTimeoutError, match=r"waited 10\.0 s"):
        wait_for(clock.look_at((None, "")), what="x", timeout_s=5, sleep=clock.sleep, clock=clock)
    assert clock.slept == []


def test_an_error_of_the_look_is_not_swallowed() -> None:
    def look() -> tuple[None, object]:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        wait_for(look, what="x", timeout_s=5, sleep=FakeClock().sleep)
