"""What Dagster's storage says, on a real one with a few runs, ticks, checks and a daemon."""

from dataclasses import dataclass
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


def config(*, fails: bool) -> dict[str, object]:
    ops = {"work": {"config": {"fails": fails}}}
    return {"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run(instance: dg.DagsterInstance, *, fails: bool) -> None:
    nightly.execute_in_process(run_config=config(fails=fails), instance=instance, raise_on_error=False)


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


def add_sensors(instance: dg.DagsterInstance) -> None:
    """Add one that is on and ticks, one that is off, and ticks of one whose code location is gone."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("millrace"), "__repository__")
    states = {
        name: InstigatorState(repository.get_instigator_origin(name), InstigatorType.SENSOR, status)
        for name, status in (("query_health", InstigatorStatus.RUNNING), ("off", InstigatorStatus.STOPPED))
    }
    for state in states.values():
        instance.add_instigator_state(state)
    health = states["query_health"]
    place = (health.selector_id, health.instigator_origin_id)
    for status, ago_s in (
        (TickStatus.SKIPPED, 60),
        (TickStatus.SKIPPED, 30),
        (TickStatus.FAILURE, 90),
        (TickStatus.SUCCESS, 7200),
    ):
        instance.create_tick(tick("query_health", status, NOW - timedelta(seconds=ago_s), *place))
    instance.create_tick(tick("gone", TickStatus.FAILURE, NOW, "nobody", "nobody"))


@dataclass(frozen=True)
class Storage:
    """Samples of a storage, and when its last successful run ended."""

    samples: dict[str, dict[tuple[str, ...], float]]
    last_success: float


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """One for all tests: to make one takes seconds."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        run(instance, fails=False)
        run(instance, fails=False)
        run(instance, fails=True)
        instance.create_run_for_job(nightly, run_config=config(fails=False), status=dg.DagsterRunStatus.STARTED)
        [newest] = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1)
        for _ in range(2):
            dg.materialize([trips, holds, is_filled], instance=instance)
        add_sensors(instance)
        instance.add_daemon_heartbeat(DaemonHeartbeat(NOW.timestamp(), "SENSOR", "id", []))
        return Storage(by_name(read_history(instance, NOW + timedelta(seconds=5))), newest.end_time or 0.0)


def test_runs_are_counted_by_job_and_how_they_ended(storage: Storage) -> None:
    assert storage.samples["millrace_dagster_runs_total"] == {
        ("nightly", "success"): 2,
        ("nightly", "failure"): 1,
        ("__ephemeral_asset_job__", "success"): 2,
    }
    assert storage.samples["millrace_dagster_runs_active"] == {("nightly", "started"): 1}


def test_the_last_success_of_a_job_is_when_its_run_ended(storage: Storage) -> None:
    assert storage.samples["millrace_dagster_last_success_timestamp_seconds"]["nightly",] == storage.last_success


def test_checks_are_as_they_last_came_out(storage: Storage) -> None:
    assert storage.samples["millrace_check_passed"] == {("trips", "holds"): 0, ("trips", "is_filled"): 1}
    times = storage.samples["millrace_check_timestamp_seconds"]
    assert set(times) == set(storage.samples["millrace_check_passed"])
    assert all(NOW.timestamp() <= at <= datetime.now(UTC).timestamp() for at in times.values())


def test_sensors_are_on_or_off_and_tick(storage: Storage) -> None:
    found = storage.samples
    assert found["millrace_dagster_instigator_running"] == {("query_health", "sensor"): 1, ("off", "sensor"): 0}
    assert found["millrace_dagster_ticks_recent"] == {
        ("query_health", "sensor", "skipped"): 2,
        ("query_health", "sensor", "failure"): 1,
    }
    [last] = found["millrace_dagster_last_tick_timestamp_seconds"].values()
    assert last == pytest.approx((NOW - timedelta(seconds=30)).timestamp(), abs=1)


def test_daemons_give_signs_of_life(storage: Storage) -> None:
    beats = storage.samples["millrace_dagster_daemon_heartbeat_timestamp_seconds"]
    assert beats == {("sensor",): pytest.approx(NOW.timestamp())}
    assert storage.samples["millrace_dagster_daemon_errors"] == {("sensor",): 0}


def test_the_history_of_the_settings_instance_is_read_and_may_be_empty(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    assert by_name(History(settings).collect()) == {}
    assert (settings.dagster_home / "dagster.yaml").is_file()
