"""Repairs: the registry on SQLite, a cluster without sockets, and operations that only note that they were called."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from orchestration.errors import ConflictError, FlinkError
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.queries import lifecycle
from orchestration.flink.queries.names import fixed_job_id
from orchestration.flink.queries.reconcile import reconcile, recover
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.registry import Registry
from orchestration.flink.queries.states import Desired, QueryState
from tests.unit.flink.fakes import FakeFlink, server_error
from tests.unit.flink.queries.records import ID, JOB, JOB_NAME, record, spec

S = QueryState


@dataclass
class Engine:
    """What reconcile needs of an engine."""

    registry: Registry
    rest: FlinkRest
    settings: SimpleNamespace
    flink: FakeFlink
    calls: list[tuple[str, Any]] = field(default_factory=list)

    def store(self, state: QueryState = S.RUNNING, *, is_held: bool = False, **fields: Any) -> QueryRecord:
        """Store a query that nobody is at work on, unless it is to be held."""
        stored = self.registry.insert(record(state, **fields))
        return stored if is_held else self.registry.release(stored, event="left alone")

    def look(self) -> QueryRecord:
        return self.registry.require(ID, include_deleted=True)


@pytest.fixture
def engine(tmp_path: Path, flink: FakeFlink, monkeypatch: pytest.MonkeyPatch) -> Engine:
    flink.overrides["GET /jobmanager/config"] = lambda request: httpx.Response(200, json=[])
    made = Engine(
        Registry(f"sqlite:///{tmp_path}/q.sqlite", "test"),
        flink.rest(),
        SimpleNamespace(queries_dir=tmp_path / "queries"),
        flink,
    )

    def restart(engine: Engine, ref: str, from_: str) -> None:
        engine.calls.append(("restart", from_))
        engine.registry.update(engine.look(), event="running", state=S.RUNNING)

    def stop(engine: Engine, ref: str, mode: str | None) -> None:
        engine.calls.append(("stop", mode))
        engine.registry.update(engine.look(), event="stopped", state=S.STOPPED)

    def delete(engine: Engine, ref: str, drop_sink: bool) -> None:
        engine.calls.append(("delete", drop_sink))
        engine.registry.update(engine.look(), event="deleted", state=S.DELETED)

    for function in (restart, stop, delete):
        monkeypatch.setattr(lifecycle, function.__name__, function)
    return made


def test_a_registry_that_agrees_with_the_cluster_is_left_as_it_is(engine: Engine) -> None:
    before = engine.store()
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    assert reconcile(engine) == []
    assert engine.look() == before


@pytest.mark.parametrize(
    ("state", "job_state", "after", "error"),
    [
        (S.DEPLOYING, "RUNNING", S.RUNNING, None),
        (S.DEPLOYING, None, S.FAILED, "its deploy was cut off before the job was submitted"),
        (S.RUNNING, "FAILED", S.FAILED, "its job ended: NumberFormatException: For input string"),
        (S.RUNNING, None, S.LOST, "the cluster no longer knows its job"),
        (S.LOST, "RUNNING", S.RUNNING, None),
    ],
)
def test_the_record_takes_the_state_of_the_job(
    engine: Engine, state: QueryState, job_state: str | None, after: QueryState, error: str | None
) -> None:
    engine.store(state)
    if job_state:
        trace = "java.lang.NumberFormatException: For input string" if job_state == "FAILED" else None
        engine.flink.add_job(JOB, JOB_NAME, job_state, exception=trace)
    (repair,) = reconcile(engine)
    found = engine.look()
    assert (repair.before, repair.after, repair.error) == (state, after, None)
    assert (found.state, found.error_text, found.holder) == (after, error, None)
    assert engine.registry.events(ID)[-1].event == f"reconcile: {repair.reason}"
    assert reconcile(engine) == []


def test_a_query_that_a_living_process_works_on_is_left_alone(engine: Engine) -> None:
    held = engine.store(S.DEPLOYING, is_held=True, has_run=False)
    assert reconcile(engine) == []
    assert engine.look() == held


def test_a_job_found_by_its_name_gets_into_the_record(engine: Engine) -> None:
    engine.store(job_id="e" * 32)
    second = fixed_job_id(ID, 1, 2)
    engine.flink.add_job(second, JOB_NAME, "RUNNING")
    (repair,) = reconcile(engine)
    found = engine.look()
    assert (found.job_id, found.generation, found.attempt, found.state) == (second, 1, 2, S.RUNNING)
    assert repair.reason == f"job {second} has its name and runs"


def test_a_stop_that_was_cut_off_after_its_savepoint_keeps_the_savepoint(engine: Engine) -> None:
    engine.store(S.STOPPING, desired=Desired.STOPPED, stop_mode="savepoint", savepoint_request="r1")
    engine.flink.add_job(JOB, JOB_NAME, "FINISHED")
    engine.flink.overrides[f"GET /jobs/{JOB}/savepoints/r1"] = lambda request: httpx.Response(
        200, json={"status": {"id": "COMPLETED"}, "operation": {"location": "file:/sp/1"}}
    )
    reconcile(engine)
    assert (engine.look().state, engine.look().savepoint_path, engine.calls) == (S.SUSPENDED, "file:/sp/1", [])


def test_a_savepoint_that_flink_no_longer_knows_by_its_request_is_found_in_the_job(engine: Engine) -> None:
    engine.store(S.STOPPING, desired=Desired.STOPPED, stop_mode="savepoint", savepoint_request="r1")
    engine.flink.add_job(JOB, JOB_NAME, "FINISHED")
    engine.flink.overrides[f"GET /jobs/{JOB}/savepoints/r1"] = lambda request: server_error("unknown", 404)
    engine.flink.overrides[f"GET /jobs/{JOB}/checkpoints"] = lambda request: httpx.Response(
        200, json={"latest": {"savepoint": {"id": 3, "is_savepoint": True, "external_path": "file:/sp/3"}}}
    )
    reconcile(engine)
    assert (engine.look().state, engine.look().savepoint_path) == (S.SUSPENDED, "file:/sp/3")


@pytest.mark.parametrize(
    ("state", "fields", "calls", "after"),
    [
        (S.STOPPING, {"desired": Desired.STOPPED, "stop_mode": "cancel"}, [("stop", "cancel")], S.STOPPED),
        (S.DELETING, {"desired": Desired.DELETED}, [("delete", False)], S.DELETED),
    ],
)
def test_what_was_cut_off_is_finished(
    engine: Engine, state: QueryState, fields: dict[str, Any], calls: list[tuple[str, Any]], after: QueryState
) -> None:
    engine.store(state, **fields)
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    (repair,) = reconcile(engine)
    assert (engine.calls, repair.after, engine.look().holder) == (calls, after, None)


def test_an_upgrade_that_was_cut_off_after_its_stop_is_started_again(engine: Engine) -> None:
    engine.store(S.STOPPING, stop_mode="savepoint", savepoint_path="s3://b/sp")
    engine.flink.add_job(JOB, JOB_NAME, "CANCELED")
    repairs = reconcile(engine)
    assert [(repair.before, repair.after) for repair in repairs] == [(S.STOPPING, S.STOPPED), (S.STOPPED, S.RUNNING)]
    assert engine.calls == [("restart", "latest_checkpoint")]
    assert len(engine.look().restarts) == 1


@pytest.mark.parametrize(
    ("fields", "from_"),
    [
        ({"checkpoint_path": "s3://b/chk-1"}, "latest_checkpoint"),
        ({}, "fresh"),
        ({"checkpoint_path": "s3://b/chk-1", "spec": spec(upgrade_mode="stateless")}, "fresh"),
    ],
    ids=["from its state", "never had one", "stateless"],
)
def test_a_lost_query_is_started_again_only_when_asked(engine: Engine, fields: dict[str, Any], from_: str) -> None:
    engine.store(**fields)
    assert [repair.after for repair in reconcile(engine)] == [S.LOST]
    assert reconcile(engine) == []
    assert engine.calls == []
    (repair,) = reconcile(engine, recover=True)
    assert (engine.calls, repair.after) == ([("restart", from_)], S.RUNNING)


def test_a_lost_query_whose_state_is_gone_is_not_started_from_nothing(engine: Engine, tmp_path: Path) -> None:
    engine.store(S.LOST, checkpoint_path=(tmp_path / "gone").as_uri())
    (repair,) = reconcile(engine, recover=True)
    assert "the last state of query 'orders' is gone" in str(repair.error)
    found = engine.look()
    assert (engine.calls, found.state, found.error_code, found.holder) == ([], S.LOST, "not_found", None)


def test_a_restart_that_fails_is_reported_and_the_others_go_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def restart(engine: Engine, ref: str, from_: str) -> None:
        raise FlinkError("no slots", context={"code": "no_slots"})

    monkeypatch.setattr(lifecycle, "restart", restart)
    engine.store(S.LOST)
    engine.store(S.RUNNING, id="b" * 8, name="b", job_name="test.b.bbbbbbbb", job_id="b" * 32)
    repairs = {(repair.name, repair.action): repair for repair in reconcile(engine, recover=True)}
    assert repairs["b", "set_state"].after is S.LOST
    assert {repair.error for repair in repairs.values() if repair.action == "restart"} == {"no slots"}
    assert (engine.look().state, engine.look().error_code) == (S.LOST, "no_slots")


def test_of_two_reconciles_one_restarts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one has read the record before the first one took it."""
    read = engine.store(S.LOST)
    reconcile(engine, recover=True)
    monkeypatch.setattr(engine.registry, "all", lambda: [read])
    assert reconcile(engine, recover=True) == []
    assert engine.calls == [("restart", "fresh")]


