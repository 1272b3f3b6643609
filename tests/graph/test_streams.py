"""Streams in Dagster, on looks that are made up: the asset, its jobs, and the sensor that judges and heals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from orchestration.contracts import DatasetContract
from orchestration.defs.keys import stream_asset, table_asset
from orchestration.defs.resources import KEY, MillraceSettings
from orchestration.defs.stream_sensors import (
    GAVE_UP,
    HEALS,
    build_audit_sensor,
    build_stream_sensor,
    read_memory,
    to_request,
)
from orchestration.defs.streams import build_stream, build_stream_checks, stream_heal, stream_stop
from orchestration.errors import ConflictError
from orchestration.flink.monitoring.health import Reading
from orchestration.flink.monitoring.rounds import Watched
from orchestration.flink.queries.outcome import StopResult
from orchestration.lakehouse.heartbeat import read_heartbeats
from orchestration.lakehouse.streams.healing import Budget, Healing, History
from orchestration.lakehouse.streams.operate import StreamResult
from orchestration.lakehouse.streams.verdict import Flow
from orchestration.lakehouse.streams.watch import StreamLook, TableState
from orchestration.naming import SILVER_JOB, STREAM_HEAL_JOB
from orchestration.settings import Settings

NAME, JOB = "rides_stream", "a" * 32
STARTED = StreamResult(
    NAME, "started", "RUNNING", JOB, "default.rides_stream.0a1b2c3d", "http://flink/a", 1, start_offsets={0: 7}
)


@dataclass
class Cluster:
    """What a look sees, and what was done."""

    state: str | None = "RUNNING"
    silent: dict[str, str] = field(default_factory=dict[str, str])
    flow: Flow | None = None
    submitted_at: datetime | None = None
    done: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    posted: list[str] = field(default_factory=list[str])
    fails: Exception | None = None

    def look(self, _: Settings, __: DatasetContract, now: datetime) -> StreamLook | None:
        if self.state is None:
            return None
        reading = Reading(now, self.state, running_since=now - timedelta(hours=1))
        watched = Watched(NAME, JOB, "http://flink/a", reading)
        flow = replace(self.flow, at=now) if self.flow else Flow(now, committed_at=now, lag_records=0)
        return StreamLook(NAME, now, watched, flow, self.submitted_at, dict(self.silent))

    def do(self, what: str, answer: Any, *given: Any) -> Any:
        self.done.append((what, *given))
        if self.fails is not None:
            raise self.fails
        return answer


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, settings: Settings, contract: DatasetContract) -> Cluster:
    fake = Cluster()
    operate, watch = "orchestration.lakehouse.streams.operate", "orchestration.lakehouse.streams.watch"
    tables = [TableState(contract.tables.bronze, 5, 90), TableState(contract.tables.silver, 6, 80)]
    stopped = StopResult("0a1b2c3d", NAME, JOB, "SUSPENDED", True, "file:/s/1")
    fakes: dict[str, Any] = {
        "orchestration.defs.resources.load_settings": lambda *_: settings,
        "orchestration.contracts.resolve.active_contract": lambda _: contract,
        f"{watch}.look_at_stream": fake.look,
        f"{watch}.read_tables": lambda *_: tables,
        f"{operate}.upgrade_stream": lambda *_: fake.do("upgrade", STARTED),
        f"{operate}.restart_stream": lambda _, __, from_, ___: fake.do("restart", STARTED, from_),
        f"{operate}.stop_stream": lambda *_: fake.do("stop", stopped),
        f"{operate}.heal_stream": lambda _, __, hung, ___: fake.do("heal", STARTED, hung),
        "orchestration.flink.monitoring.alerts.Alerts._post": lambda _, __, alerts: fake.posted.extend(
            alert.code for alert in alerts
        ),
        "orchestration.defs.failure.RETRIES": dg.RetryPolicy(max_retries=2, delay=0),
    }
    for target, value in fakes.items():
        monkeypatch.setattr(target, value)
    own = settings.with_changes(sql_engine_alert_webhook="https://chat.example/hook", stream_heal_attempts=2)
    monkeypatch.setattr("orchestration.defs.resources.load_settings", lambda *_: own)
    return fake


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


BUDGET = Budget()
RESOURCES = {KEY: MillraceSettings()}

# --- asset and jobs ---------------------------------------------------------------------------------------------------


def materialize(contract: DatasetContract, **config: Any) -> dg.ExecuteInProcessResult:
    run_config = {"ops": {"streams__rides_stream": {"config": config}}} if config else None
    return dg.materialize([build_stream(contract)], resources=RESOURCES, run_config=run_config, raise_on_error=False)


def test_materializing_brings_the_job_to_the_declaration_and_returns(
    contract: DatasetContract, cluster: Cluster
) -> None:
    result = materialize(contract)
    assert (result.success, cluster.done) == (True, [("upgrade",)])
    [made] = result.asset_materializations_for_node("streams__rides_stream")
    shown = {name: value.value for name, value in made.metadata.items()}
    assert (shown["flink_job_id"], shown["action"], shown["start_offsets"]) == (JOB, "started", {"0": 7})
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]


def test_a_stream_can_be_told_where_to_start(contract: DatasetContract, cluster: Cluster) -> None:
    assert materialize(contract, restart_from="fresh").success
    assert cluster.done == [("restart", "fresh")]


def test_a_deploy_that_is_refused_fails_with_one_clear_line(contract: DatasetContract, cluster: Cluster) -> None:
    cluster.fails = ConflictError("two jobs live", hint="cancel one")
    [failure] = [event for event in materialize(contract).all_events if event.is_step_failure]
    cause = failure.step_failure_data.user_failure_data
    assert cause is not None
    assert "two jobs live" in (cause.description or "")


def test_the_checks_of_the_tables_say_how_the_stream_is(contract: DatasetContract, cluster: Cluster) -> None:
    cluster.state = "FAILED"
    # Without their tables' assets: the checks read the stream and no table.
    result = dg.Definitions(asset_checks=[build_stream_checks(contract)], resources=RESOURCES)
    job = result.resolve_implicit_global_asset_job_def()
    found = job.execute_in_process().get_asset_check_evaluations()
    assert {(check.asset_key, check.passed) for check in found} == {
        (table_asset(contract.tables.bronze), False),
        (table_asset(contract.tables.silver), False),
    }


@pytest.mark.parametrize("state", [None, "RUNNING"])
def test_no_stream_to_run_is_as_well_as_one_that_runs(
    contract: DatasetContract, cluster: Cluster, state: str | None
) -> None:
    cluster.state = state
    [check] = materialize(contract).get_asset_check_evaluations()
    assert check.passed


def test_the_stop_job_stops(cluster: Cluster) -> None:
    assert stream_stop.execute_in_process(resources=RESOURCES).success
    assert cluster.done == [("stop",)]


# --- sensor -----------------------------------------------------------------------------------------------------------


Tick = Callable[..., dg.SensorResult]


@pytest.fixture
def tick(contract: DatasetContract, instance: dg.DagsterInstance) -> Tick:
    """Let the sensor run once, with the cursor that it left, or without."""
    cursor: list[str | None] = [None]
    sensor = build_stream_sensor([contract])

    def run(*, lost_cursor: bool = False) -> dg.SensorResult:
        given = None if lost_cursor else cursor[0]
        context = dg.build_sensor_context(cursor=given, resources=RESOURCES, instance=instance)
        result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        cursor[0] = result.cursor
        return result

    return run


def requested(result: dg.SensorResult) -> dict[str, Any] | None:
    """Return the configuration of the one run that is asked for."""
    requests = result.run_requests or []
    assert len(requests) <= 1
    return dict(requests[0].run_config["ops"]["heal_stream"]["config"]) if requests else None


def launch(instance: dg.DagsterInstance, result: dg.SensorResult) -> dg.ExecuteInProcessResult:
    """Run what a tick asked for."""
    [request] = result.run_requests or []
    return stream_heal.execute_in_process(
        run_config=request.run_config,
        tags=request.tags,
        resources=RESOURCES,
        instance=instance,
        raise_on_error=False,
    )


def add_run(
    instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None
) -> None:
    """Write a run into the history."""
    instance.add_run(dg.DagsterRun(job_name=job, run_id=str(uuid4()), status=status, tags=tags))


def kinds(result: dg.SensorResult) -> list[str]:
    return [f"{type(event).__name__} {event.asset_key.to_user_string()}" for event in result.asset_events]


def test_what_changed_is_told_on_the_stream_and_its_tables(
    contract: DatasetContract, cluster: Cluster, tick: Tick
) -> None:
    keys = [stream_asset("rides"), table_asset(contract.tables.bronze), table_asset(contract.tables.silver)]
    told = [f"{kind} {key.to_user_string()}" for key in keys for kind in ("AssetObservation", "AssetCheckEvaluation")]
    assert kinds(tick())[:6] == told
    assert kinds(tick()) == []
    cluster.state = "RESTARTING"
    ill = tick()
    assert kinds(ill) == told
    observed = ill.asset_events[2]
    assert isinstance(observed, dg.AssetObservation)
    assert observed.metadata["flink_job"].value == "http://flink/a"
    assert observed.metadata["health"].value == "degraded"


def test_tables_that_are_up_to_date_count_as_materialized_every_five_minutes(
    contract: DatasetContract, cluster: Cluster, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [event for event in tick().asset_events if isinstance(event, dg.AssetMaterialization)]
    assert [(event.asset_key.to_user_string(), event.metadata["snapshot_id"].value) for event in made] == [
        (table_asset(contract.tables.bronze).to_user_string(), "5"),
        (table_asset(contract.tables.silver).to_user_string(), "6"),
    ]
    assert kinds(tick()) == []
    monkeypatch.setattr("orchestration.defs.stream_sensors.REPORTED_EVERY", timedelta(0))
    assert len(kinds(tick())) == 2
    cluster.flow = Flow(datetime.now(UTC), lag_records=5, committed_at=datetime.now(UTC) - timedelta(hours=1))
    assert kinds(tick()) == [], "it is behind, and committed nothing since"


def test_no_stream_to_run_is_no_work(cluster: Cluster, tick: Tick, settings: Settings) -> None:
    cluster.state = None
    result = tick()
    assert (kinds(result), requested(result)) == ([], None)
    assert [one.name for one in read_heartbeats(settings)] == ["stream_health"]


def test_a_stream_that_was_stopped_is_not_ill_any_more(cluster: Cluster, tick: Tick) -> None:
    cluster.state = "FAILED"
    tick()
    cluster.state = None
    passed = [event.passed for event in tick().asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    assert passed == [True] * 3
    assert kinds(tick()) == []


def test_a_stream_that_is_down_is_healed_within_its_budget_and_given_up_once(
    cluster: Cluster, tick: Tick, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "orchestration.lakehouse.streams.healing.Budget.of", lambda _: replace(BUDGET, attempts=2, pause_s=0)
    )
    cluster.state, cluster.submitted_at = "CANCELED", datetime.now(UTC) - timedelta(minutes=1)
    for _ in range(2):
        asked = tick()
        assert requested(asked) == {"dataset": "rides", "hung_job": None}
        assert launch(instance, asked).success
    spent = tick()
    assert (
        "deployed 2 times within 30 min and down again: somebody canceled the job"
        in (requested(spent) or {})["given_up"]
    )
    given_up = launch(instance, spent)
    [failure] = [event for event in given_up.all_events if event.is_step_failure]
    cause = failure.step_failure_data.user_failure_data
    assert cause is not None
    assert "stream rides_stream is given up" in (cause.description or "")
    assert [requested(tick()), requested(tick(lost_cursor=True))] == [None, None]
    assert cluster.done == [("heal", None)] * 2
    assert cluster.posted == ["job_canceled", "given_up"], "nothing more is told of a stream that was given up"

    # Somebody deploys it, and it is canceled again: a new budget.
    cluster.submitted_at = datetime.now(UTC) + timedelta(seconds=1)
    assert requested(tick()) == {"dataset": "rides", "hung_job": None}


def test_while_a_run_tries_no_other_one_is_asked_for(
    cluster: Cluster, tick: Tick, instance: dg.DagsterInstance
) -> None:
    cluster.state = "LOST"
    add_run(instance, STREAM_HEAL_JOB, dg.DagsterRunStatus.STARTING, {HEALS: NAME})
    assert [requested(tick()), requested(tick(lost_cursor=True))] == [None, None]


def test_runs_of_another_stream_do_not_count(cluster: Cluster, tick: Tick, instance: dg.DagsterInstance) -> None:
    cluster.state = "LOST"
    for tag in (HEALS, GAVE_UP):
        add_run(instance, STREAM_HEAL_JOB, dg.DagsterRunStatus.STARTED, {tag: "other_stream"})
    assert requested(tick()) is not None


def test_nothing_is_tried_while_a_service_is_silent(cluster: Cluster, tick: Tick) -> None:
    cluster.state, cluster.silent = "FAILED", {"gateway": "the gateway does not answer"}
    assert requested(tick()) is None
    cluster.silent = {}
    assert requested(tick()) is not None


def test_two_ticks_that_know_the_same_ask_for_the_same_run() -> None:
    look = Cluster(state="LOST").look(Settings(), None, datetime(2024, 1, 5, tzinfo=UTC))  # type: ignore[arg-type]
    assert look is not None
    tried = History((datetime(2024, 1, 4, tzinfo=UTC),))
    keys = [
        getattr(to_request("rides", look, Healing("heal", "", 1), history), "run_key", None)
        for history in (History(), History(), tried)
    ]
    assert keys[0] == keys[1] != keys[2]
    assert to_request("rides", look, Healing("wait"), tried) is None


def test_a_hung_job_is_named_to_the_run(cluster: Cluster, instance: dg.DagsterInstance) -> None:
    look = cluster.look(Settings(), None, datetime.now(UTC))  # type: ignore[arg-type]
    assert look is not None
    asked = to_request("rides", look, Healing("heal", "", 1, is_hung=True), History())
    assert asked is not None
    assert launch(instance, dg.SensorResult(run_requests=[asked])).success
    assert cluster.done == [("heal", JOB)]


@pytest.mark.parametrize("cursor", [None, "", "{", '{"flows": 3}'])
def test_a_cursor_of_another_version_counts_as_none(cursor: str | None) -> None:
    assert read_memory(cursor).flows == {}


# --- audit ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def audit(contract: DatasetContract, instance: dg.DagsterInstance) -> Callable[[], list[str | None]]:
    """Let the audit's sensor run once; returns the keys of the runs that it asks for."""
    cursor: list[str | None] = [None]
    sensor = build_audit_sensor([contract])

    def run() -> list[str | None]:
        result = sensor(dg.build_sensor_context(cursor=cursor[0], resources=RESOURCES, instance=instance))
        assert isinstance(result, dg.SensorResult)
        cursor[0] = result.cursor
        return [request.run_key for request in result.run_requests or []]

    return run


def test_malformed_records_that_two_looks_see_ask_for_one_refresh(
    cluster: Cluster, audit: Callable[[], list[str | None]]
) -> None:
    now = datetime.now(UTC)
    cluster.flow = Flow(now, dropped=3, audited="0:10")
    seen = [audit() for _ in range(3)]
    assert seen[0] == []
    assert seen[1] == seen[2] == ["rides_stream:0:10"], "Dagster runs a key once"
    cluster.flow = Flow(now, dropped=0, audited="0:13")
    assert audit() == []
    cluster.flow = Flow(now, dropped=1, audited="0:13")
    assert [audit(), audit()] == [[], ["rides_stream:0:13"]]


def test_the_audit_waits_for_a_refresh_that_runs(
    cluster: Cluster, audit: Callable[[], list[str | None]], instance: dg.DagsterInstance
) -> None:
    cluster.flow = Flow(datetime.now(UTC), dropped=3, audited="0:10")
    add_run(instance, SILVER_JOB, dg.DagsterRunStatus.STARTED)
    assert [audit(), audit()] == [[], []]


def test_the_healing_job_has_the_name_that_the_sensor_asks_for() -> None:
    assert stream_heal.name == STREAM_HEAL_JOB
