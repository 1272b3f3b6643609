"""The pool: exclusive sessions, its size, a full gateway, idle sessions, what is thrown away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from orchestration.errors import FlinkError, JobTimeoutError, SessionLostError, StatementError, UnreachableError
from orchestration.flink.client.failures import OutcomeUnknownError, OverloadedError
from orchestration.flink.sessions.pool import SessionPool
from orchestration.flink.sessions.session import SessionSpec
from tests.unit.flink.fakes import server_error
from tests.unit.flink.many_sessions import ManySessions

STREAMING, BATCH = SessionSpec(), SessionSpec(mode="batch")
Make = Callable[..., SessionPool]


@pytest.fixture
def gateway() -> ManySessions:
    return ManySessions()


@pytest.fixture
def make(gateway: ManySessions) -> Iterator[Make]:
    pools: list[SessionPool] = []

    def make(**options: float) -> SessionPool:
        pools.append(SessionPool(gateway.client(), **options))  # type: ignore[arg-type]
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def test_a_session_is_used_again_and_only_by_its_kind(make: Make, gateway: ManySessions) -> None:
    pool = make()
    for spec in (STREAMING, STREAMING, BATCH, SessionSpec(name="other"), SessionSpec(properties={"a": "1"})):
        with pool.session(spec) as session:
            session.execute("SELECT 1").close()
    assert [len(one.ran) for one in gateway.sessions.values()] == [3, 1, 1]
    assert pool.stats() == {("streaming", "idle"): 2, ("batch", "idle"): 1}


def test_many_threads_share_a_few_sessions_one_at_a_time(make: Make, gateway: ManySessions) -> None:
    pool, lock = make(max_sessions=4), threading.Lock()
    in_use: set[str] = set()

    def work(number: int) -> None:
        with pool.session(STREAMING) as session:
            with lock:
                assert session.handle not in in_use
                in_use.add(session.handle)
            session.execute(f"SELECT {number}").close()
            with lock:
                in_use.remove(session.handle)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(200)))
    assert len(gateway.sessions) <= 4
    assert sum(len(one.ran) for one in gateway.sessions.values()) == 200
    assert set(pool.stats()) == {("streaming", "idle")}


def test_a_caller_waits_for_a_session_and_gets_the_one_that_is_given_back(make: Make) -> None:
    pool = make(max_sessions=1)
    lease = pool.lease(STREAMING)
    threading.Timer(0.05, lease.release).start()
    with pool.session(STREAMING) as session:
        assert session is lease.session


def test_without_a_free_session_in_time_the_gateway_is_overloaded(make: Make) -> None:
    pool = make(max_sessions=1, wait_s=0.05)
    with pool.session(STREAMING), pytest.raises(OverloadedError) as caught, pool.session(STREAMING):
        pass
    assert (caught.value.code, caught.value.exit_code) == ("gateway_overloaded", 5)
    assert caught.value.message == "no Flink session became free within 0.05 s: 1 sessions are in use"


def test_a_gateway_with_less_room_than_the_pool_is_no_error(make: Make, gateway: ManySessions) -> None:
    gateway.max_sessions = 3
    pool = make(max_sessions=4)

    def work(number: int) -> None:
        with pool.session(STREAMING) as session:
            session.execute(f"SELECT {number}").close()
            time.sleep(0.005)

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(work, range(40)))
    assert gateway.most_open == 3


def test_a_limit_that_the_gateway_tells_is_kept_although_it_lets_more_in(make: Make, gateway: ManySessions) -> None:
    gateway.told_max = "2"
    pool = make(max_sessions=4)

    def work(number: int) -> None:
        with pool.session((STREAMING, BATCH)[number % 2]) as session:
            session.execute(f"SELECT {number}").close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(40)))
    assert gateway.most_open <= 2


def test_an_idle_session_of_another_kind_makes_room(make: Make, gateway: ManySessions) -> None:
    gateway.max_sessions = 1
    pool = make()
    with pool.session(STREAMING):
        pass
    with pool.session(BATCH):
        assert gateway.open == {"s2"}
    assert gateway.closed == ["s1"]


def test_a_gateway_that_stays_full_is_overloaded_and_not_a_session_limit(make: Make, gateway: ManySessions) -> None:
    gateway.max_sessions = 0
    with pytest.raises(OverloadedError, match="takes no further session"), make(wait_s=0.05).session(STREAMING):
        pass


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [
        pytest.param(StatementError("x"), True, id="refused-statement"),
        pytest.param(FlinkError("x"), True, id="flink"),
        pytest.param(OutcomeUnknownError("x"), False, id="no-answer"),
        pytest.param(UnreachableError("x"), False, id="unreachable"),
        pytest.param(JobTimeoutError("x"), False, id="not-ready-in-time"),
        pytest.param(SessionLostError("x"), False, id="lost"),
        pytest.param(KeyboardInterrupt(), False, id="interrupt"),
        pytest.param(ValueError("x"), False, id="a-bug"),
    ],
)
def test_a_session_is_kept_only_when_its_state_is_certain(
    make: Make, gateway: ManySessions, error: BaseException, is_kept: bool
) -> None:
    pool = make()
    with pytest.raises(type(error)), pool.session(STREAMING):
        raise error
    assert pool.stats() == ({("streaming", "idle"): 1} if is_kept else {})
    assert gateway.open == ({"s1"} if is_kept else set())


def test_a_session_that_could_not_be_opened_takes_no_place(make: Make, gateway: ManySessions) -> None:
    pool = make(max_sessions=1, wait_s=0.05)
    gateway.on_configure = lambda session, sql: server_error("org.apache.flink.table.api.ValidationException: no")
    for _ in range(3):
        with pytest.raises(StatementError), pool.session(SessionSpec(init=("CREATE TABLE t (a INT)",))):
            pass
    gateway.on_configure = None
    with pool.session(SessionSpec(init=("CREATE TABLE t (a INT)",))):
        assert len(gateway.open) == 1


def test_idle_sessions_are_closed_after_a_while_and_the_used_one_stays(make: Make, gateway: ManySessions) -> None:
    closed = threading.Event()
    pool = make(idle_s=0.05)
    handle = gateway.handle
    lease = pool.lease(STREAMING)
    with pool.session(BATCH):
        pass

    def watch(request: httpx.Request) -> httpx.Response:
        answer = handle(request)
        if request.method == "DELETE":
            closed.set()
        return answer

    gateway.handle = watch  # type: ignore[method-assign]
    deadline = time.monotonic() + 5
    while gateway.open != {"s1"} and time.monotonic() < deadline:
        closed.wait(0.01)
    assert gateway.open == {"s1"}
    lease.release()


def test_a_lost_session_is_not_handed_out_again(make: Make, gateway: ManySessions) -> None:
    pool = make()
    with pool.session(STREAMING), pool.session(STREAMING):
        pass
    gateway.lose()
    lease = pool.lease(STREAMING)
    lease.discard()
    pool.close_idle()
    with pool.session(STREAMING) as session:
        assert session.handle == "s3"


def test_closing_closes_idle_and_lent_sessions(make: Make, gateway: ManySessions) -> None:
    pool = make()
    lease = pool.lease(STREAMING)
    with pool.session(BATCH):
        pass
    pool.close()
    assert gateway.open == set()
    lease.release()
    assert pool.stats() == {}
    with pytest.raises(FlinkError, match="closed"):
        pool.lease(STREAMING)


def test_a_forked_child_starts_with_an_empty_pool(
    make: Make, gateway: ManySessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make()
    with pool.session(STREAMING):
        pass
    with monkeypatch.context() as child:
        child.setattr("os.getpid", lambda: -1)
        with pool.session(STREAMING) as session:
            assert session.handle == "s2"
        assert gateway.open == {"s1", "s2"}
