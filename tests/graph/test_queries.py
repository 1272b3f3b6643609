"""Persistent queries in Dagster, on an engine without Flink: assets, their repair, and the sensor that watches them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg
import pytest

from orchestration.contracts import DatasetContract
from orchestration.defs.jobs import query_reconcile
from orchestration.defs.keys import query_asset
from orchestration.defs.queries import HEALTHY, build_queries, deploy_query, known_tables, parents, paths_in, run_sql
from orchestration.defs.resources import ENGINE_KEY, SqlEngineResource
from orchestration.defs.sensors import build_sensor, read_memory
from orchestration.errors import JobFailedError, UnreachableError
from orchestration.flink.client.models import JobOverview
from orchestration.flink.fake_engine import Answer, FakeEngine
from orchestration.flink.monitoring.rounds import Memory
from orchestration.flink.queries.reconcile import Repair
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import QueryState
from orchestration.flink.reading.rows import Change, Column
from orchestration.settings import Settings

SPEC = QuerySpec(
    name="fares",
    query="SELECT fare FROM rides_raw",
    sink={"profile": "kafka", "table": "fares"},  # type: ignore[arg-type]
    labels={"owner": "mobility", "dataset": "rides"},
)
KEY = query_asset("fares")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> FakeEngine:
    """The engine that every resource opens."""
    made = FakeEngine()
    monkeypatch.setattr("orchestration.defs.resources.load_settings", lambda *_: settings)
    use(monkeypatch, made)
    return made


def use(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> None:
    monkeypatch.setattr("orchestration.flink.provider.open_stream_engine", lambda _: engine)


def location(contract: DatasetContract, *specs: QuerySpec) -> dg.Definitions:
    return dg.Definitions(
        assets=build_queries(specs, [contract], {}),
        jobs=[query_reconcile],
        sensors=[build_sensor(spec.name for spec in specs)],
        resources={ENGINE_KEY: SqlEngineResource()},
    )


def materialize(contract: DatasetContract, spec: QuerySpec, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    [asset] = build_queries([spec], [contract], {})
    return dg.materialize([asset], instance=instance, resources={ENGINE_KEY: SqlEngineResource()}, raise_on_error=False)


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    [made] = result.asset_materializations_for_node("queries__fares")
    return {name: value.value for name, value in made.metadata.items()}


# --- assets -----------------------------------------------------------------------------------------------------------


def test_materializing_deploys_and_doing_it_again_changes_nothing(
    contract: DatasetContract, engine: FakeEngine
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first, again = (materialize(contract, SPEC, instance) for _ in range(2))
    [view] = engine.list()
    assert (view.state, view.generation) == ("RUNNING", 1)
    assert [metadata(result)["flink_job_id"] for result in (first, again)] == [view.job_id] * 2
    assert [metadata(result)["was_unchanged"] for result in (first, again)] == [False, True]
    assert metadata(first)["dagster/table_name"] == "fares"
    assert [check.passed for check in again.get_asset_check_evaluations()] == [True]


def test_an_asset_of_ones_own_deploys_and_asks(engine: FakeEngine) -> None:
    engine.answers["SELECT 1 AS a"] = Answer((Column("a", "INT", is_nullable=False),), (Change("INSERT", (1,)),))

    @dg.asset(required_resource_keys={ENGINE_KEY})
    def own(context) -> dg.MaterializeResult[Any]:
        with context.resources.sql_engine.open() as opened:
            run_sql(opened, "SELECT 1 AS a")
            return deploy_query(opened, SPEC)

    result = dg.materialize([own], resources={ENGINE_KEY: SqlEngineResource()})
    [made] = result.asset_materializations_for_node("own")
    assert made.metadata["flink_job_id"].value == engine.list()[0].job_id


def test_a_changed_text_replaces_the_job(contract: DatasetContract, engine: FakeEngine) -> None:
    changed = SPEC.model_copy(update={"query": "SELECT fare, start FROM rides_raw"})
    with dg.DagsterInstance.ephemeral() as instance:
        first, second = (materialize(contract, spec, instance) for spec in (SPEC, changed))
    assert (metadata(second)["generation"], metadata(second)["was_unchanged"]) == (2, False)
    assert metadata(first)["query_id"] == metadata(second)["query_id"]


def test_sql_that_is_refused_fails_the_run_with_one_clear_line(contract: DatasetContract, engine: FakeEngine) -> None:
    broken = SPEC.model_copy(update={"query": "SELECT * FROM rides_raw EMIT CHANGES"})
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(contract, broken, instance)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    cause = failure.step_failure_data.error
    assert cause is not None
    assert "EMIT CHANGES" in cause.message
    assert engine.list() == []


def test_an_asset_tells_what_it_is_before_any_run(contract: DatasetContract) -> None:
    [asset] = build_queries([SPEC], [contract], {})
    spec = asset.get_asset_spec(KEY)
    assert spec.code_version == SPEC.spec_hash
    assert (spec.group_name, spec.kinds, spec.owners) == ("queries", {"flink", "kafka"}, ["team:mobility"])
    assert [check.name for check in asset.check_specs] == [HEALTHY.name]
    assert [dep.asset_key.to_user_string() for dep in spec.deps] == ["landing/rides"]


@pytest.mark.parametrize(
    ("query", "inputs", "expected"),
    [
        pytest.param("SELECT fare FROM rides_raw", (), ["landing/rides"], id="the topic"),
        pytest.param("SELECT fare FROM `default_catalog`.default_database.rides_raw", (), ["landing/rides"], id="path"),
        pytest.param("SELECT a FROM lakehouse.silver.rides", (), ["silver/rides"], id="silver"),
        pytest.param("SELECT a FROM `silver` . `rides`", (), ["silver/rides"], id="without the catalog"),
        pytest.param("SELECT a FROM BRONZE.RAW_RIDES AS r", (), ["bronze/raw_rides"], id="in upper case"),
        pytest.param("SELECT a FROM s", ("rides_raw",), ["landing/rides"], id="a declared input"),
        pytest.param("SELECT a FROM late_rides", (), ["landing/rides"], id="a declared table that reads it"),
        pytest.param("SELECT a FROM streams.totals", (), ["queries/totals"], id="the sink of another query"),
        pytest.param("SELECT a FROM fares", (), [], id="never its own sink"),
        pytest.param("SELECT 'rides_raw' AS a FROM t -- rides_raw", (), [], id="not in strings and comments"),
    ],
)
def test_deps_are_the_assets_whose_tables_the_query_reads(
    contract: DatasetContract, query: str, inputs: tuple[str, ...], expected: list[str]
) -> None:
    spec = SPEC.model_copy(update={"query": query, "inputs": inputs})
    other = QuerySpec(name="totals", query="SELECT 1", sink={"profile": "iceberg", "table": "streams.totals"})  # type: ignore[arg-type]
    declared = {"late_rides": "CREATE TABLE late_rides LIKE `default_catalog`.`default_database`.`rides_raw`"}
    found = parents(spec, known_tables([contract], [spec, other]), declared)
    assert [key.to_user_string() for key in found] == expected


def test_paths_are_read_across_quotes_and_blanks() -> None:
    assert paths_in("SELECT t.a FROM `x` . y.z /* b.c */ AS t") >= {("t", "a"), ("x", "y", "z")}


def test_a_query_gives_a_materialization_with_its_rows(engine: FakeEngine) -> None:
    columns = (Column("zone", "INT", is_nullable=True), Column("at", "TIMESTAMP(3)", is_nullable=False))
    rows = tuple(Change("INSERT", (None, datetime(2024, 1, 5, number))) for number in range(22))
    engine.answers["SELECT zone, at FROM t"] = Answer(columns, rows)
    shown = run_sql(engine, "SELECT zone, at FROM t").metadata or {}
    assert shown["dagster/row_count"].value == 22  # type: ignore[union-attr]
    assert shown["ended_by"].value == "eos"  # type: ignore[union-attr]
    records = shown["first_rows"].records  # type: ignore[union-attr]
    assert len(records) == 20
    assert records[1].data == {"op": "INSERT", "zone": "NULL", "at": "2024-01-05T01:00:00"}


# --- repair -----------------------------------------------------------------------------------------------------------


@dataclass
class Rest:
    """The cluster, as far as a look at it goes."""

    jobs: tuple[JobOverview, ...] = ()

    def jobs_overview(self) -> tuple[JobOverview, ...]:
        return self.jobs


@dataclass
class Registry:
    """Records that allow nothing."""

    namespace: str = "default"

    def active(self) -> list[Any]:
        return []


@dataclass
class Watchable(FakeEngine):
    """The fake with what Flink's engine has besides."""

    repairs: list[Repair] = field(default_factory=list)
    reconciled: list[bool] = field(default_factory=list)
    silent: str = ""
    rest: Any = field(default_factory=Rest)
    registry: Any = field(default_factory=Registry)

    def __post_init__(self) -> None:
        super().__init__()

    def probe(self) -> None:
        if self.silent:
            raise UnreachableError(f"the {self.silent} does not answer", context={"code": f"{self.silent}_unreachable"})

    def reconcile(self, *, recover: bool = False) -> list[Repair]:
        self.reconciled.append(recover)
        return self.repairs


