"""Commands on persistent queries: which operation they ask for, what they show, and their exit codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestration.cli.sql.persistent import read_spec
from orchestration.errors import ConfigError, ConflictError, FlinkError, InputError, JobTimeoutError, NotFoundError
from orchestration.flink.client.models import ExceptionEntry
from orchestration.flink.queries.listing import QueryView
from orchestration.flink.queries.outcome import DeleteResult, DeployResult, SavepointResult, StopResult
from orchestration.flink.queries.reconcile import Repair
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.states import Desired, QueryState
from tests.unit.cli.sql.conftest import RecordingEngine, Run
from tests.unit.flink.queries.records import record, spec

DEPLOYED = DeployResult(
    query_id="0a1b2c3d",
    name="totals",
    state="RUNNING",
    generation=2,
    job_id="a" * 32,
    job_name="default.totals.0a1b2c3d",
    url="http://jobmanager:8081/#/job/running/x/overview",
    sink_table="view_totals_abc123",
    connector="upsert-kafka",
    topic="view_totals_abc123",
    path=None,
    changelog="I,UA",
    key_columns=("zone",),
    ddl="CREATE TABLE …",
    timings={"validate": 0.1, "watch": 3.2},
)
VIEW = QueryView(
    id="0a1b2c3d",
    name="totals",
    namespace="default",
    owner="ann",
    state=QueryState.DEGRADED,
    recorded=QueryState.RUNNING,
    desired="RUNNING",
    generation=2,
    job_id=None,
    job_name="default.totals.0a1b2c3d",
    job_state="RESTARTING",
    url="http://jobmanager:8081/#/job/running/x/overview",
    started_at=datetime(2026, 1, 2, tzinfo=UTC),
    uptime_s=65.0,
    restarts=3,
    last_checkpoint_at=None,
    checkpoint_path=None,
    savepoint_path="file:/s/1",
    lag_records=1234,
    sink="view_totals_abc123",
    connector="upsert-kafka",
    topic="view_totals_abc123",
    path=None,
    error_code=None,
    error_text=None,
    updated_at=None,
    exceptions=(ExceptionEntry(stacktrace="java.lang.NumberFormatException: For input string: 'x'\n\tat a.b.C"),),
)


def test_a_query_is_deployed_from_a_file(run: Run, engine: RecordingEngine, tmp_path: Path) -> None:
    engine.answers["deploy"] = DEPLOYED
    file = tmp_path / "totals.sql"
    file.write_text("-- ---\n-- parallelism: 2\n-- ---\nSELECT a FROM t;\n")
    ran = run("deploy", str(file), "--replace")
    assert ran.code == 0
    name, [spec], options = engine.last
    assert (name, spec.name, spec.query, spec.parallelism, options["replace"]) == (
        "deploy",
        "totals",
        "SELECT a FROM t",
        2,
        True,
    )
    assert "totals is RUNNING (generation 2)" in ran.out
    assert "a" * 32 in ran.out
    assert "deploy begins" in ran.err


def test_a_query_is_deployed_from_options(run: Run, engine: RecordingEngine) -> None:
    engine.answers["deploy"] = DEPLOYED
    ran = run("deploy", "-n", "totals", "-q", "SELECT a FROM t", "--sink", "kafka", "--key", "a", "--json")
    spec = engine.last[1][0]
    assert (spec.sink.profile, spec.sink.key_columns) == ("kafka", ("a",))
    assert json.loads(ran.out)["job_id"] == "a" * 32


@pytest.mark.parametrize(
    ("file", "name", "query", "parallelism"),
    [
        pytest.param(None, None, None, None, id="nothing"),
        pytest.param(None, "a", None, None, id="no query"),
        pytest.param(None, None, "SELECT 1", None, id="no name"),
        pytest.param(Path("a.sql"), "a", None, None, id="both"),
        pytest.param(Path("a.sql"), None, None, 2, id="an option beside the file"),
    ],
)
def test_a_definition_comes_from_one_place(
    file: Path | None, name: str | None, query: str | None, parallelism: int | None
) -> None:
    with pytest.raises(InputError):
        read_spec(file, name, query, parallelism=parallelism)


def test_a_wrong_definition_names_the_field(run: Run, engine: RecordingEngine) -> None:
    ran = run("deploy", "-n", "a" * 101, "-q", "SELECT 1 AS a")
    assert ran.code == ConfigError.exit_code
    assert "name" in ran.err
    assert engine.calls == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(ConflictError("runs already"), 7, id="conflict"),
        pytest.param(NotFoundError("no such query"), 3, id="not found"),
        pytest.param(FlinkError("no slots"), 4, id="failure"),
        pytest.param(JobTimeoutError("not in time"), 6, id="timeout"),
        pytest.param(InputError("zzz is no id"), 2, id="usage"),
    ],
)
def test_a_failure_decides_the_exit_code(run: Run, engine: RecordingEngine, error: Exception, code: int) -> None:
    engine.answers["stop"] = error
    assert run("stop", "totals").code == code


def test_stop_says_what_it_left(run: Run, engine: RecordingEngine) -> None:
    engine.answers["stop"] = StopResult("0a1b2c3d", "totals", "a" * 32, "SUSPENDED", True, "file:/s/1")
    ran = run("stop", "totals", "--or-cancel", "--timeout", "9")
    assert ran.out == "totals is SUSPENDED\n  savepoint  file:/s/1\n"
    assert engine.last[1:] == (
        ("totals", None),
        {"savepoint_dir": None, "timeout_s": 9.0, "on_failure": "cancel"},
    )


def test_stopping_twice_changes_nothing_and_says_so(run: Run, engine: RecordingEngine) -> None:
    engine.answers["stop"] = StopResult("0a1b2c3d", "totals", None, "FAILED", False)
    assert run("stop", "totals").out == "totals is FAILED, as it was before\n"
    assert json.loads(run("stop", "totals", "--json").out)["changed"] is False


def test_restart_and_upgrade_pass_their_options_on(run: Run, engine: RecordingEngine) -> None:
    engine.answers |= {"restart": DEPLOYED, "upgrade": DEPLOYED}
    run("restart", "totals", "--from", "latest_checkpoint", "--allow-non-restored-state")
    assert engine.last == ("restart", ("totals", "latest_checkpoint"), {"allow_non_restored_state": True})
    run("upgrade", "-n", "totals", "-q", "SELECT 2 AS b", "--require-slots")
    assert engine.last[2] == {"allow_non_restored_state": False, "require_slots": True}


def test_delete_keeps_what_it_is_told_to(run: Run, engine: RecordingEngine) -> None:
    engine.answers["delete"] = DeleteResult("0a1b2c3d", "totals", True, ("table view_totals_abc123",))
    ran = run("delete", "totals", "--keep-sink")
    assert engine.last[2] == {"drop_sink": False, "drop_data": False, "force": False}
    assert ran.out == "totals is deleted\n  dropped  table view_totals_abc123\n"


def test_savepoint_prints_the_path_alone(run: Run, engine: RecordingEngine) -> None:
    engine.answers["savepoint"] = SavepointResult("0a1b2c3d", "totals", "a" * 32, "file:/s/1", 0.5)
    assert run("savepoint", "totals").out == "file:/s/1\n"


def test_the_list_is_for_people_and_for_machines(run: Run, engine: RecordingEngine) -> None:
    engine.answers["list"] = [VIEW]
    ran = run("list", "--state", "degraded", "--owner", "ann", "--all")
    assert engine.last[2] == {"state": QueryState.DEGRADED, "owner": "ann", "include_foreign": True}
    line = ran.out.splitlines()[1].split("  ")
    assert [word.strip() for word in line if word][:4] == ["totals", "DEGRADED", "RUNNING", "1 min 05 s"]
    [record] = json.loads(run("list", "--json").out)
    assert (record["lag_records"], record["uptime_s"], record["state"]) == (1234, 65.0, "DEGRADED")
    assert "exceptions" not in record


def test_an_empty_list_says_how_to_begin(run: Run, engine: RecordingEngine) -> None:
    engine.answers["list"] = []
    ran = run("list")
    assert ran.out == ""
    assert "millrace sql deploy" in ran.err
    assert run("list", "-o", "ndjson").out == ""


def test_a_state_that_does_not_exist_is_wrong_usage(run: Run, engine: RecordingEngine) -> None:
    ran = run("list", "--state", "happy")
    assert ran.code == 2
    assert "RUNNING" in ran.err


def test_the_status_names_causes_and_not_stacks(run: Run, engine: RecordingEngine) -> None:
    engine.answers["status"] = VIEW
    ran = run("status", "totals")
    assert "NumberFormatException: For input string: 'x'" in ran.out
    assert "at a.b.C" not in ran.out
    assert "3 of 4 free" in ran.out
    assert "1,234 records" in ran.out
    document = json.loads(run("status", "totals", "--json").out)
    assert document["slots"] == {"used": 0, "free": 3, "total": 4}
    assert document["failures"][0]["cause"] == "NumberFormatException: For input string: 'x'"


def test_logs_show_failures_and_the_lines_about_the_job(run: Run, engine: RecordingEngine) -> None:
    engine.answers["status"] = VIEW
    folder = engine.settings.instance_dir / "logs"
    folder.mkdir(parents=True)
    (folder / "jobmanager.log").write_text(
        "2026-01-02 10:00:00,000 INFO default.totals.0a1b2c3d starts\n2026-01-02 10:00:01,000 INFO another\n"
    )
    ran = run("logs", "totals")
    assert "NumberFormatException" in ran.out
    assert "jobmanager   | 2026-01-02 10:00:00,000 INFO default.totals.0a1b2c3d starts" in ran.out
    assert "another" not in ran.out
    document = json.loads(run("logs", "totals", "--json").out)
    assert [line["source"] for line in document["lines"]] == ["jobmanager"]


def test_reconcile_tells_repairs_and_fails_for_those_that_failed(run: Run, engine: RecordingEngine) -> None:
    repair = Repair("0a1b2c3d", "totals", "adopt", None, QueryState.RUNNING, "its job runs")
    engine.answers["reconcile"] = [repair]
    ran = run("reconcile", "--recover")
    assert (ran.code, engine.last[2]) == (0, {"recover": True})
    assert "adopt" in ran.out
    engine.answers["reconcile"] = [Repair("0a1b2c3d", "totals", "restart", None, None, "it failed", "no slots")]
    assert run("reconcile").code == 4


def test_sessions_of_the_local_gateway_are_listed(run: Run, engine: RecordingEngine) -> None:
    folder = engine.settings.instance_dir / "logs"
    folder.mkdir(parents=True)
    handle = "0" * 8 + "-0000-0000-0000-" + "0" * 12
    (folder / "gateway.log").write_text(
        f"2026-01-02 10:00:00,000 INFO SessionManagerImpl [] - Session {handle} is opened, and the number of current "
        "sessions is 1.\n"
    )
    assert json.loads(run("sessions", "--json").out) == [{"session": handle, "opened_at": "2026-01-02 10:00:00.000"}]


def test_a_gateway_elsewhere_cannot_list_its_sessions(run: Run) -> None:
    assert run("sessions").code == 3


# --- streams ----------------------------------------------------------------------------------------------------------


def a_stream(desired: Desired) -> QueryRecord:
    definition = spec(name="rides_stream", labels={"kind": "stream", "dataset": "rides"})
    return record(name="rides_stream", spec=definition, desired=desired)


@pytest.mark.parametrize(
    ("operation", "desired", "remedy"),
    [
        ("stop", Desired.RUNNING, "millrace stream stop rides_stream"),
        ("restart", Desired.RUNNING, "millrace stream restart rides_stream"),
        ("restart", Desired.STOPPED, "millrace stream restart rides_stream"),
        ("delete", Desired.RUNNING, "millrace stream stop rides_stream"),
    ],
)
def test_the_stream_of_a_dataset_is_left_to_its_own_commands(
    run: Run, engine: RecordingEngine, operation: str, desired: Desired, remedy: str
) -> None:
    engine.registry.records["rides_stream"] = a_stream(desired)
    ran = run(operation, "rides_stream")
    assert (ran.code, engine.calls) == (ConflictError.exit_code, [])
    assert "is the stream of a dataset" in ran.err
    assert remedy in ran.err


def test_a_stream_that_was_stopped_may_be_deleted(run: Run, engine: RecordingEngine) -> None:
    engine.registry.records["rides_stream"] = a_stream(Desired.STOPPED)
    engine.answers["delete"] = DeleteResult("0a1b2c3d", "rides_stream", True, ())
    assert run("delete", "rides_stream").code == 0


def test_other_queries_are_not_kept_from_anything(run: Run, engine: RecordingEngine) -> None:
    engine.registry.records["orders"] = record()
    engine.answers["stop"] = StopResult("0a1b2c3d", "orders", "a" * 32, "SUSPENDED", True)
    assert run("stop", "orders").code == 0
