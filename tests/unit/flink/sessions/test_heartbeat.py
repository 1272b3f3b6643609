"""Heartbeats: one thread for all sessions, what counts as lost, forks, garbage."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.sessions import heartbeat as module
from orchestration.flink.sessions.heartbeat import Heartbeat
from tests.unit.flink.fakes import GATEWAY_URL, server_error

LOST = "org.apache.flink.table.gateway.api.utils.SqlGatewayException: Session 's1' does not exist."


class Beats:
    """Counts beats by session, and answers them."""

    def __init__(self, answer: Callable[[int], httpx.Response]) -> None:
        self.answer, self.counts, self.changed = answer, dict[str, int](), threading.Condition()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        session = request.url.path.split("/")[3]
        with self.changed:
            self.counts[session] = self.counts.get(session, 0) + 1
            self.changed.notify_all()
            return self.answer(self.counts[session])

    def wait(self, **counts: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: all(self.counts.get(key, 0) >= n for key, n in counts.items()), 5)

    def client(self) -> GatewayClient:
        return GatewayClient(GATEWAY_URL, transport=httpx.MockTransport(self))


def fine(count: int) -> httpx.Response:
    return httpx.Response(200, json={})


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "flink-heartbeat"]


def wait_for_end_of_thread() -> None:
    for thread in threads():
        thread.join(5)
        assert not thread.is_alive()


@pytest.fixture(autouse=True)
def no_thread_of_other_tests() -> Iterator[None]:
    module._start_anew()
    yield
    module._start_anew()


def test_one_thread_beats_for_all_sessions_and_ends_with_the_last() -> None:
    beats = Beats(fine)
    first, second = Heartbeat(beats.client(), "s1", 0.001), Heartbeat(beats.client(), "s2", 0.001)
    assert beats.wait(s1=3, s2=3)
    [thread] = [thread for thread in threads() if thread is module._rounds._thread]
    first.stop()
    second.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert (first.is_lost, second.is_lost) == (False, False)


def test_a_session_that_the_gateway_does_not_know_is_lost_at_once() -> None:
    beats = Beats(lambda count: server_error(LOST))
    heartbeat = Heartbeat(beats.client(), "s1", 0.001)
    assert beats.wait(s1=1)
    wait_for_end_of_thread()
    assert heartbeat.is_lost
    assert beats.counts == {"s1": 1}


def test_three_misses_in_a_row_are_a_loss_and_each_is_one_request() -> None:
    answers = {3: fine(3)}
    beats = Beats(lambda count: answers.get(count) or httpx.Response(503))
    heartbeat = Heartbeat(beats.client(), "s1", 0.001)
    assert beats.wait(s1=6)
    wait_for_end_of_thread()
    assert heartbeat.is_lost
    assert beats.counts == {"s1": 6}


def test_a_stopped_heartbeat_sends_nothing() -> None:
    beats = Beats(fine)
    Heartbeat(beats.client(), "s1", 1000).stop()
    other = Heartbeat(beats.client(), "s2", 0.001)
    assert beats.wait(s2=2)
    other.stop()
    assert "s1" not in beats.counts


def test_a_forgotten_session_is_not_kept_alive() -> None:
    beats = Beats(fine)
    Heartbeat(beats.client(), "s1", 1000)
    gc.collect()
    assert len(module._rounds) == 0


def test_a_forked_child_beats_again_for_the_sessions_it_uses() -> None:
    beats = Beats(fine)
    used, unused = Heartbeat(beats.client(), "s1", 1000), Heartbeat(beats.client(), "s2", 1000)
    module._start_anew()  # what os.register_at_fork runs in the child
    assert len(module._rounds) == 0
    used.interval_s = 0.001
    used.ensure()
    assert beats.wait(s1=2)
    used.stop()
    assert unused not in module._rounds
