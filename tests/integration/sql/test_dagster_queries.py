"""Persistent queries through Dagster on the real stack: deployed once, right to the cent, and brought back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from orchestration.broker.client import open_admin
from orchestration.broker.offsets import log_offsets
from orchestration.broker.read import read_records
from orchestration.dbt_plugin.attach import connect
from orchestration.defs.jobs import query_reconcile
from orchestration.defs.queries import build_queries
from orchestration.defs.resources import ENGINE_KEY, SqlEngineResource
from orchestration.defs.sensors import build_sensor
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.queries.listing import QueryView
from orchestration.flink.queries.spec import QuerySpec
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for
from tests.integration.home import Home, open_home
from tests.integration.lake import Lake

pytestmark = pytest.mark.stack

ROWS, DIRTY = 4000, 0.05
KAFKA, ICEBERG = "revenue_per_zone", "revenue_per_zone_iceberg"
POLL = Backoff(0.2, 1.0)
Revenue = dict[tuple[str, int], tuple[int, Decimal]]
"""(start of the window, zone) to (trips, dollars)."""


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a dirty month on the topic and in bronze; its queries are deleted at the end.

    A few trips of the next month move the watermark over the end of the first one, so that all of its windows close.
    """
    folder = tmp_path_factory.mktemp("queries")
    namespace = f"t{folder.name.strip('-_')}"[:32].lower()
    with open_home(settings, folder, SQL_ENGINE_NAMESPACE=namespace) as opened:
        lake = opened.lake
        lake.land(lake.sample("2024-01", ROWS, DIRTY))
        lake.land(lake.sample("2024-02", 200))
        lake.bronze()
        yield opened
        with open_engine(opened.settings) as engine:
            for view in engine.list():
                engine.delete(view.name, drop_data=True)


@pytest.fixture(scope="module")
def engine(home: Home) -> Iterator[SqlEngine]:
    """The engine of the home."""
    with open_engine(home.settings) as opened:
        yield opened


def queries(engine: SqlEngine) -> dict[str, QueryView]:
    return {view.name: view for view in engine.list()}


@pytest.fixture(scope="module")
def deployed(home: Home, engine: SqlEngine) -> dict[str, QueryView]:
    """Both declared queries, materialized by Dagster's own command."""
    ended = home.script("dg", "launch", "--assets", "group:queries")
    assert ended.code == 0, ended.err
    return queries(engine)


def test_materializing_deploys_and_a_second_time_changes_nothing(
    home: Home, engine: SqlEngine, deployed: dict[str, QueryView]
) -> None:
    assert {name: view.state for name, view in deployed.items()} == {KAFKA: "RUNNING", ICEBERG: "RUNNING"}
    ended = home.script("dg", "launch", "--assets", "group:queries")
    assert ended.code == 0, ended.err
    after = queries(engine)
    assert {view.job_id for view in after.values()} == {view.job_id for view in deployed.values()}
    names = [job.name for job in engine.rest.jobs_overview()]
    assert [names.count(view.job_name) for view in after.values()] == [1, 1]


def test_a_scrape_of_the_metrics_shows_the_jobs(engine: SqlEngine, deployed: dict[str, QueryView]) -> None:
    lines = engine.metrics.text().decode().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert samples["sql_engine_cluster_up"] == "1.0"
    assert samples['sql_engine_persistent_queries{state="RUNNING"}'] == "2.0"
    for name in deployed:
        assert samples[f'sql_engine_job_restarts{{query="{name}"}}'] == "0.0"
        assert float(samples[f'sql_engine_job_uptime_seconds{{query="{name}"}}']) > 0


def test_revenue_per_zone_is_what_duckdb_computes_from_bronze(
    home: Home, engine: SqlEngine, deployed: dict[str, QueryView]
) -> None:
    for name in (KAFKA, ICEBERG):
        read_all(engine, name)
        engine.stop(name, "savepoint")
    expected = from_bronze(home.lake)
    assert sum(trips for trips, _ in of_january(expected).values()) > ROWS * (1 - DIRTY)
    for found in (from_topic(home.settings, KAFKA), from_iceberg(home.settings)):
        assert of_january(found) == of_january(expected)
        assert {key: expected.get(key) for key in found} == found


def of_january(revenue: Revenue) -> Revenue:
    return {key: value for key, value in revenue.items() if key[0] < "2024-02"}


def read_all(engine: SqlEngine, name: str) -> None:
    """Wait until a query has read its topic."""

    def look() -> tuple[bool | None, object]:
        lag = queries(engine)[name].lag_records
        return (True if lag == 0 else None), lag

    wait_for(look, what=f"{name} to read its topic", timeout_s=60, backoff=POLL)


def from_bronze(lake: Lake) -> Revenue:
    rows = lake.query(
        "SELECT strftime(time_bucket(INTERVAL 10 MINUTE, tpep_pickup_datetime), '%Y-%m-%d %H:%M:%S'), PULocationID, "
        "count(*), sum(total_amount::DECIMAL(10, 2)) FROM {bronze} "
        "WHERE tpep_pickup_datetime >= '2024-01-01' AND tpep_pickup_datetime < '2025-01-01' AND total_amount > 0 "
        "GROUP BY ALL"
    )
    return {(start, zone): (trips, revenue) for start, zone, trips, revenue in rows}


