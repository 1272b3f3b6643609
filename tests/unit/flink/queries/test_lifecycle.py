"""Stop, restart, upgrade, delete, savepoint: what becomes of the job and of the record, on every way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestration.errors import (
    ConflictError,
    FlinkError,
    InputError,
    JobFailedError,
    NotFoundError,
    SqlRefusedError,
    StatementError,
)
from orchestration.flink.engine import SqlEngine
from orchestration.flink.queries import lifecycle
from orchestration.flink.queries.names import fixed_job_id
from orchestration.flink.queries.outcome import DeployResult
from orchestration.flink.queries.states import Desired, QueryState
from tests.unit.flink.fakes import server_error
from tests.unit.flink.queries.cluster import VALIDATION, Cluster, Job, engine_on, spec, without_waiting

NEW = "SELECT n AS m FROM src"
BROKEN = "SELECT n AS n FROM src /* BROKEN */"


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def engine(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlEngine]:
    without_waiting(monkeypatch)
    with engine_on(cluster, tmp_path) as opened:
        yield opened


def state_of(engine: SqlEngine) -> tuple[QueryState, Desired]:
    record = engine.registry.require("orders", include_deleted=True)
    return record.state, record.desired


def deployed(engine: SqlEngine, cluster: Cluster, **fields: Any) -> tuple[DeployResult, Job]:
    result = engine.deploy(spec(**fields))
    return result, cluster.jobs[result.job_id]


# --- stop -------------------------------------------------------------------------------------------------------------


def test_a_stop_with_a_savepoint_suspends(engine: SqlEngine, cluster: Cluster) -> None:
    result, job = deployed(engine, cluster)
    stopped = engine.stop("orders")
    assert (stopped.state, stopped.changed, stopped.savepoint_path) == ("SUSPENDED", True, job.savepoint)
    assert job.state == "FINISHED"
    assert state_of(engine) == (QueryState.SUSPENDED, Desired.STOPPED)
    assert engine.stop(result.job_id) == replace(stopped, changed=False, timings={})


@pytest.mark.parametrize("ref", ["id", "name", "job_id", "job_name"])
def test_a_query_is_found_by_any_of_its_names(engine: SqlEngine, cluster: Cluster, ref: str) -> None:
    result, _ = deployed(engine, cluster)
    refs = {"id": result.query_id, "name": "orders", "job_id": result.job_id, "job_name": result.job_name}
    assert engine.stop(refs[ref]).changed


def test_a_cancel_stops_without_a_savepoint(engine: SqlEngine, cluster: Cluster) -> None:
    _, job = deployed(engine, cluster)
    stopped = engine.stop("orders", "cancel")
    assert (stopped.state, stopped.savepoint_path, job.state) == ("STOPPED", None, "CANCELED")


def test_a_drain_is_told_to_flink_and_warned_about(engine: SqlEngine, cluster: Cluster) -> None:
    deployed(engine, cluster)
    stopped = engine.stop("orders", "drain")
    assert stopped.state == "SUSPENDED"
    assert "drained" in stopped.warnings[0]


def test_without_a_folder_for_savepoints_the_job_is_canceled_with_a_warning(
    engine: SqlEngine, cluster: Cluster
) -> None:
    cluster.has_savepoint_dir = False
    deployed(engine, cluster)
    stopped = engine.stop("orders")
    assert (stopped.state, stopped.changed) == ("STOPPED", True)
    assert "SQL_ENGINE_SAVEPOINT_DIR" in stopped.warnings[0]


def test_a_savepoint_that_fails_leaves_the_job_running_and_says_why(engine: SqlEngine, cluster: Cluster) -> None:
    cluster.savepoint_failure = "java.io.IOException: disk full\n\tat a.b(C.java:1)"
    _, job = deployed(engine, cluster)
    with pytest.raises(FlinkError, match="disk full") as caught:
        engine.stop("orders")
    record = engine.registry.require("orders")
    assert (caught.value.code, record.error_code, job.state) == ("savepoint_failed", "savepoint_failed", "RUNNING")
    assert (record.state, record.desired, record.stop_mode) == (QueryState.RUNNING, Desired.RUNNING, None)


def test_a_savepoint_that_fails_may_fall_back_to_cancel(engine: SqlEngine, cluster: Cluster) -> None:
    cluster.savepoint_failure = "java.io.IOException: disk full\n\tat a.b(C.java:1)"
    _, job = deployed(engine, cluster)
    stopped = engine.stop("orders", on_failure="cancel")
    assert (stopped.state, stopped.changed, job.state) == ("STOPPED", True, "CANCELED")
    assert "disk full" in stopped.warnings[0]


@pytest.mark.parametrize(
    ("job_state", "expected"),
    [("FAILED", QueryState.FAILED), ("CANCELED", QueryState.STOPPED), ("FINISHED", QueryState.FINISHED)],
)
def test_a_job_that_is_over_needs_no_stop(
    engine: SqlEngine, cluster: Cluster, job_state: str, expected: QueryState
) -> None:
    _, job = deployed(engine, cluster)
    job.state = job_state
    stopped = engine.stop("orders")
    assert (stopped.state, stopped.changed) == (expected, False)
    assert "POST" not in " ".join(call for call in cluster.requests if "/stop" in call)


def test_a_job_that_ends_by_itself_before_the_savepoint_is_no_success_of_the_202(
    engine: SqlEngine, cluster: Cluster
) -> None:
    _, job = deployed(engine, cluster)

    def finish(call: str) -> None:
        if call.endswith("/stop"):
            job.state = "FAILED"

    cluster.on_request = finish
    stopped = engine.stop("orders")
    assert (stopped.state, stopped.changed, stopped.savepoint_path) == ("FAILED", False, None)


def test_a_job_that_the_cluster_forgot_is_stopped_with_a_warning(engine: SqlEngine, cluster: Cluster) -> None:
    deployed(engine, cluster)
    cluster.jobs.clear()
    stopped = engine.stop("orders")
    assert (stopped.state, stopped.changed) == ("STOPPED", False)
    assert "does not know job" in stopped.warnings[0]


def test_an_unknown_id_is_not_found_and_nonsense_is_refused(engine: SqlEngine) -> None:
    for ref in ("0" * 32, "0" * 8, "test.orders.00000000"):
        with pytest.raises(NotFoundError) as missing:
            engine.stop(ref)
        assert (missing.value.code, missing.value.exit_code) == ("not_found", 3)
    with pytest.raises(InputError, match="'zzz' is no query's name") as refused:
        engine.stop("zzz")
    assert (refused.value.code, refused.value.exit_code) == ("validation_failed", 2)


def test_a_query_that_another_process_works_on_is_left_alone(
    engine: SqlEngine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(engine, cluster)
    monkeypatch.setattr("orchestration.flink.queries.registry.this_process", lambda: "elsewhere:1:x")
    engine.registry.claim(engine.registry.require("orders"), event="x")
    for operation in (engine.stop, engine.restart, engine.delete):
        with pytest.raises(ConflictError, match="elsewhere:1:x is at work on it"):
            operation("orders")
    assert len(cluster.live()) == 1


# --- restart ----------------------------------------------------------------------------------------------------------


def test_a_restart_of_a_running_query_takes_a_savepoint_on_the_way(engine: SqlEngine, cluster: Cluster) -> None:
    first, old = deployed(engine, cluster)
    result = engine.restart("orders")
    (job,) = cluster.live()
    assert (result.restored_from, job.restored) == (old.savepoint, old.savepoint)
    assert (result.generation, job.id) == (1, fixed_job_id(first.query_id, 1, 2))
    assert state_of(engine) == (QueryState.RUNNING, Desired.RUNNING)


def test_a_restart_from_the_latest_checkpoint_cancels_and_takes_that(engine: SqlEngine, cluster: Cluster) -> None:
    _, old = deployed(engine, cluster)
    old.checkpoints = 5
    result = engine.restart("orders", "latest_checkpoint")
    assert result.restored_from == f"s3://bucket/checkpoints/{old.id}/chk-5"
    assert old.state == "CANCELED"


def test_a_fresh_restart_starts_from_nothing(engine: SqlEngine, cluster: Cluster) -> None:
    deployed(engine, cluster)
    engine.stop("orders")
    assert engine.restart("orders", "fresh").restored_from is None
    assert engine.registry.require("orders").savepoint_path is None


@pytest.mark.parametrize("from_", ["savepoint", "latest_checkpoint"])
def test_a_restart_without_state_is_refused(engine: SqlEngine, cluster: Cluster, from_: Any) -> None:
    deployed(engine, cluster)
    engine.stop("orders", "cancel")
    with pytest.raises(ConflictError, match="to start from"):
        engine.restart("orders", from_)
    assert cluster.live() == []


def test_an_older_savepoint_is_refused_for_iceberg(engine: SqlEngine, cluster: Cluster) -> None:
    _, job = deployed(engine, cluster)
    path = engine.savepoint("orders").path
    job.checkpoints, job.savepoint = 7, None
    engine.stop("orders", "cancel")
    record = engine.registry.update(engine.registry.require("orders"), event="x", connector="iceberg")
    with pytest.raises(ConflictError, match="would drop rows") as caught:
        engine.restart("orders", "savepoint")
    assert "latest_checkpoint" in (caught.value.hint or "")
    engine.registry.update(record, event="x", connector="kafka")
    assert engine.restart("orders", "savepoint").restored_from == path


def test_a_restart_that_fails_keeps_the_savepoint(engine: SqlEngine, cluster: Cluster) -> None:
    deployed(engine, cluster)
    path = engine.stop("orders").savepoint_path
    cluster.broken = "INSERT"
    with pytest.raises(JobFailedError):
        engine.restart("orders")
    record = engine.registry.require("orders")
    assert (record.state, record.savepoint_path) == (QueryState.FAILED, path)


def test_a_savepoint_lets_the_job_go_on(engine: SqlEngine, cluster: Cluster) -> None:
    _, job = deployed(engine, cluster)
    result = engine.savepoint("orders")
    assert (result.path, job.state) == (job.savepoint, "RUNNING")
    assert engine.registry.require("orders").savepoint_path == job.savepoint
    engine.stop("orders", "cancel")
    with pytest.raises(ConflictError, match="has no job"):
        engine.savepoint("orders")


# --- upgrade ----------------------------------------------------------------------------------------------------------


def test_an_upgrade_starts_the_new_definition_from_the_old_ones_savepoint(engine: SqlEngine, cluster: Cluster) -> None:
    first, old = deployed(engine, cluster)
    result = engine.upgrade(spec(f"{spec().query} WHERE n > 1"))
    (job,) = cluster.live()
    assert (job.restored, job.checkpoints) == (old.savepoint, 1)
    assert "WHERE n > 1" in job.statement
    assert (result.generation, result.query_id, job.id) == (2, first.query_id, fixed_job_id(first.query_id, 2, 1))
    (before,) = engine.registry.generations(first.query_id)
    assert before.spec == spec()


def test_deploy_with_replace_upgrades(engine: SqlEngine, cluster: Cluster) -> None:
    _, old = deployed(engine, cluster)
    result = engine.deploy(spec(f"{spec().query} WHERE n > 1"), replace=True)
    assert (result.generation, result.restored_from) == (2, old.savepoint)


def test_an_upgrade_to_the_same_definition_changes_nothing(engine: SqlEngine, cluster: Cluster) -> None:
    deployed(engine, cluster)
    assert engine.upgrade(spec()).unchanged


@pytest.mark.parametrize(
    ("mode", "expected"), [("stateless", None), ("last_state", "chk-4")], ids=["stateless", "last state"]
)
def test_the_upgrade_mode_says_what_goes_over(
    engine: SqlEngine, cluster: Cluster, mode: str, expected: str | None
) -> None:
    _, old = deployed(engine, cluster)
    old.checkpoints = 4
    result = engine.upgrade(spec(f"{spec().query} WHERE n > 1", upgrade_mode=mode))
    assert (result.restored_from or "").endswith(expected or "")
    assert (result.restored_from is None, old.state) == (expected is None, "CANCELED")


def test_a_new_definition_that_flink_refuses_stops_nothing(engine: SqlEngine, cluster: Cluster) -> None:
    _, old = deployed(engine, cluster)
    cluster.refuse["EXPLAIN INSERT"] = f"{VALIDATION}no"
    with pytest.raises(StatementError):
        engine.upgrade(spec(f"{spec().query} WHERE n > 1"))
    assert (cluster.live(), state_of(engine)) == ([old], (QueryState.RUNNING, Desired.RUNNING))


def test_a_new_definition_with_other_columns_stops_nothing(engine: SqlEngine, cluster: Cluster) -> None:
    result, old = deployed(engine, cluster)
    cluster.columns[result.sink_table.split(".")[-1]] = ["old"]
    with pytest.raises(SqlRefusedError, match="does not fit the query"):
        engine.upgrade(spec(f"{spec().query} WHERE n > 1"))
    assert cluster.live() == [old]


def test_an_upgrade_whose_job_fails_goes_back_to_the_old_definition(engine: SqlEngine, cluster: Cluster) -> None:
    first, old = deployed(engine, cluster)
    with pytest.raises(JobFailedError, match=r"the upgrade failed: .*NumberFormatException") as caught:
        engine.upgrade(spec(BROKEN))
    (job,) = cluster.live()
    assert (job.statement, job.restored) == (old.statement, old.savepoint)
    assert f"the old definition runs again as job {job.id}, from {old.savepoint}" in caught.value.message
    assert caught.value.context["savepoint"] == old.savepoint
    record = engine.registry.require("orders")
    assert (record.state, record.spec, record.generation) == (QueryState.RUNNING, spec(), 3)
    assert [one.generation for one in engine.registry.generations(first.query_id)] == [1, 2]


def test_an_upgrade_that_makes_no_checkpoint_goes_back(engine: SqlEngine, cluster: Cluster) -> None:
    _, old = deployed(engine, cluster)
    original = cluster.gateway.cluster
    assert original is not None

    def refuse_checkpoints(request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and "/checkpoints/" in request.url.path:
            failure = {"class": "x", "stack-trace": "java.io.IOException: sink is gone"}
            body = {"status": {"id": "COMPLETED"}, "operation": {"checkpointId": None, "failureCause": failure}}
            return httpx.Response(200, json=body)
        return original(request)

    cluster.gateway.cluster = refuse_checkpoints
    with pytest.raises(FlinkError, match="sink is gone"):
        engine.upgrade(spec(f"{spec().query} WHERE n > 1"))
    (job,) = cluster.live()
    assert (job.statement, job.restored) == (old.statement, old.savepoint)


def test_a_failed_way_back_says_where_the_state_is(engine: SqlEngine, cluster: Cluster) -> None:
    _, old = deployed(engine, cluster)
    cluster.broken = "INSERT"
    with pytest.raises(JobFailedError, match="could not be started again from s3://bucket/savepoints/"):
        engine.upgrade(spec(f"{spec().query} WHERE n > 1"))
    record = engine.registry.require("orders")
    assert (record.state, record.savepoint_path, cluster.live()) == (QueryState.FAILED, old.savepoint, [])


def test_an_interrupted_upgrade_goes_back_too(engine: SqlEngine, cluster: Cluster) -> None:
    _, old = deployed(engine, cluster)
    said: list[str] = []

    def interrupt(sentence: str) -> None:
        said.append(sentence)
        if "first checkpoint" in sentence:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        engine.upgrade(spec(f"{spec().query} WHERE n > 1"), on_progress=interrupt)
    assert "the old definition runs again" in caught.value.__notes__[0]
    (job,) = cluster.live()
    assert (job.statement, job.restored) == (old.statement, old.savepoint)


# --- delete -----------------------------------------------------------------------------------------------------------


def test_a_delete_cancels_and_forgets(engine: SqlEngine, cluster: Cluster) -> None:
    result, job = deployed(engine, cluster)
    deleted = engine.delete("orders")
    assert (deleted.changed, deleted.dropped, job.state) == (True, (result.sink_table,), "CANCELED")
    assert engine.registry.active() == []
    assert engine.delete("orders") == replace(deleted, changed=False, dropped=(), timings={})
    again = engine.deploy(spec())
    assert again.query_id != result.query_id


def test_a_sink_that_is_read_is_not_dropped(engine: SqlEngine, cluster: Cluster) -> None:
    result, _ = deployed(engine, cluster)
    table = result.sink_table.split(".")[-1]
    reader = engine.deploy(spec(f"SELECT n FROM {table}", name="reader"))
    with pytest.raises(ConflictError, match="is read by reader") as caught:
        engine.delete("orders")
    assert (caught.value.code, caught.value.context["readers"]) == ("table_in_use", reader.query_id)
    assert len(cluster.live()) == 2
    engine.stop("reader")
    assert engine.delete("orders").changed


@pytest.mark.parametrize("how", [{"force": True}, {"drop_sink": False}], ids=["force", "sink kept"])
def test_a_sink_that_is_read_can_be_left_or_forced(engine: SqlEngine, cluster: Cluster, how: dict[str, bool]) -> None:
    result, job = deployed(engine, cluster)
    engine.deploy(spec(f"SELECT n FROM {result.sink_table.split('.')[-1]}", name="reader"))
    assert engine.delete("orders", **how).changed  # type: ignore[arg-type]
    assert job.state == "CANCELED"


def test_a_job_that_cannot_be_stopped_keeps_its_query(
    engine: SqlEngine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(engine, cluster)
    original = cluster.gateway.cluster
    assert original is not None
    cluster.gateway.cluster = lambda request: (
        server_error("java.lang.Exception: no") if request.method == "PATCH" else original(request)
    )
    with pytest.raises(FlinkError):
        engine.delete("orders")
    record = engine.registry.require("orders")
    assert (record.state, record.desired, record.holder) == (QueryState.DELETING, Desired.DELETED, None)
    assert engine.delete("orders", force=True).warnings != ()
    assert engine.registry.active() == []


def test_a_foreign_job_is_deleted_with_force_alone(engine: SqlEngine, cluster: Cluster) -> None:
    foreign = cluster.jobs["f" * 32] = Job("f" * 32, "somebody's", "", None)
    with pytest.raises(ConflictError, match="no query has it"):
        engine.delete(foreign.id)
    deleted = engine.delete(foreign.id, force=True)
    assert (deleted.changed, foreign.state) == (True, "CANCELED")
    assert engine.delete(foreign.id, force=True).changed is False
    with pytest.raises(NotFoundError):
        engine.delete("0" * 32, force=True)


def test_files_are_deleted_on_request_only(engine: SqlEngine, tmp_path: Path) -> None:
    for drop_data in (False, True):
        result = engine.deploy(spec(sink={"profile": "filesystem"}))
        folder = Path((result.path or "").removeprefix("file://"))
        assert tmp_path in folder.parents
        folder.mkdir(parents=True)
        deleted = engine.delete("orders", drop_data=drop_data)
        assert folder.exists() is not drop_data
        assert (str(folder) in deleted.dropped) is drop_data


# --- bounded queries --------------------------------------------------------------------------------------------------


def test_the_end_of_a_bounded_query_is_a_success(engine: SqlEngine, cluster: Cluster) -> None:
    _, job = deployed(engine, cluster, mode="batch")
    job.state = "FINISHED"
    assert lifecycle.wait_finished(engine, "orders").state == "FINISHED"
    assert state_of(engine)[0] is QueryState.FINISHED
    assert engine.wait_finished("orders").state == "FINISHED"


def test_a_bounded_query_that_fails_says_why(engine: SqlEngine, cluster: Cluster) -> None:
    _, job = deployed(engine, cluster, mode="batch")
    job.state, job.exception = "FAILED", "java.lang.ArithmeticException: / by zero"
    with pytest.raises(JobFailedError, match="by zero"):
        engine.wait_finished("orders")
    assert state_of(engine)[0] is QueryState.FAILED
