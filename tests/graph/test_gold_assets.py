"""The models as assets: what they say before a run, what a build adds to them, and the report behind them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from orchestration.defs.assets import build_assets
from orchestration.defs.assets.gold import asset_spec, build_source_checks, check_spec, kinds_of
from orchestration.defs.assets.report import KEY, build_report
from orchestration.defs.checks import build_checks
from orchestration.defs.dbt_nodes import DbtAsset, DbtCheck, DbtProject
from orchestration.defs.jobs import JOBS
from orchestration.defs.resources import ENGINE_KEY, MillraceSettings, SqlEngineResource
from orchestration.defs.resources import KEY as SETTINGS_KEY
from orchestration.errors import UnreachableError
from orchestration.settings import Settings
from tests.graph.conftest import PROJECT, Outside, dbt_node
from tests.unit.tiny import tiny_contract

REVENUE = DbtAsset(
    "model.p.mart_daily_revenue",
    "mart_daily_revenue",
    "model",
    ("marts", "mart_daily_revenue"),
    (("silver", "rides"),),
    description="Revenue of a day.",
    materialized="table",
    columns=(("date_key", "date", "The day"), ("total_revenue", "decimal(38,2)", "Dollars")),
    checksum="abc",
    relation="lakehouse.gold.mart_daily_revenue",
    file="models/marts/mart_daily_revenue.sql",
    owner="finance",
    tags=("daily",),
)
STAGING = replace(PROJECT.assets[0], file="models/staging/stg_rides.sql", materialized="view")
MARTS = DbtProject(
    assets=(REVENUE, STAGING),
    checks=(DbtCheck("test.p.t", "t", REVENUE.key, severity="warn"),),
    sources={"source.p.silver.rides": ("silver", "rides")},
    source_columns={("silver", "rides"): ("started_at", "fare")},
)


def test_a_model_says_what_it_is_before_its_first_run() -> None:
    spec = asset_spec(REVENUE)
    schema = spec.metadata["dagster/column_schema"]
    assert [(one.name, one.type, one.description) for one in schema.columns] == [
        ("date_key", "date", "The day"),
        ("total_revenue", "decimal(38,2)", "Dollars"),
    ]
    assert (spec.group_name, spec.kinds, list(spec.owners), spec.code_version) == (
        "gold",
        {"dbt", "iceberg", "table"},
        ["team:finance"],
        "abc",
    )
    assert {name: spec.tags[name] for name in ("layer", "daily")} == {"layer": "marts", "daily": ""}
    assert spec.metadata["dagster/table_name"] == "lakehouse.gold.mart_daily_revenue"


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        pytest.param({}, {"dbt", "iceberg", "table"}, id="table in the catalog"),
        pytest.param({"relation": "gold.marts.m"}, {"dbt", "duckdb", "table"}, id="table in a file"),
        pytest.param({"relation": None, "materialized": "view"}, {"dbt", "duckdb", "view"}, id="view"),
        pytest.param({"kind": "seed", "materialized": "seed"}, {"dbt", "iceberg", "seed"}, id="seed"),
    ],
)
def test_a_model_shows_where_it_is_kept(changes: dict[str, Any], kinds: set[str]) -> None:
    assert kinds_of(replace(REVENUE, **changes)) == kinds


@pytest.mark.parametrize(
    ("file", "layer"),
    [
        ("models/marts/core/fct.sql", "marts"),
        ("models/staging/stg.sql", "staging"),
        ("models/lone.sql", "models"),
        ("seeds/codes.csv", "seeds"),
        ("", ""),
    ],
)
def test_the_layer_of_a_model_is_its_folder(file: str, layer: str) -> None:
    assert replace(REVENUE, file=file).layer == layer


def test_a_check_says_how_bad_it_is_when_rows_break_it() -> None:
    assert check_spec(MARTS.checks[0]).metadata == {"severity": "warn"}


@pytest.fixture
def marts(monkeypatch: pytest.MonkeyPatch, outside: Outside, settings: Settings) -> Outside:
    """dbt built a mart of two days and left its compiled SQL."""
    connection = duckdb.connect()
    connection.execute(
        """
        create schema marts;
        create table marts.mart_daily_revenue as
            select date '2024-01-01' + i::int as date_key, 3 as total_trips, (10 * i)::decimal(38, 2) as total_revenue,
                i = 6 as is_weekend, i = 0 as is_holiday
            from (values (1), (0)) as days (i);
        """
    )
    local = settings.with_changes(gold_target="duckdb")
    monkeypatch.setattr("orchestration.defs.resources.load_settings", lambda *_: local)
    monkeypatch.setattr("orchestration.dbt_plugin.gold.connect_gold", lambda _: nullcontext(connection))
    compiled = settings.instance_dir / "dbt" / "compiled" / "p" / REVENUE.file
    compiled.parent.mkdir(parents=True)
    compiled.write_text(
        "select started_at::date as date_key, sum(fare) as total_revenue from lakehouse.silver.rides group by all"
    )
    outside.dbt = (dbt_node(REVENUE.unique_id, "success"), dbt_node(STAGING.unique_id, "success"))
    return outside


def build(project: DbtProject, *keys: dg.AssetKey, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Materialize assets of a location with this project."""
    contract = tiny_contract()
    location = dg.Definitions(
        assets=build_assets([contract], project),
        asset_checks=[*build_checks(contract), *build_source_checks(project)],
        jobs=JOBS,
        resources={SETTINGS_KEY: MillraceSettings(), ENGINE_KEY: SqlEngineResource()},
    )
    job = location.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(asset_selection=list(keys), instance=instance)


