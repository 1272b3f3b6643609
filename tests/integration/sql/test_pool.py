"""Many queries at once over few sessions: none fails, none leaves anything behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestration.errors import MillraceError
from orchestration.flink.client.models import TERMINAL
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.reading.rows import Change
from orchestration.waiting import wait_for
from tests.integration.sql.gateways import OwnGateway, knows_session


class Recorder:
    """Notes what an engine opens and submits."""

    def __init__(self, engine: SqlEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sessions: list[str] = []
        self.operations: list[tuple[str, str]] = []
        self._gateway = engine.gateway
        open_session, submit = engine.gateway.open_session, engine.gateway.submit_statement

        def opened(name: str, properties: Mapping[str, str]) -> str:
            self.sessions.append(open_session(name, properties))
            return self.sessions[-1]

        def submitted(session: str, sql: str, config: Mapping[str, str] | None = None) -> str:
            operation = submit(session, sql, config)
            self.operations.append((session, operation))
            return operation

        monkeypatch.setattr(engine.gateway, "open_session", opened)
        monkeypatch.setattr(engine.gateway, "submit_statement", submitted)

    def open_operations(self) -> list[str]:
        return [operation for session, operation in self.operations if self._is_open(session, operation)]

    def _is_open(self, session: str, operation: str) -> bool:
        try:
            self._gateway.operation_status(session, operation)
        except MillraceError as error:
            return error.code not in ("operation_lost", "session_lost")
        return True


def query(engine: SqlEngine, job_ids: list[str]) -> Callable[[int], list[Change]]:
    def run(number: int) -> list[Change]:
        stream = engine.execute(f"SELECT {number} AS n")
        changes = stream.to_list()
        if stream.job_id is not None:
            job_ids.append(stream.job_id)
        return changes

    return run


def test_a_hundred_queries_of_eight_threads_leave_nothing_behind(
    engine: SqlEngine, rest: FlinkRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, job_ids = Recorder(engine, monkeypatch), list[str]()
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(query(engine, job_ids), range(100)))
    assert [[change.values for change in changes] for changes in results] == [[(number,)] for number in range(100)]
    assert len(seen.sessions) <= engine.settings.sql_engine_pool_max
    assert sum(engine.pool.stats().values()) == len(seen.sessions)
    assert len(seen.operations) == 100
    assert seen.open_operations() == []

    def live() -> tuple[bool | None, object]:
        states = {job.id: job.state for job in rest.jobs_overview()}
        left = [job_id for job_id in job_ids if states.get(job_id, "FINISHED") not in TERMINAL]
        return (None if left else True), left

    wait_for(live, what="the jobs of the queries to end", timeout_s=10)
    engine.close()
    assert not any(knows_session(engine.settings, handle) for handle in seen.sessions)


def test_a_gateway_with_less_room_than_the_pool_serves_ten_queries_at_once(
    own_gateway: OwnGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_engine(own_gateway.settings) as engine:
        assert engine.settings.sql_engine_pool_max == 4
        seen = Recorder(engine, monkeypatch)
        with ThreadPoolExecutor(10) as threads:
            results = list(threads.map(query(engine, []), range(10)))
        assert [changes[0].values for changes in results] == [(number,) for number in range(10)]
        assert len(seen.sessions) <= 3