def test_an_unknown_job_state_is_told_and_does_not_keep_the_others_from_repair(engine: Engine) -> None:
    engine.store(S.RUNNING, id="b" * 8, name="a", job_name="test.a.bbbbbbbb", job_id="b" * 32)
    engine.flink.add_job("b" * 32, "test.a.bbbbbbbb", "HIBERNATING")
    engine.store()
    first, second = reconcile(engine)
    assert "HIBERNATING" in str(first.error)
    assert (second.name, second.after) == ("orders", S.LOST)


def test_the_newest_checkpoint_of_a_running_job_is_remembered(engine: Engine) -> None:
    engine.store()
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    engine.flink.overrides[f"GET /jobs/{JOB}/checkpoints"] = lambda request: httpx.Response(
        200, json={"latest": {"completed": {"id": 7, "external_path": "file:/c/chk-7"}}}
    )
    events = len(engine.registry.events(ID))
    assert reconcile(engine) == []
    assert engine.look().checkpoint_path == "file:/c/chk-7"
    assert len(engine.registry.events(ID)) == events


def test_jobs_of_ours_without_a_record_are_adopted_and_others_are_not(engine: Engine) -> None:
    engine.flink.add_job(fixed_job_id(ID, 2, 1), JOB_NAME, "RUNNING")
    engine.flink.add_job("b" * 32, "other.orders.bbbbbbbb", "RUNNING")
    engine.flink.add_job("c" * 32, "millrace.silver.taxi", "RUNNING")
    engine.flink.add_job("d" * 32, "test.done.dddddddd", "FINISHED")
    (repair,) = recover(engine)
    (found,) = engine.registry.all()
    assert (repair.action, repair.before, repair.after) == ("adopt", None, S.RUNNING)
    assert (found.id, found.name, found.job_id) == (ID, "orders", fixed_job_id(ID, 2, 1))
    assert (found.generation, found.attempt, found.spec, found.spec_hash) == (2, 1, None, "")
    assert recover(engine) == reconcile(engine) == []