def metadata_of(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, Any]:
    """Return the metadata of the only materialization of an asset."""
    [event] = [event for event in result.all_events if event.is_step_materialization and event.asset_key == key]
    return dict(event.step_materialization_data.materialization.metadata)


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
@pytest.mark.usefixtures("marts")
def test_a_built_mart_shows_rows_plot_and_where_its_columns_come_from() -> None:
    key = dg.AssetKey(REVENUE.key)
    with dg.DagsterInstance.ephemeral() as instance:
        metadata = metadata_of(build(MARTS, key, instance=instance), key)
    assert [record.data["date_key"] for record in metadata["first_rows"].records] == ["2024-01-01", "2024-01-02"]
    assert metadata["first_rows"].records[1].data["total_revenue"] == "10.00"
    assert metadata["plot"].value.startswith("![Revenue by day](data:image/svg+xml;base64,")
    assert metadata["plot_says"].value.startswith("$10 from 1 Jan 2024 to 2 Jan 2024.")
    lineage = metadata["dagster/column_lineage"].value.deps_by_column
    assert lineage["total_revenue"] == [dg.TableColumnDep(dg.AssetKey(["silver", "rides"]), "fare")]


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
@pytest.mark.usefixtures("marts")
def test_a_model_that_was_built_beside_those_asked_for_is_not_recorded() -> None:
    key = dg.AssetKey(REVENUE.key)
    with dg.DagsterInstance.ephemeral() as instance:
        result = build(MARTS, key, instance=instance)
    assert result.success
    assert {event.asset_key for event in result.all_events if event.is_step_materialization} == {key}


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
@pytest.mark.usefixtures("marts")
def test_a_mart_that_cannot_be_looked_at_stays_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Settings) -> duckdb.DuckDBPyConnection:
        raise UnreachableError("the catalog does not answer")

    monkeypatch.setattr("orchestration.dbt_plugin.gold.connect_gold", refuse)
    key = dg.AssetKey(REVENUE.key)
    with dg.DagsterInstance.ephemeral() as instance:
        result = build(MARTS, key, instance=instance)
    assert result.success
    assert "plot" not in metadata_of(result, key)


def test_the_report_stands_behind_marts_and_counted_tables_and_in_no_job() -> None:
    report = build_report([tiny_contract(), tiny_contract(name="other", tables=OTHER)], MARTS)
    assert {key.to_user_string() for key in report.asset_deps[KEY]} == {
        "landing/rides",
        "bronze/raw_rides",
        "silver/rides",
        "silver/refused_rides",
        "marts/mart_daily_revenue",
    }
    from orchestration.definitions import defs

    repository = defs.get_repository_def()
    holding = {
        job.name
        for job in repository.get_all_jobs()
        if KEY in job.asset_layer.executable_asset_keys and not job.name.startswith("__")
    }
    assert holding == set()


OTHER = {"bronze": "bronze.other", "silver": "silver.other", "rejected": "silver.refused_other"}


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_the_report_writes_the_page_and_says_it_in_short(
    outside: Outside, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.lakehouse.freshness import LayerState
    from orchestration.report import accounting, content

    layers = (LayerState("bronze", None, 0, "records"), LayerState("silver", None, 0, "rows"))
    local = settings.with_changes(gold_target="duckdb")
    monkeypatch.setattr("orchestration.defs.resources.load_settings", lambda *_: local)
    monkeypatch.setattr("orchestration.contracts.resolve.active_contract", lambda _: tiny_contract())
    monkeypatch.setattr(content, "connect_gold", lambda _: duckdb.connect())
    monkeypatch.setattr(content, "read_layers", lambda *_: layers)
    monkeypatch.setattr(content, "read_tables", lambda *_: [])
    monkeypatch.setattr(accounting, "count_layers", lambda *_: outside.counts)
    monkeypatch.setattr(accounting, "_count_by_rule", lambda *_: ())
    monkeypatch.setattr(accounting, "_snapshots", lambda *_: [])
    with dg.DagsterInstance.ephemeral() as instance:
        result = build(MARTS, KEY, instance=instance)
        metadata = metadata_of(result, KEY)
    page = Path(str(metadata["page"].value))
    assert page == settings.instance_dir / "report.html"
    assert result.run_id in page.read_text(encoding="utf-8")
    assert metadata["accounting"].value == "holds"
    assert "- 94 produced = 90 landed in bronze + 4 dead-lettered" in metadata["equations"].value
    assert metadata["revenue"].value == "no rows"
