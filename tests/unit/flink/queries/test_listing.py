"""Lists of queries: records and jobs together, with as few questions to the cluster as possible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from orchestration.errors import NotFoundError
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.queries.listing import list_queries, query_status
from orchestration.flink.queries.registry import Registry
from orchestration.flink.queries.states import QueryState
from tests.unit.flink.fakes import FakeFlink
from tests.unit.flink.queries.records import ID, JOB, JOB_NAME, record

S = QueryState
CHECKPOINT = {"id": 7, "external_path": "file:/c/chk-7", "trigger_timestamp": 1700000001000}


@dataclass
class Engine:
    """What a list needs of an engine."""

    registry: Registry
    rest: FlinkRest
    settings: SimpleNamespace
    flink: FakeFlink


def answer(body: object) -> Any:
    return lambda request: httpx.Response(200, json=body)


@pytest.fixture
def engine(tmp_path: Path, flink: FakeFlink) -> Engine:
    """A cluster whose jobs have one restart and one checkpoint."""
    flink.overrides |= {
        f"GET /jobs/{JOB}/metrics": answer([{"id": "numRestarts", "value": "1"}]),
        f"GET /jobs/{JOB}/checkpoints/config": answer({"interval": 1000}),
        f"GET /jobs/{JOB}/checkpoints": answer({"counts": {"completed": 7}, "latest": {"completed": CHECKPOINT}}),
    }
    registry = Registry(f"sqlite:///{tmp_path}/q.sqlite", "test")
    return Engine(registry, flink.rest(), SimpleNamespace(sql_engine_job_cache_ttl_s=60.0), flink)


def overviews(engine: Engine) -> int:
    return engine.flink.count("GET /jobs/overview")


def test_a_query_is_listed_with_what_its_job_says(engine: Engine) -> None:
    stored = engine.registry.insert(
        record(sinks=("default_catalog.default_database.view_orders",), connector="kafka", topic="t")
    )
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    (view,) = list_queries(engine)
    assert (view.id, view.name, view.owner, view.namespace) == (ID, "orders", "ann", "test")
    assert (view.state, view.recorded, view.desired, view.job_state) == (S.RUNNING, S.RUNNING, "RUNNING", "RUNNING")
    assert (view.job_id, view.restarts, view.checkpoint_path) == (JOB, 1, "file:/c/chk-7")
    assert view.last_checkpoint_at is not None
    assert (view.sink, view.topic, view.lag_records) == ("default_catalog.default_database.view_orders", "t", None)
    assert view.url == engine.rest.job_url(JOB)
    assert view.updated_at == stored.updated_at


def test_a_query_whose_job_is_gone_is_shown_as_lost_before_the_registry_knows(engine: Engine) -> None:
    engine.registry.insert(record(checkpoint_path="file:/c/chk-1"))
    (view,) = list_queries(engine)
    assert (view.state, view.recorded, view.job_state, view.url) == (S.LOST, S.RUNNING, None, None)
    assert (view.job_id, view.checkpoint_path, view.restarts) == (JOB, "file:/c/chk-1", None)


def test_deleted_queries_are_not_listed(engine: Engine) -> None:
    engine.registry.insert(record(S.DELETED))
    assert list_queries(engine) == []


def test_a_list_can_be_narrowed_to_a_state_or_an_owner(engine: Engine) -> None:
    engine.registry.insert(record())
    engine.registry.insert(record(S.STOPPED, id="b" * 8, name="b", owner="bob", job_id="b" * 32, job_name="n"))
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    assert [view.name for view in list_queries(engine)] == ["b", "orders"]
    assert [view.name for view in list_queries(engine, state=S.RUNNING)] == ["orders"]
    assert [view.name for view in list_queries(engine, owner="bob")] == ["b"]
    assert list_queries(engine, state=S.RUNNING, owner="bob") == []


def test_foreign_jobs_come_on_request_and_only_live_ones(engine: Engine) -> None:
    engine.registry.insert(record())
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    engine.flink.add_job("c" * 32, "millrace.bronze.taxi", "RESTARTING")
    engine.flink.add_job("d" * 32, "other.orders.dddddddd", "FINISHED")
    for job_id in ("c" * 32, "d" * 32):
        engine.flink.overrides[f"GET /jobs/{job_id}/checkpoints"] = lambda request: httpx.Response(404, json={})
    assert [view.id for view in list_queries(engine)] == [ID]
    ours, foreign = list_queries(engine, include_foreign=True, owner=None)
    assert ours.id == ID
    assert (foreign.id, foreign.name, foreign.state) == (None, "millrace.bronze.taxi", S.DEGRADED)
    assert (foreign.recorded, foreign.desired, foreign.owner, foreign.generation) == (None, None, None, None)


def test_lists_that_follow_each_other_ask_the_cluster_once(engine: Engine) -> None:
    engine.registry.insert(record())
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    list_queries(engine)
    list_queries(engine)
    assert overviews(engine) == 1


def test_a_change_of_ours_asks_the_cluster_again(engine: Engine) -> None:
    stored = engine.registry.insert(record())
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    list_queries(engine)
    engine.registry.update(stored, event="x", state=S.DEGRADED)
    list_queries(engine)
    assert overviews(engine) == 2


def test_a_query_that_another_process_has_just_deployed_is_not_shown_as_lost(engine: Engine, tmp_path: Path) -> None:
    assert list_queries(engine) == []
    Registry(f"sqlite:///{tmp_path}/q.sqlite", "test").insert(record())
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    assert [view.state for view in list_queries(engine)] == [S.RUNNING]


def test_without_a_time_to_live_every_list_asks(engine: Engine) -> None:
    engine.settings.sql_engine_job_cache_ttl_s = 0.0
    list_queries(engine)
    list_queries(engine)
    assert overviews(engine) == 2


def test_the_lag_is_the_sum_of_what_kafka_sources_have_before_them(engine: Engine) -> None:
    engine.registry.insert(record())
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    asked: list[str] = []

    def metrics(request: httpx.Request) -> httpx.Response:
        names = request.url.params.get("get")
        if names is None:
            ids = ("Source__t[1].pendingRecords", "Source__t[1].numRecordsIn")
            return httpx.Response(200, json=[{"id": name} for name in ids])
        asked.append(names)
        return httpx.Response(200, json=[{"id": "Source__t[1].pendingRecords", "sum": 42.0}])

    engine.flink.overrides = {f"GET /jobs/{JOB}/vertices/v1/subtasks/metrics": metrics} | engine.flink.overrides
    (view,) = list_queries(engine)
    assert (view.lag_records, asked) == (42, ["Source__t[1].pendingRecords"])


def test_a_status_has_checkpoints_and_failures(engine: Engine) -> None:
    engine.registry.insert(record())
    engine.flink.add_job(JOB, JOB_NAME, "RESTARTING", exception="java.lang.NumberFormatException: x")
    view = query_status(engine, "orders")
    assert view.state is S.DEGRADED
    assert view.checkpoints is not None
    assert view.checkpoints.counts.completed == 7
    assert [entry.stacktrace for entry in view.exceptions] == ["java.lang.NumberFormatException: x"]
    assert query_status(engine, ID) == query_status(engine, JOB_NAME) == view


def test_the_status_of_an_unknown_query_is_an_error(engine: Engine) -> None:
    with pytest.raises(NotFoundError):
        query_status(engine, "nothing")
