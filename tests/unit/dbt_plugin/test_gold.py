"""Where the marts are."""

from __future__ import annotations

import pytest

from orchestration.dbt_plugin.gold import mart_relation, mart_table
from orchestration.errors import ConfigError
from orchestration.settings import Settings

ICEBERG, LOCAL = Settings(gold_target="iceberg"), Settings(gold_target="duckdb")


def test_marts_on_iceberg_are_in_the_namespace_gold_of_the_catalog() -> None:
    assert mart_table(ICEBERG, "fct_trips") == "lakehouse.gold.fct_trips"
    assert mart_relation(ICEBERG, "fct_trips") == '"lakehouse"."gold"."fct_trips"'


def test_marts_in_a_local_file_are_in_its_schema_marts() -> None:
    assert mart_table(LOCAL, "fct_trips") == "marts.fct_trips"
    assert mart_relation(LOCAL, "fct_trips") == '"marts"."fct_trips"'


def test_a_model_that_is_no_identifier_is_refused() -> None:
    with pytest.raises(ConfigError, match="model 'fct; drop' is not a plain identifier"):
        mart_relation(ICEBERG, "fct; drop")
