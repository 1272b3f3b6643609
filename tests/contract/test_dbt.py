"""What the dbt project promises about itself: descriptions, contracts, seeds, unit tests, nothing to download."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.dbt_plugin.gold import mart_relation
from orchestration.dbt_plugin.manifest import ensure_manifest
from orchestration.naming import CATALOG, GOLD
from orchestration.settings import Settings
from tests.contract.checkout import ROOT, tracked_files

DBT = ROOT / "dbt"
MODELS = sorted(path for path in tracked_files() if path.startswith("dbt/models/") and path.endswith(".sql"))
MARTS = [Path(path).stem for path in MODELS if path.startswith("dbt/models/marts/")]


@cache
def manifest() -> dict[str, Any]:
    return json.loads(ensure_manifest(Settings()).read_text(encoding="utf-8"))


def nodes(kind: str) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in manifest()["nodes"].values() if node["resource_type"] == kind}


@pytest.mark.parametrize("kind", ["models", "seeds", "sources", "macros", "exposures"])
def test_everything_is_described(kind: str) -> None:
    if kind in ("models", "seeds"):
        found = list(nodes(kind.removesuffix("s")).values())
    else:
        found = [one for one in manifest()[kind].values() if one["package_name"] == "millrace"]
    assert found
    # A macro that implements another for one adapter, and one of a test or materialization, have its description.
    parts = ("default__", "duckdb__", "test_", "materialization_")
    assert [one["name"] for one in found if not one["description"] and not one["name"].startswith(parts)] == []


@pytest.mark.parametrize("model", [Path(path).stem for path in MODELS])
def test_every_column_that_is_named_is_described(model: str) -> None:
    columns = nodes("model")[model]["columns"]
    assert columns
    assert [name for name, column in columns.items() if not column["description"]] == []


@pytest.mark.parametrize("mart", MARTS)
def test_every_mart_is_a_table_under_contract_where_readers_look_for_it(mart: str) -> None:
    node = nodes("model")[mart]
    assert node["relation_name"] == mart_relation(Settings(), mart) == f'"lakehouse"."gold"."{mart}"'
    assert node["config"]["contract"]["enforced"]
    assert node["config"]["materialized"] in ("table", "incremental")
    assert [name for name, column in node["columns"].items() if not column["data_type"]] == []


def test_every_table_is_in_a_layer_of_the_catalog_and_every_view_stays_local() -> None:
    found = {**nodes("model"), **nodes("seed")}
    in_catalog = {name for name, node in found.items() if node["database"] == CATALOG}
    assert in_catalog == {name for name, node in found.items() if node["config"]["materialized"] != "view"}
    assert {found[name]["schema"] for name in in_catalog} == {"raw", "intermediate", GOLD}


@pytest.mark.parametrize("mart", MARTS)
def test_every_mart_is_used_by_somebody_we_can_name(mart: str) -> None:
    used = {one for exposure in manifest()["exposures"].values() for one in exposure["depends_on"]["nodes"]}
    assert f"model.millrace.{mart}" in used


@pytest.mark.parametrize(
    "model",
    [
        "int_trip_metrics",
        "int_daily_summary",
        "int_hourly_patterns",
        "int_payment_stats",
        "fct_trips",
        "dim_dates",
        "mart_daily_revenue",
        "mart_hourly_demand",
        "mart_location_performance",
    ],
)
def test_every_model_with_a_formula_has_a_unit_test(model: str) -> None:
    assert model in {one["model"] for one in manifest()["unit_tests"].values()}


@pytest.mark.parametrize(
    ("column", "seed"),
    [
        ("vendor_id", "vendor_lookup"),
        ("rate_code_id", "rate_code_lookup"),
        ("payment_type_id", "payment_type_lookup"),
    ],
)
def test_seed_names_exactly_the_codes_that_the_tests_accept(column: str, seed: str) -> None:
    with (DBT / "seeds" / f"{seed}.csv").open(encoding="utf-8", newline="") as file:
        codes = [int(row[column]) for row in csv.DictReader(file)]
    staging = yaml.safe_load((DBT / "models" / "staging" / "staging.yml").read_text(encoding="utf-8"))
    trips = next(model for model in staging["models"] if model["name"] == "stg_yellow_trips")
    tests = next(one for one in trips["columns"] if one["name"] == column)["data_tests"]
    accepted = next(test["accepted_values"] for test in tests if "accepted_values" in test)["arguments"]["values"]
    assert sorted(codes) == sorted(accepted)


def test_there_are_no_packages_to_download() -> None:
    assert [name for name in ("packages.yml", "dependencies.yml", "package-lock.yml") if (DBT / name).exists()] == []


def test_every_model_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "dbt.md").read_text(encoding="utf-8")
    assert [path for path in MODELS if f"`{Path(path).stem}`" not in text] == []
