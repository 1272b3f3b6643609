"""Stop, restart, upgrade and delete on the real stack: what the job keeps, and what is left."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.errors import ConflictError, InputError, JobFailedError, NotFoundError, StatementError
from orchestration.flink.engine import SqlEngine
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import QueryState
from tests.integration.sql.queries import STEADY_S, cleaned_up, live_jobs, numbers_query, wait_written

pytestmark = pytest.mark.usefixtures("stack", "_cleaned_up")


@pytest.fixture
def _cleaned_up(engine: SqlEngine) -> Iterator[None]:
    with cleaned_up(engine):
        yield


@pytest.fixture
def name() -> str:
    return f"q_{uuid.uuid4().hex[:6]}"


def test_a_stopped_query_goes_on_where_it_was(engine: SqlEngine, name: str) -> None:
    spec = numbers_query(name, sink={"profile": "filesystem"})
    first = engine.deploy(spec, stable_for_s=STEADY_S)
    before = wait_written(first.path, 1)
    stopped = engine.stop(name)
    assert (stopped.state, engine.rest.job(first.job_id).state) == ("SUSPENDED", "FINISHED")
    assert Path((stopped.savepoint_path or "").removeprefix("file:")).joinpath("_metadata").is_file()
    assert engine.stop(name).changed is False
    again = engine.restart(name, "savepoint", stable_for_s=STEADY_S)
    restored = engine.rest.checkpoints(again.job_id).latest.restored
    assert restored is not None
    assert restored.path == stopped.savepoint_path
    rows = wait_written(first.path, len(before) + 20)
    assert rows == list(range(1, len(rows) + 1))
    made = engine.savepoint(name)
    assert (made.path != stopped.savepoint_path, engine.rest.job(again.job_id).state) == (True, "RUNNING")


def test_a_stop_believes_no_202(engine: SqlEngine, name: str) -> None:
    with pytest.raises(JobFailedError):
        engine.deploy(numbers_query(name, "SELECT CAST('x' AS INT) + n AS n FROM numbers"))
    stopped = engine.stop(name)
    assert (stopped.state, stopped.changed) == ("FAILED", False)
    with pytest.raises(NotFoundError) as missing:
        engine.stop("0" * 32)
    assert missing.value.exit_code == 3
    with pytest.raises(InputError) as refused:
        engine.stop("zzz")
    assert refused.value.code == "validation_failed"


def test_a_deleted_query_is_gone_and_its_readers_are_protected(engine: SqlEngine, name: str) -> None:
    result = engine.deploy(numbers_query(name, sink={"profile": "filesystem"}), stable_for_s=STEADY_S)
    table = result.sink_table.split(".")[-1]
    reader = engine.deploy(numbers_query(f"{name}_reader", f"SELECT n FROM {table}"), stable_for_s=0)
    with pytest.raises(ConflictError, match=f"is read by {name}_reader") as caught:
        engine.delete(name)
    assert caught.value.code == "table_in_use"
    engine.delete(reader.query_id)
    assert engine.delete(result.job_id).changed
    assert engine.rest.job(result.job_id).state == "CANCELED"
    with engine.session() as session, pytest.raises(StatementError, match="not found"):
        session.execute(f"SELECT * FROM {table}")
    assert engine.list() == []
    assert engine.delete(name).changed is False


def _counts(name: str, extra: str = "") -> QuerySpec:
    return numbers_query(name, f"SELECT n / 10 AS k, COUNT(*) AS c{extra} FROM numbers GROUP BY n / 10")


def test_an_upgrade_keeps_the_state_and_a_failed_one_goes_back(engine: SqlEngine, name: str) -> None:
    first = engine.deploy(_counts(name), stable_for_s=STEADY_S)
    # Another key: the state of the old aggregate fits no more, and that is seen only when the job restores it.
    other_key = numbers_query(name, "SELECT MAX(n) AS k, COUNT(*) AS c FROM numbers GROUP BY CAST(n AS STRING)")
    with pytest.raises(JobFailedError, match="the upgrade failed") as caught:
        engine.upgrade(other_key, stable_for_s=STEADY_S)
    record = engine.registry.require(name)
    assert (record.state, record.spec, record.generation) == (QueryState.RUNNING, _counts(name), 3)
    assert list(live_jobs(engine)) == [record.job_id]
    assert f"the old definition runs again as job {record.job_id}" in caught.value.message
    restored = engine.rest.checkpoints(record.job_id or "").latest.restored
    assert restored is not None
    assert restored.path == caught.value.context["savepoint"]

    wider = numbers_query(name, "SELECT n / 10 AS k, COUNT(*) AS c FROM numbers GROUP BY n / 10", state_ttl="1 h")
    upgraded = engine.upgrade(wider, stable_for_s=STEADY_S)
    assert (upgraded.generation, upgraded.query_id) == (4, first.query_id)
    assert engine.rest.checkpoints(upgraded.job_id).counts.completed >= 1
    assert list(live_jobs(engine)) == [upgraded.job_id]