def test_an_adopted_query_has_its_declared_name_and_definition(engine: Engine) -> None:
    engine.settings.queries_dir.mkdir()
    (engine.settings.queries_dir / "q.yml").write_text("name: Orders!\nquery: SELECT 1 AS a\nlabels: {owner: ann}")
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    reconcile(engine)
    found = engine.look()
    assert (found.name, found.owner, found.spec_hash) == ("Orders!", "ann", "")
    assert found.spec is not None
    assert found.spec.query == "SELECT 1 AS a"


def test_a_broken_declaration_does_not_keep_a_job_without_a_record(engine: Engine) -> None:
    engine.settings.queries_dir.mkdir()
    (engine.settings.queries_dir / "q.yml").write_text("nmae: x")
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    assert [repair.name for repair in recover(engine)] == ["orders"]


def test_two_adopted_queries_of_one_name_are_told_apart_by_their_ids(engine: Engine) -> None:
    engine.store(S.SUSPENDED, desired=Desired.STOPPED)
    engine.flink.add_job("b" * 32, "test.orders.bbbbbbbb", "RUNNING")
    assert [repair.name for repair in recover(engine)] == ["orders_bbbbbbbb"]


def test_the_job_of_a_deleted_query_is_told_and_not_adopted(engine: Engine) -> None:
    engine.store(S.DELETED, desired=Desired.DELETED)
    engine.flink.add_job(JOB, JOB_NAME, "RUNNING")
    (repair,) = reconcile(engine)
    assert (repair.action, repair.after) == ("warn", S.DELETED)
    assert recover(engine) == []


def test_a_conflict_in_an_operation_is_reported(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def delete(engine: Engine, ref: str, drop_sink: bool) -> None:
        raise ConflictError("read by another query")

    monkeypatch.setattr(lifecycle, "delete", delete)
    engine.store(S.DELETING, desired=Desired.DELETED)
    (repair,) = reconcile(engine)
    assert repair.error == "read by another query"
    assert (engine.look().state, engine.look().holder) == (S.DELETING, None)