@pytest.fixture
def watchable(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Watchable:
    """An engine that can be watched and repaired."""
    made = Watchable()
    use(monkeypatch, made)
    return made


def repair(error: str | None = None) -> Repair:
    return Repair("0a1b2c3d", "fares", "restart", QueryState.FAILED, QueryState.RUNNING, "its job failed", error)


@pytest.mark.parametrize("recover", [False, True])
def test_the_repair_job_reconciles(contract: DatasetContract, watchable: Watchable, recover: bool) -> None:
    watchable.repairs = [repair()]
    config = {"ops": {"reconcile_queries": {"config": {"recover": recover}}}}
    result = location(contract, SPEC).resolve_job_def("query_reconcile").execute_in_process(run_config=config)
    assert (result.success, watchable.reconciled) == (True, [recover])


def test_a_repair_that_fails_fails_the_run(contract: DatasetContract, watchable: Watchable) -> None:
    watchable.repairs = [repair(), repair("no slots")]
    job = location(contract, SPEC).resolve_job_def("query_reconcile")
    result = job.execute_in_process(raise_on_error=False)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "1 of 2 repairs failed: fares: no slots" in str(failure.step_failure_data.error)


def test_an_engine_without_registry_cannot_be_repaired(contract: DatasetContract, engine: FakeEngine) -> None:
    result = location(contract, SPEC).resolve_job_def("query_reconcile").execute_in_process(raise_on_error=False)
    assert not result.success


# --- sensor -----------------------------------------------------------------------------------------------------------


Tick = Callable[[], dg.SensorResult]


@pytest.fixture
def tick(engine: FakeEngine) -> Tick:
    """Let the sensor run once, with the cursor that it left."""
    cursor: list[str | None] = [None]
    sensor = build_sensor([SPEC.name])

    def run() -> dg.SensorResult:
        context = dg.build_sensor_context(cursor=cursor[0], resources={ENGINE_KEY: SqlEngineResource()})
        result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        cursor[0] = result.cursor
        return result

    return run


def described(result: dg.SensorResult) -> list[tuple[str, Any]]:
    return [
        ("check", event.passed) if isinstance(event, dg.AssetCheckEvaluation) else ("observed", event.description)
        for event in result.asset_events
    ]


def test_the_sensor_tells_what_changed_and_nothing_else(engine: FakeEngine, tick: Tick) -> None:
    engine.deploy(SPEC)
    healthy = [("observed", "no trouble found"), ("check", True)]
    assert described(tick()) == healthy
    assert described(tick()) == []
    engine.set_state("fares", QueryState.LOST)
    assert described(tick()) == [("observed", "the cluster no longer knows the job"), ("check", False)]
    assert described(tick()) == []
    engine.deploy(SPEC)
    assert described(tick()) == healthy


def test_a_job_that_is_down_asks_for_one_run_of_the_repair(engine: FakeEngine, tick: Tick) -> None:
    engine.deploy(SPEC)
    assert tick().run_requests == []
    engine.set_state("fares", QueryState.LOST)
    keys = {request.run_key for _ in range(2) for request in tick().run_requests or []}
    assert len(keys) == 1


def test_queries_without_an_asset_are_told_by_alerts_alone(
    engine: FakeEngine, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("orchestration.defs.sensors.send", lambda *args: told.extend(a.key for a in args[-1]))
    engine.deploy(QuerySpec(name="elsewhere", query="SELECT a FROM t"))
    engine.set_state("elsewhere", QueryState.LOST)
    assert [tick().asset_events, tick().asset_events] == [[], []]
    assert told == ["elsewhere:job_lost"]


def test_a_cluster_that_is_down_is_no_failed_tick(watchable: Watchable, tick: Tick) -> None:
    watchable.silent = "cluster"
    result = tick()
    assert (result.run_requests, result.asset_events) == ([], [])
    assert list(read_memory(result.cursor).silent) == ["cluster"]


def test_a_gateway_that_is_down_keeps_nobody_from_judging_the_jobs(watchable: Watchable, tick: Tick) -> None:
    watchable.silent = "gateway"
    watchable.deploy(SPEC)
    watchable.set_state("fares", QueryState.LOST)
    result = tick()
    assert described(result)[-1] == ("check", False)
    assert list(read_memory(result.cursor).silent) == ["gateway"]


def test_a_job_of_ours_without_record_is_an_alert(
    watchable: Watchable, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("orchestration.defs.sensors.send", lambda *args: told.extend(a.key for a in args[-1]))
    watchable.rest = Rest((JobOverview(jid="a" * 32, name="default.gone.0a1b2c3d", state="RUNNING"),))
    assert tick().run_requests == []
    assert told == ["default.gone.0a1b2c3d:registry_mismatch"]


def test_the_webhook_of_the_settings_gets_the_alerts(
    engine: FakeEngine, tick: Tick, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    posted: list[tuple[str, str]] = []
    own = settings.with_changes(sql_engine_alert_webhook="https://chat.example/hook")
    monkeypatch.setattr("orchestration.defs.resources.load_settings", lambda *_: own)
    monkeypatch.setattr(
        "orchestration.flink.monitoring.alerts.Alerts._post",
        lambda _, url, alerts: posted.extend((url, a.code) for a in alerts),
    )
    engine.deploy(SPEC)
    engine.set_state("fares", QueryState.FAILED)
    for _ in range(2):
        tick()
    assert posted == [("https://chat.example/hook", "deploy_failed")]


def test_a_cursor_of_another_version_starts_anew() -> None:
    assert read_memory('{"told": 7}') == read_memory("not json") == read_memory(None) == Memory()


# --- the resource -----------------------------------------------------------------------------------------------------


def test_the_snapshot_of_the_location_holds_names_only(contract: DatasetContract) -> None:
    resource = SqlEngineResource(sql_engine_namespace="mine", flink_rest_url="http://flink:8081")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        text = json.dumps(
            dg.Definitions(resources={ENGINE_KEY: resource})
            .get_repository_def()
            .get_top_level_resources()[ENGINE_KEY]
            .config_schema.default_value
        )
    assert "http://flink:8081" in text
    with pytest.raises(ValueError, match="FLINK_AUTH_HEADER_FILE"):
        SqlEngineResource(flink_rest_url="http://admin:hunter22@flink:8081")


def test_what_the_resource_is_given_goes_before_the_settings(engine: FakeEngine, settings: Settings) -> None:
    loaded = SqlEngineResource(sql_engine_namespace="mine", stream_engine_provider="fake").load()
    assert (loaded.sql_engine_namespace, loaded.stream_engine_provider) == ("mine", "fake")
    assert loaded.state_dir == settings.state_dir
    assert SqlEngineResource().load() is settings


def test_a_failing_read_is_an_error_of_ours_not_a_crash(engine: FakeEngine, tick: Tick) -> None:
    def fail() -> None:
        raise JobFailedError("the registry is locked")

    engine.list = fail  # type: ignore[method-assign,assignment]
    with pytest.raises(JobFailedError, match="locked"):
        tick()
