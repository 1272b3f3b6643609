"""Deploy: what is sent, what is recorded, and what is left after a failure: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.errors import (
    ConfigError,
    ConflictError,
    FlinkError,
    JobFailedError,
    SqlRefusedError,
    StatementError,
)
from orchestration.flink.engine import SqlEngine
from orchestration.flink.jobs.submission import FIXED_JOB_ID, JOB_NAME
from orchestration.flink.queries.names import fixed_job_id
from orchestration.flink.queries.states import Desired, QueryState
from tests.unit.flink.queries.cluster import RESTORE, SOURCE, VALIDATION, Cluster, engine_on, spec, without_waiting


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def engine(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlEngine]:
    without_waiting(monkeypatch)
    with engine_on(cluster, tmp_path) as opened:
        yield opened


def sent(cluster: Cluster, start: str) -> list[str]:
    return [sql for session in cluster.gateway.sessions.values() for sql in session.ran if sql.startswith(start)]


def test_a_query_runs_under_its_name_and_fixed_id(engine: SqlEngine, cluster: Cluster) -> None:
    result = engine.deploy(spec(state_ttl="1 h", execution={"table.exec.mini-batch.enabled": "true"}))
    (job,) = cluster.live()
    assert (result.state, result.unchanged, result.generation) == ("RUNNING", False, 1)
    assert (result.job_id, result.job_name) == (job.id, job.name)
    assert job.id == fixed_job_id(result.query_id, 1, 1)
    assert job.name == f"test.orders.{result.query_id}"
    table = f"`default_catalog`.`default_database`.`view_orders_{result.query_id[:6]}`"
    assert job.statement == f"INSERT INTO {table} SELECT n FROM src"
    assert result.sink_table == table.replace("`", "")
    (session,) = cluster.gateway.sessions.values()
    settings = session.properties | session.configs[session.ran.index(job.statement)]
    assert settings == settings | {
        "execution.runtime-mode": "streaming",
        "parallelism.default": "1",
        "execution.checkpointing.interval": "1 min",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "table.exec.state.ttl": "1 h",
        "table.exec.mini-batch.enabled": "true",
        JOB_NAME: job.name,
        FIXED_JOB_ID: job.id,
        "table.dml-sync": "false",
    }
    assert RESTORE not in settings


def test_the_record_is_there_before_the_sink_and_the_job(engine: SqlEngine, cluster: Cluster) -> None:
    seen: list[tuple[str, str]] = []

    def look(call: str) -> None:
        record = engine.registry.get("orders")
        made = bool(sent(cluster, "CREATE TABLE")) or bool(cluster.jobs)
        seen.append((record.state.value if record else "none", "made" if made else "nothing"))

    cluster.on_request = look
    engine.deploy(spec())
    assert ("none", "made") not in seen
    assert ("DEPLOYING", "made") in seen


def test_the_session_is_closed_and_the_steps_are_timed_and_told(engine: SqlEngine, cluster: Cluster) -> None:
    said: list[str] = []
    result = engine.deploy(spec(), on_progress=said.append)
    assert cluster.gateway.open == set()
    assert list(result.timings) == [
        *("validate", "probe", "inputs", "schema", "sink", "record", "create", "dry_run", "submit", "watch")
    ]
    assert said[0] == "checking the definition of orders"
    assert any("is RUNNING, 1 of 1 vertices running" in sentence for sentence in said)


def test_a_secret_of_an_input_is_resolved_for_flink_alone(
    engine: SqlEngine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("PG_PASSWORD", "hunter2hunter2")
    reader = "CREATE TABLE zones (n INT) WITH ('connector' = 'jdbc', 'password' = 'env:PG_PASSWORD')"
    engine.deploy(spec(inputs=(SOURCE, reader)))
    assert "'password' = 'hunter2hunter2'" in sent(cluster, "CREATE TABLE zones")[0]
    assert "hunter2hunter2" not in f"{engine.registry.require('orders')} {caplog.text}"
    assert "env:PG_PASSWORD" in str(engine.registry.require("orders").spec)


def test_each_step_is_logged_with_the_query_and_the_job(engine: SqlEngine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="orchestration.flink.queries")
    result = engine.deploy(spec())
    watch = next(record for record in caplog.records if getattr(record, "phase", "") == "watch")
    fields = (watch.query_id, watch.job_id)  # type: ignore[attr-defined]
    assert fields == (result.query_id, result.job_id)
    assert watch.getMessage().endswith("runs steadily: ok")


def test_the_same_definition_again_changes_nothing(engine: SqlEngine, cluster: Cluster) -> None:
    first = engine.deploy(spec())
    again = engine.deploy(spec(labels={"owner": "ann"}))
    assert (again.unchanged, again.job_id, again.generation) == (True, first.job_id, 1)
    assert len(cluster.jobs) == 1
    assert engine.registry.require("orders").spec == spec(labels={"owner": "ann"})


def test_another_definition_of_a_name_that_runs_is_a_conflict(engine: SqlEngine, cluster: Cluster) -> None:
    first = engine.deploy(spec())
    with pytest.raises(ConflictError, match="runs with another definition") as caught:
        engine.deploy(spec("SELECT n AS m FROM src"))
    assert caught.value.context["job_id"] == first.job_id
    assert len(cluster.live()) == 1


def test_a_job_of_the_name_that_the_registry_does_not_know_is_a_conflict(engine: SqlEngine, cluster: Cluster) -> None:
    first = engine.deploy(spec())
    engine.stop("orders")
    stray = cluster.jobs[first.job_id]
    stray.id, stray.state = "f" * 32, "RUNNING"
    cluster.jobs = {stray.id: stray}
    with pytest.raises(ConflictError, match="that the registry does not know") as caught:
        engine.deploy(spec())
    assert caught.value.context["job_id"] == stray.id


def test_a_job_that_fails_leaves_a_failed_record_and_nothing_else(engine: SqlEngine, cluster: Cluster) -> None:
    with pytest.raises(JobFailedError, match="NumberFormatException") as caught:
        engine.deploy(spec("SELECT n AS BROKEN FROM src"))
    record = engine.registry.require("orders")
    assert (record.state, record.error_code, record.sinks, record.ddl) == (QueryState.FAILED, "job_failed", (), None)
    assert caught.value.message in (record.error_text or "")
    assert [job.state for job in cluster.jobs.values()] == ["CANCELED"]
    assert cluster.gateway.open == set()


def test_a_failed_query_can_be_deployed_with_other_columns(engine: SqlEngine, cluster: Cluster) -> None:
    with pytest.raises(JobFailedError):
        engine.deploy(spec("SELECT n AS BROKEN FROM src"))
    result = engine.deploy(spec("SELECT n AS m FROM src"))
    assert (result.state, result.generation) == ("RUNNING", 2)
    assert len(cluster.live()) == 1


def test_a_statement_that_flink_refuses_starts_no_job(engine: SqlEngine, cluster: Cluster) -> None:
    cluster.refuse["EXPLAIN INSERT"] = f"{VALIDATION}sink says no"
    with pytest.raises(StatementError, match="sink says no"):
        engine.deploy(spec())
    assert cluster.jobs == {}
    assert engine.registry.require("orders").state is QueryState.FAILED


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({"query": "SELECT n FROM src EMIT CHANGES"}, SqlRefusedError, id="sql"),
        pytest.param({"execution": {"rest.port": "1"}}, ConfigError, id="setting"),
        pytest.param({"sink": {"profile": "nosuch"}}, ConfigError, id="profile"),
    ],
)
def test_what_is_wrong_by_itself_leaves_no_record(
    engine: SqlEngine, cluster: Cluster, fields: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        engine.deploy(spec(**fields))  # type: ignore[arg-type]
    assert engine.registry.all() == []
    assert cluster.jobs == {}


def test_too_few_slots_are_a_warning_or_a_refusal(engine: SqlEngine, cluster: Cluster) -> None:
    cluster.slots = 0
    with pytest.raises(FlinkError, match="0 of the cluster's 8 are free") as caught:
        engine.deploy(spec(), require_slots=True)
    assert (caught.value.code, engine.registry.all()) == ("no_slots", [])
    assert "wants 1 slots" in engine.deploy(spec()).warnings[0]


def test_an_interrupt_takes_everything_back(engine: SqlEngine, cluster: Cluster) -> None:
    def interrupt(sentence: str) -> None:
        if "is RUNNING" in sentence:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.deploy(spec(), on_progress=interrupt)
    assert [job.state for job in cluster.jobs.values()] == ["CANCELED"]
    assert engine.registry.require("orders").state is QueryState.FAILED
    assert cluster.gateway.open == set()


def test_a_query_that_is_suspended_goes_on_from_its_savepoint(engine: SqlEngine, cluster: Cluster) -> None:
    first = engine.deploy(spec())
    path = engine.stop("orders").savepoint_path
    result = engine.deploy(spec())
    (job,) = cluster.live()
    assert (result.restored_from, job.restored, result.generation) == (path, path, 1)
    assert job.id == fixed_job_id(first.query_id, 1, 2)
    assert (path or "").startswith("s3://bucket/savepoints/")


def test_a_stateless_query_starts_from_nothing(engine: SqlEngine, cluster: Cluster) -> None:
    engine.deploy(spec(upgrade_mode="stateless"))
    engine.stop("orders")
    assert engine.deploy(spec(upgrade_mode="stateless")).restored_from is None


def test_a_query_whose_job_failed_goes_on_from_its_newest_checkpoint(engine: SqlEngine, cluster: Cluster) -> None:
    first = engine.deploy(spec())
    job = cluster.jobs[first.job_id]
    job.checkpoints, job.state = 3, "FAILED"
    engine.reconcile()
    assert engine.deploy(spec()).restored_from == f"s3://bucket/checkpoints/{job.id}/chk-3"


def test_a_canceled_query_starts_without_state_and_says_so(engine: SqlEngine, cluster: Cluster) -> None:
    engine.deploy(spec())
    engine.stop("orders", "cancel")
    result = engine.deploy(spec())
    assert result.restored_from is None
    assert any("starts without state" in warning for warning in result.warnings)


def test_a_table_that_is_there_must_fit(engine: SqlEngine, cluster: Cluster) -> None:
    path = "`default_catalog`.`default_database`.`target`"
    existing = f"CREATE TABLE {path} (m BIGINT) WITH ('connector' = 'print')"
    cluster.columns["target"] = ["m"]
    with pytest.raises(SqlRefusedError, match="does not fit the query") as caught:
        engine.deploy(spec(inputs=(SOURCE, existing), sink={"profile": "blackhole", "table": "target"}))
    assert caught.value.code == "sink_incompatible"
    assert engine.registry.all() == []


def test_an_insert_into_a_table_that_is_there_makes_no_sink(engine: SqlEngine, cluster: Cluster) -> None:
    existing = "CREATE TEMPORARY TABLE `target` (n BIGINT) WITH ('connector' = 'print')"
    result = engine.deploy(spec("INSERT INTO target SELECT n FROM src", inputs=(SOURCE, existing)))
    assert sent(cluster, "CREATE TABLE") == []
    assert result.sink_table == "default_catalog.default_database.target"
    assert engine.registry.require("orders").own_sinks == ()
    assert cluster.live()[0].statement == "INSERT INTO target SELECT n FROM src"


def test_a_statement_set_is_one_job_with_a_sink_a_branch(engine: SqlEngine, cluster: Cluster) -> None:
    text = "EXECUTE STATEMENT SET BEGIN INSERT INTO one SELECT n FROM src; INSERT INTO two SELECT n FROM src; END"
    result = engine.deploy(spec(text))
    (job,) = cluster.live()
    assert job.statement.startswith("EXECUTE STATEMENT SET BEGIN\nINSERT INTO `default_catalog`")
    assert result.sink_table == "default_catalog.default_database.one, default_catalog.default_database.two"
    assert sent(cluster, "EXPLAIN STATEMENT SET") != []
    assert len(sent(cluster, "CREATE TABLE")) == 2


def test_a_batch_query_has_no_checkpoints_and_is_not_restarted_by_flink(engine: SqlEngine, cluster: Cluster) -> None:
    engine.deploy(spec(mode="batch"))
    (session,) = cluster.gateway.sessions.values()
    assert session.properties["restart-strategy.type"] == "none"
    assert "execution.checkpointing.interval" not in session.properties


def test_a_deploy_over_a_dead_process_repairs_first(
    engine: SqlEngine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = engine.deploy(spec())
    record = engine.registry.require("orders")
    monkeypatch.setattr("orchestration.flink.queries.registry.this_process", lambda: "elsewhere:1:gone")
    held = engine.registry.update(record, event="x", state=QueryState.STOPPING, desired=Desired.RUNNING)
    with pytest.raises(ConflictError, match="elsewhere:1:gone is at work on it"):
        engine.deploy(spec())
    monkeypatch.undo()
    engine.registry.release(held, event="died")
    assert engine.deploy(spec()).job_id == first.job_id
