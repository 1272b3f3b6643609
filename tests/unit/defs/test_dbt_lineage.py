"""Where columns come from, by the SQL that dbt compiled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestration.defs import dbt_lineage
from orchestration.defs.dbt_lineage import read_lineage, trace
from orchestration.defs.dbt_nodes import DbtAsset, DbtProject
from orchestration.settings import Settings

RIDES, STAGING, ZONES = ("silver", "rides"), ("staging", "stg_rides"), ("raw", "zones")


def model(name: str, *columns: str, schema: str = "marts") -> DbtAsset:
    """Return a model with documented columns."""
    return DbtAsset(
        f"model.p.{name}",
        name,
        "model",
        (schema, name),
        (),
        columns=tuple((column, "int", "") for column in columns),
        file=f"models/{schema}/{name}.sql",
    )


STG = model("stg_rides", "ride_id", "fare", "zone_id", schema="staging")
PROJECT = DbtProject(
    assets=(
        STG,
        DbtAsset("seed.p.zones", "zones", "seed", ZONES, (), columns=(("zone_id", "int", ""), ("name", "", ""))),
    ),
    checks=(),
    sources={"source.p.silver.rides": RIDES},
    source_columns={RIDES: ("ride_id", "fare", "zone_id")},
)


@pytest.mark.parametrize(
    ("sql", "column", "parents"),
    [
        pytest.param('select fare from "lakehouse"."silver"."rides"', "fare", [(RIDES, "fare")], id="as it is"),
        pytest.param('select fare * 2 as x from "gold"."staging"."stg_rides"', "x", [(STAGING, "fare")], id="formula"),
        pytest.param("select * from lakehouse.silver.rides", "zone_id", [(RIDES, "zone_id")], id="star"),
        pytest.param(
            "with rides as (select * from g.staging.stg_rides)"
            " select *, sum(fare) over (order by ride_id) as x from rides",
            "x",
            [(STAGING, "fare"), (STAGING, "ride_id")],
            id="window behind a CTE",
        ),
        pytest.param(
            "with zones as (select * from raw.zones) select zones.name as x from g.staging.stg_rides as r"
            " left join zones using (zone_id)",
            "x",
            [(ZONES, "name")],
            id="a CTE with the name of a table",
        ),
        pytest.param(
            "select coalesce(z.name, stg_rides.zone_id::varchar) as x from g.staging.stg_rides join g.raw.zones z"
            " on z.zone_id = stg_rides.zone_id",
            "x",
            [(ZONES, "name"), (STAGING, "zone_id")],
            id="two tables, one by its own name",
        ),
        pytest.param("select count(*) as x from g.staging.stg_rides", "x", [], id="a count has no column"),
        pytest.param(
            "select fare as x from g.staging.stg_rides union all select zone_id from raw.zones",
            "x",
            [(ZONES, "zone_id"), (STAGING, "fare")],
            id="union",
        ),
    ],
)
def test_a_column_comes_from(sql: str, column: str, parents: list[object]) -> None:
    assert list(trace(sql, model("m", column), PROJECT)[column]) == parents


def test_a_column_that_the_query_does_not_make_has_no_lineage() -> None:
    assert trace("select fare from lakehouse.silver.rides", model("m", "fare", "gone"), PROJECT).keys() == {"fare"}


def test_sql_that_cannot_be_read_has_none_and_breaks_nothing() -> None:
    assert trace("select from where (", model("m", "fare"), PROJECT) == {}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An instance in which dbt compiled one model, and a project of one file."""
    compiled = tmp_path / "state" / "default" / "dbt" / "compiled" / "p" / "models" / "staging"
    compiled.mkdir(parents=True)
    (compiled / "stg_rides.sql").write_text("select ride_id, fare, zone_id from lakehouse.silver.rides")
    (tmp_path / "dbt").mkdir()
    (tmp_path / "dbt" / "dbt_project.yml").write_text("name: p")
    return Settings(repo_root=tmp_path, state_dir=tmp_path / "state", datasets_dir=tmp_path)


def test_what_was_found_is_kept_until_a_file_of_the_project_changes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[str] = []
    real = dbt_lineage.trace

    def counting(sql: str, asset: DbtAsset, project: DbtProject) -> dbt_lineage.Lineage:
        traced.append(asset.name)
        return real(sql, asset, project)

    monkeypatch.setattr(dbt_lineage, "trace", counting)
    first = read_lineage(settings, PROJECT, PROJECT.assets)
    assert first[STAGING]["fare"] == ((RIDES, "fare"),)
    assert read_lineage(settings, PROJECT, PROJECT.assets) == first
    assert traced == ["stg_rides"]
    (settings.repo_root / "dbt" / "dbt_project.yml").write_text("name: q")
    assert read_lineage(settings, PROJECT, PROJECT.assets) == first
    assert traced == ["stg_rides", "stg_rides"]


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"state": "old", "models": {}})])
def test_a_broken_or_old_file_is_written_anew(settings: Settings, content: str) -> None:
    (settings.instance_dir / "dbt" / "column_lineage.json").write_text(content)
    assert STAGING in read_lineage(settings, PROJECT, PROJECT.assets)


def test_a_model_that_was_never_compiled_has_none(settings: Settings) -> None:
    assert read_lineage(settings, PROJECT, [model("other", "x")]) == {}
