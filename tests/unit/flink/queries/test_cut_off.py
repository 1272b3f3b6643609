"""A process dies at any point of an operation; what `reconcile` then makes of it.

Each test dies once after every request to Flink that changes something that lasts, and after every write of the
registry. From then on nothing that the dead process does reaches anybody.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestration.flink.engine import SqlEngine
from orchestration.flink.queries.registry import Registry
from orchestration.flink.queries.states import BUSY, LIVE, QueryState
from tests.unit.flink.queries.cluster import Cluster, Job, engine_on, spec, without_waiting

DEAD_PROCESS = f"{socket.gethostname()}:999999999:1.0"
NEW = f"{spec().query} WHERE n > 1"


class DiedError(BaseException):
    """The process is gone: no `except` of ours may do anything any more."""


class Death:
    """Counts what a process does to the world, and ends it after one of these effects.

    Args:
        at: number of the effect, from 1; None: it lives.
    """

    def __init__(self, at: int | None) -> None:
        self.effects = 0
        self._at, self._is_dead = at, False

    def around(self, effect: Callable[[], Any]) -> Any:
        """Do something to the world, unless dead."""
        self.require_life()
        result = effect()
        self.effects += 1
        if self.effects == self._at:
            self._is_dead = True
            raise DiedError
        return result

    def request(self, send: Callable[[httpx.Request], httpx.Response]) -> Callable[[httpx.Request], httpx.Response]:
        """Wrap a transport. What only reads, or only changes a session, is no effect: the session dies as well."""

        def handle(request: httpx.Request) -> httpx.Response:
            is_job = request.url.path.startswith("/jobs/") or b'"statement":"INSERT' in request.content
            if is_job and request.method != "GET":
                return self.around(lambda: send(request))
            self.require_life()
            return send(request)

        return handle

    def require_life(self) -> None:
        if self._is_dead:
            raise DiedError


def run(cluster: Cluster, folder: Path, act: Callable[[SqlEngine], object], at: int | None) -> int:
    """Act in a process that dies; returns how many effects it had."""
    death = Death(at)
    with pytest.MonkeyPatch.context() as patch, engine_on(cluster, folder) as engine:
        patch.setattr("orchestration.flink.queries.registry.this_process", lambda: DEAD_PROCESS)
        for name in ("insert", "_write"):
            write = getattr(Registry, name)
            patch.setattr(Registry, name, _dying(death, write))
        select = Registry._select
        patch.setattr(Registry, "_select", lambda *args: (death.require_life(), select(*args))[1])
        for client in (engine.gateway, engine.rest):
            http = client._http._client
            transport = http._transport
            patch.setattr(http, "_transport", httpx.MockTransport(death.request(transport.handle_request)))
        with suppress(DiedError):
            act(engine)
    return death.effects


def _dying(death: Death, effect: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: death.around(lambda: effect(*args, **kwargs))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    without_waiting(monkeypatch)


def cut_off(
    folder: Path, before: Callable[[SqlEngine], object], act: Callable[[SqlEngine], object]
) -> Iterator[tuple[str, Cluster, SqlEngine]]:
    """Die at each point of `act`, repair, and yield what is left."""
    points = _points(folder / "alive", before, act)
    assert points > 2, "the test sees no effects"
    for at in range(1, points + 1):
        cluster, home = Cluster(), folder / str(at)
        home.mkdir()
        with engine_on(cluster, home) as engine:
            before(engine)
        run(cluster, home, act, at)
        name = f"after effect {at} of {points}: {[call for call in cluster.requests if 'GET' not in call][-1:]}"
        cluster.settle()
        with engine_on(cluster, home) as engine:
            engine.reconcile()
            engine.reconcile()
            _require_truth(name, cluster, engine)
            yield name, cluster, engine


def _points(folder: Path, before: Callable[[SqlEngine], object], act: Callable[[SqlEngine], object]) -> int:
    folder.mkdir()
    cluster = Cluster()
    with engine_on(cluster, folder) as engine:
        before(engine)
    return run(cluster, folder, act, None)


def _require_truth(name: str, cluster: Cluster, engine: SqlEngine) -> None:
    """One record at most, one job at most, and the one says what the other is."""
    records, live = engine.registry.active(), cluster.live()
    assert len(records) <= 1, name
    assert len(live) <= 1, name
    for record in records:
        assert record.state not in BUSY, name
        assert (record.state in LIVE) == bool(live), (name, record.state)
        if live:
            assert record.job_id == live[0].id, name
        made = [sql for session in cluster.gateway.sessions.values() for sql in session.ran]
        assert set(record.own_sinks) >= set(record.sinks) or not made, name
    assert records or not live, name
    assert engine.reconcile() == [], name


def nothing(engine: SqlEngine) -> None:
    """There is no query yet."""


def deploy(engine: SqlEngine) -> None:
    engine.deploy(spec())


def test_a_deploy_that_is_cut_off_can_be_done_again(tmp_path: Path) -> None:
    for name, cluster, engine in cut_off(tmp_path, nothing, deploy):
        result = engine.deploy(spec())
        assert [job.id for job in cluster.live()] == [result.job_id], name
        assert len({job.name for job in cluster.jobs.values()}) == 1, name


def test_a_stop_that_is_cut_off_is_finished(tmp_path: Path) -> None:
    for name, cluster, engine in cut_off(tmp_path, deploy, lambda engine: engine.stop("orders")):
        record = engine.registry.require("orders")
        (job,) = cluster.jobs.values()
        assert (record.state, job.state) == (QueryState.SUSPENDED, "FINISHED"), name
        assert record.savepoint_path == job.savepoint, name


def test_a_cancel_that_is_cut_off_is_finished(tmp_path: Path) -> None:
    for name, cluster, engine in cut_off(tmp_path, deploy, lambda engine: engine.stop("orders", "cancel")):
        (job,) = cluster.jobs.values()
        assert (engine.registry.require("orders").state, job.state) == (QueryState.STOPPED, "CANCELED"), name


def _require_state_kept(name: str, cluster: Cluster) -> Job:
    """One job runs, and if it is not the first one it goes on from where the one before was stopped."""
    (job,) = cluster.live()
    first = next(iter(cluster.jobs.values()))
    assert job is first or job.restored == first.savepoint, name
    return job


def test_a_restart_that_is_cut_off_loses_no_state(tmp_path: Path) -> None:
    for name, cluster, _ in cut_off(tmp_path, deploy, lambda engine: engine.restart("orders")):
        _require_state_kept(name, cluster)


def test_an_upgrade_that_is_cut_off_runs_one_of_the_two_definitions(tmp_path: Path) -> None:
    seen: set[bool] = set()
    for name, cluster, engine in cut_off(tmp_path, deploy, lambda engine: engine.upgrade(spec(NEW))):
        job = _require_state_kept(name, cluster)
        record = engine.registry.require("orders")
        is_new = NEW in job.statement
        seen.add(is_new)
        assert record.spec == (spec(NEW) if is_new else spec()), name
    assert seen == {True, False}


def test_a_way_back_that_is_cut_off_loses_no_state(tmp_path: Path) -> None:
    broken = f"{spec().query} /* BROKEN */"

    def upgrade(engine: SqlEngine) -> None:
        with suppress(Exception):
            engine.upgrade(spec(broken))

    went_back = 0
    for name, cluster, engine in cut_off(tmp_path, deploy, upgrade):
        first = next(iter(cluster.jobs.values()))
        record = engine.registry.require("orders")
        if cluster.live():
            went_back += _require_state_kept(name, cluster).statement == first.statement
        else:
            # Neither definition runs: the record says so, and where the state is.
            assert record.state in (QueryState.FAILED, QueryState.STOPPED), name
            assert record.savepoint_path == first.savepoint, name
    assert went_back > 3


def test_a_delete_that_is_cut_off_is_finished(tmp_path: Path) -> None:
    for name, cluster, engine in cut_off(tmp_path, deploy, lambda engine: engine.delete("orders")):
        if engine.registry.active():
            assert [job.state for job in cluster.jobs.values()] == ["RUNNING"], name
            engine.delete("orders")
        assert cluster.live() == [], name
        assert engine.registry.active() == [], name
