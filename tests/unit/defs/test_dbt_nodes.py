"""What a manifest becomes: keys, parents, checks; and the dbt command for a part of the project."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.defs.assets.gold import NOT_BUILT, build_args
from orchestration.defs.dbt_nodes import DbtProject, parse_manifest


def node(kind: str, name: str, *reads: str, **more: Any) -> dict[str, Any]:
    """Return a node as manifest.json writes it, with what we read of it."""
    config = {"materialized": more.pop("materialized", "view"), **more.pop("config", {})}
    return {
        "unique_id": f"{kind}.p.{name}",
        "name": name,
        "resource_type": kind,
        "schema": more.pop("schema", "marts"),
        "depends_on": {"macros": [], **({"nodes": list(reads)} if kind != "seed" else {})},
        "config": config,
        "original_file_path": f"models/{name}.sql",
        **more,
    }


def manifest(*nodes: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with one source."""
    return {
        "nodes": {one["unique_id"]: one for one in nodes},
        "sources": {"source.p.silver.rides": {"schema": "silver", "identifier": "rides"}},
    }


FACT = node("model", "fct", "model.p.stg", "source.p.silver.rides")
STAGING = node("model", "stg", "source.p.silver.rides", schema="staging", alias="stg_rides")
SEED = node("seed", "codes", schema="raw", materialized="seed")


def test_a_source_has_the_key_of_the_asset_that_writes_it() -> None:
    (asset,) = parse_manifest(manifest(STAGING)).assets
    assert (asset.key, asset.parents) == (("staging", "stg_rides"), (("silver", "rides"),))


def test_a_node_is_keyed_by_schema_and_the_name_in_the_database() -> None:
    project = parse_manifest(manifest(FACT, STAGING, SEED))
    assert [asset.key for asset in project.assets] == [("marts", "fct"), ("staging", "stg_rides"), ("raw", "codes")]
    assert project.assets[0].parents == (("silver", "rides"), ("staging", "stg_rides"))
    assert project.assets[2].parents == ()


def test_an_ephemeral_model_is_no_asset() -> None:
    assert parse_manifest(manifest(node("model", "cte", materialized="ephemeral"))).assets == ()


def test_columns_and_descriptions_come_along() -> None:
    columns = {"id": {"name": "id", "data_type": "integer", "description": "the key"}, "x": {"name": "x"}}
    (asset,) = parse_manifest(manifest(node("model", "m", description="One\n row.", columns=columns))).assets
    assert (asset.description, asset.columns) == ("One row.", (("id", "integer", "the key"), ("x", "?", "")))


@pytest.mark.parametrize(
    ("test", "key", "also_reads"),
    [
        pytest.param(
            node("test", "t", "model.p.fct", attached_node="model.p.fct"), ("marts", "fct"), (), id="attached"
        ),
        pytest.param(
            node("test", "t", "model.p.stg", "model.p.fct", attached_node="model.p.fct"),
            ("marts", "fct"),
            (("staging", "stg_rides"),),
            id="relationship",
        ),
        pytest.param(node("test", "t", "model.p.stg"), ("staging", "stg_rides"), (), id="singular"),
        pytest.param(node("test", "t", "source.p.silver.rides"), ("silver", "rides"), (), id="source"),
    ],
)
def test_a_test_is_a_check_of_what_it_tests(test: dict[str, Any], key: object, also_reads: object) -> None:
    (check,) = parse_manifest(manifest(FACT, STAGING, test)).checks
    assert (check.key, check.also_reads) == (key, also_reads)


def test_a_test_that_reads_nothing_is_no_check() -> None:
    assert parse_manifest(manifest(node("test", "t"))).checks == ()


@pytest.fixture
def project() -> DbtProject:
    """A model behind another, each tested, and a tested source."""
    return parse_manifest(
        manifest(
            FACT,
            STAGING,
            node("test", "fct_test", "model.p.fct"),
            node("test", "stg_test", "model.p.stg"),
            node("test", "source_test", "source.p.silver.rides"),
        )
    )


def test_checks_of_sources_and_of_models_are_told_apart(project: DbtProject) -> None:
    assert [check.name for check in project.source_checks] == ["source_test"]
    assert [check.name for check in project.model_checks] == ["fct_test", "stg_test"]


ALL = [("marts", "fct"), ("staging", "stg_rides")]
ALL_CHECKS = [(("marts", "fct"), "fct_test"), (("staging", "stg_rides"), "stg_test")]


@pytest.mark.parametrize(
    ("wanted", "checks", "full_refresh", "args"),
    [
        pytest.param(ALL, ALL_CHECKS, False, ["--exclude", "source_test"], id="all"),
        pytest.param(ALL, ALL_CHECKS, True, ["--exclude", "source_test", "--full-refresh"], id="refresh"),
        pytest.param(
            ALL[:1],
            ALL_CHECKS[:1],
            False,
            ["--select", "fct", "fct_test", "--indirect-selection", "empty"],
            id="one model",
        ),
        pytest.param(
            [], ALL_CHECKS[1:], False, ["--select", "stg_test", "--indirect-selection", "empty"], id="a check"
        ),
    ],
)
def test_dbt_is_asked_for_what_was_selected_and_nothing_else(
    project: DbtProject, wanted: list[Any], checks: list[Any], full_refresh: bool, args: list[str]
) -> None:
    assert build_args(project, wanted, checks, full_refresh=full_refresh) == ["build", *NOT_BUILT, *args]


def test_a_project_without_source_tests_is_built_whole() -> None:
    project = parse_manifest(manifest(STAGING))
    assert build_args(project, [("staging", "stg_rides")], [], full_refresh=False) == ["build", *NOT_BUILT]