def from_topic(settings: Settings, topic: str) -> Revenue:
    ranges = {partition: (log.start, log.end) for partition, log in log_offsets(settings, topic).items()}
    records = [record for batch in read_records(settings, topic, ranges) for record in batch]
    rows = [json.loads(record.value or b"{}", parse_float=Decimal, parse_int=int) for record in records]
    found = {(row["window_start"], row["zone_id"]): (row["trips"], Decimal(row["revenue"])) for row in rows}
    assert len(found) == len(rows), "a window came twice"
    return found


def from_iceberg(settings: Settings) -> Revenue:
    with connect(settings) as connection:
        rows = connection.execute(
            "SELECT strftime(window_start, '%Y-%m-%d %H:%M:%S'), zone_id, trips, revenue "
            "FROM lakehouse.streams.revenue_per_zone"
        ).fetchall()
    found = {(start, zone): (trips, revenue) for start, zone, trips, revenue in rows}
    assert len(found) == len(rows), "a window came twice"
    return found


# --- a job that dies --------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """A query as an asset, its sensor, and its repair, in this process."""

    spec: QuerySpec
    instance: dg.DagsterInstance
    cursor: str | None = None

    def materialize(self) -> dict[str, Any]:
        result = dg.materialize(
            build_queries([self.spec], [], {}), instance=self.instance, resources={ENGINE_KEY: SqlEngineResource()}
        )
        [made] = result.get_asset_materialization_events()
        assert [check.description for check in result.get_asset_check_evaluations()] == ["no trouble found"]
        return {name: value.value for name, value in made.materialization.metadata.items()}

    def tick(self) -> dg.SensorResult:
        context = dg.build_sensor_context(cursor=self.cursor, resources={ENGINE_KEY: SqlEngineResource()})
        result = build_sensor([self.spec.name])(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def repair(self) -> None:
        """Run the job that the sensor asks for."""
        location = dg.Definitions(jobs=[query_reconcile], resources={ENGINE_KEY: SqlEngineResource()})
        assert location.resolve_job_def(query_reconcile.name).execute_in_process(instance=self.instance).success


@pytest.fixture
def watched(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """A query into a topic, whose job fails soon after the topic is gone."""
    monkeypatch.setattr("orchestration.defs.resources.load_settings", lambda *_: home.settings)
    impatient = {"delivery.timeout.ms": 2000, "request.timeout.ms": 1000, "max.block.ms": 2000, "linger.ms": 0}
    options = {f"properties.{name}": value for name, value in impatient.items()}
    spec = QuerySpec.model_validate(
        {
            "name": "numbers",
            "query": "SELECT n + 1 AS n FROM numbers_source",
            "inputs": (
                "CREATE TEMPORARY TABLE numbers_source (n BIGINT) WITH ('connector' = 'datagen', "
                "'rows-per-second' = '5', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', "
                "'fields.n.end' = '5000')",
            ),
            "sink": {"profile": "kafka", "options": options},
            "execution": {"restart-strategy.type": "none"},
            "parallelism": 1,
            "checkpoint_interval": "1 s",
            "restart_policy": {"kind": "on_failure"},
        }
    )
    with dg.DagsterInstance.ephemeral() as instance:
        yield Watched(spec, instance)


def outcome(result: dg.SensorResult) -> list[tuple[bool, str | None]]:
    return [(one.passed, one.description) for one in result.asset_events if isinstance(one, dg.AssetCheckEvaluation)]


def until(look: Callable[[], object], what: str, poll: Backoff = POLL) -> None:
    wait_for(lambda: ((True if look() else None), "not yet"), what=what, timeout_s=60, backoff=poll)


def test_a_job_that_failed_is_seen_by_the_sensor_and_brought_back_by_the_repair(
    home: Home, engine: SqlEngine, watched: Watched
) -> None:
    made = watched.materialize()
    first = made["flink_job_id"]
    assert (made["was_unchanged"], made["connector"]) == (False, "kafka")
    healthy = watched.tick()
    assert (outcome(healthy), healthy.run_requests) == ([(True, "no trouble found")], [])
    until(lambda: engine.rest.checkpoints(first).counts.completed, "a checkpoint")

    # The repair makes it anew.
    admin = open_admin(home.settings)
    admin.delete_topics([made["topic"]])[made["topic"]].result()
    until(lambda: engine.rest.job(first).state == "FAILED", "the job to fail")
    [(passed, why)] = outcome(result := watched.tick())
    assert not passed
    assert (why or "").startswith("the job failed: ")
    assert len(result.run_requests or []) == 1

    def is_back() -> bool:
        watched.repair()
        return queries(engine)["numbers"].state == "RUNNING"

    until(is_back, "the repair to start it again, 10 s after it failed", Backoff(2.0, 2.0))
    view = queries(engine)["numbers"]
    assert view.job_id != first
    assert view.job_id is not None
    assert engine.rest.checkpoints(view.job_id).latest.restored is not None
    back = watched.tick()
    assert (outcome(back), back.run_requests) == ([(True, "no trouble found")], [])
    assert watched.materialize()["was_unchanged"]

    watched.spec = watched.spec.model_copy(update={"query": "SELECT n + 2 AS n FROM numbers_source"})
    changed = watched.materialize()
    assert (changed["was_unchanged"], changed["generation"]) == (False, 2)
    assert changed["flink_job_id"] != view.job_id
    assert changed["restored_from"]
