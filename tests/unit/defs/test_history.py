"""What Dagster's storage says, on a real one with a few runs, ticks, checks and a daemon."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from orchestration.defs.history import History, read_history
from orchestration.settings import Settings
from tests.unit.observability.samples import by_name

NOW = datetime.now(UTC)
SUCCESS = dg.DagsterRunStatus.SUCCESS


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


@dg.op(config_schema={"fails": bool})
def work(context: dg.OpExecutionContext) -> None:
    if context.op_config["fails"]:
        raise dg.Failure("told to")


@dg.job
def nightly() -> None:
    work()


@dg.asset
def trips() -> None: ...


@dg.asset_check(asset=trips)
def holds() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


@dg.asset_check(asset=trips)
def is_filled() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def run(instance: dg.DagsterInstance, *, fails: bool) -> None:
    config = {
        "ops": {"work": {"config": {"fails": fails}}},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }
    nightly.execute_in_process(run_config=config, instance=instance, raise_on_error=False)


def read(instance: dg.DagsterInstance) -> dict[str, dict[tuple[str, ...], float]]:
    return by_name(read_history(instance, NOW + timedelta(seconds=5)))


def test_an_instance_without_history_has_no_samples(instance: dg.DagsterInstance) -> None:
    assert read(instance) == {}


def test_runs_are_counted_by_job_and_how_they_ended(instance: dg.DagsterInstance) -> None:
    run(instance, fails=False)
    run(instance, fails=False)
    run(instance, fails=True)
    config = {"ops": {"work": {"config": {"fails": False}}}}
    instance.create_run_for_job(nightly, run_config=config, status=dg.DagsterRunStatus.STARTED)
    found = read(instance)
    assert found["millrace_dagster_runs_total"] == {("nightly", "success"): 2, ("nightly", "failure"): 1}
    assert found["millrace_dagster_runs_active"] == {("nightly", "started"): 1}
    newest = max(record.end_time or 0 for record in instance.get_run_records(dg.RunsFilter(statuses=[SUCCESS])))
    assert found["millrace_dagster_last_success_timestamp_seconds"] == {("nightly",): newest}


def test_checks_are_as_they_last_came_out(instance: dg.DagsterInstance) -> None:
    for _ in range(2):
        dg.materialize([trips, holds, is_filled], instance=instance)
    found = read(instance)
    assert found["millrace_check_passed"] == {("trips", "holds"): 0, ("trips", "is_filled"): 1}
    times = found["millrace_check_timestamp_seconds"]
    assert set(times) == set(found["millrace_check_passed"])
    assert all(abs(at - NOW.timestamp()) < 600 for at in times.values())


def tick(name: str, status: TickStatus, at: datetime, selector: str, origin: str) -> TickData:
    return TickData(
        instigator_origin_id=origin,
        instigator_name=name,
        instigator_type=InstigatorType.SENSOR,
        status=status,
        timestamp=at.timestamp(),
        selector_id=selector,
        error=SerializableErrorInfo("told to", [], None) if status is TickStatus.FAILURE else None,
        run_ids=["r"] if status is TickStatus.SUCCESS else [],
    )


def test_sensors_are_on_or_off_and_tick(instance: dg.DagsterInstance) -> None:
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("millrace"), "__repository__")
    states = {
        name: InstigatorState(repository.get_instigator_origin(name), InstigatorType.SENSOR, status)
        for name, status in (("query_health", InstigatorStatus.RUNNING), ("off", InstigatorStatus.STOPPED))
    }
    for state in states.values():
        instance.add_instigator_state(state)
    health = states["query_health"]
    place = (health.selector_id, health.instigator_origin_id)
    for status, ago in (
        (TickStatus.SKIPPED, 60),
        (TickStatus.SKIPPED, 30),
        (TickStatus.FAILURE, 90),
        (TickStatus.SUCCESS, 7200),
    ):
        instance.create_tick(tick("query_health", status, NOW - timedelta(seconds=ago), *place))
    # Of a code location that is gone: nobody can say what it was.
    instance.create_tick(tick("gone", TickStatus.FAILURE, NOW, "nobody", "nobody"))
    found = read(instance)
    assert found["millrace_dagster_instigator_running"] == {("query_health", "sensor"): 1, ("off", "sensor"): 0}
    assert found["millrace_dagster_ticks_recent"] == {
        ("query_health", "sensor", "skipped"): 2,
        ("query_health", "sensor", "failure"): 1,
    }
    [last] = found["millrace_dagster_last_tick_timestamp_seconds"].values()
    assert last == pytest.approx((NOW - timedelta(seconds=30)).timestamp(), abs=1)


def test_daemons_give_signs_of_life(instance: dg.DagsterInstance) -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(NOW.timestamp(), "SENSOR", "id", []))
    found = read(instance)
    assert found["millrace_dagster_daemon_heartbeat_timestamp_seconds"] == {("sensor",): pytest.approx(NOW.timestamp())}
    assert found["millrace_dagster_daemon_errors"] == {("sensor",): 0}


def test_the_history_of_the_settings_instance_is_read(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    history = History(settings)
    assert by_name(history.collect()) == {}
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        run(instance, fails=False)
    assert by_name(history.collect())["millrace_dagster_runs_total"] == {("nightly", "success"): 1}
