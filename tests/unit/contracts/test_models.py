"""What a contract refuses, what it derives, and what asks for a rebuild of silver."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from orchestration.contracts import Column, DatasetContract
from tests.unit.tiny import RAW, tiny_contract, tiny_raw

COLUMNS = RAW["columns"]


def column(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "json": "number", "bronze": "DOUBLE", "silver_name": "x", "silver": "DOUBLE"} | changes


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"columns": [*COLUMNS, COLUMNS[0]]}, "column 'Zone' is listed twice", id="column twice"),
        pytest.param(
            {"columns": [*COLUMNS, column(silver_name="fare")]},
            "silver name 'fare' is used twice",
            id="silver name twice",
        ),
        pytest.param(
            {"columns": [*COLUMNS, column(silver_name="ride_date")]},
            "silver name 'ride_date' is used twice",
            id="silver name of the partition",
        ),
        pytest.param(
            {"columns": [*COLUMNS, column(silver_name="ride_id")]},
            "silver name 'ride_id' is used twice",
            id="silver name of the surrogate key",
        ),
        pytest.param(
            {"quality_rules": [RAW["quality_rules"][0]] * 2},
            "quality rule 'start_missing' is listed twice",
            id="rule twice",
        ),
        pytest.param({"key_field": "nix"}, "key_field names 'nix', which is no column", id="key field"),
        pytest.param({"event_time": "nix"}, "event_time names 'nix', which is no column", id="event time"),
        pytest.param(
            {"natural_key": ["start", "nix"]}, "natural_key names 'nix', which is no column", id="natural key"
        ),
        pytest.param(
            {"natural_key": ["Zone"]},
            "partition.field 'start' is not part of natural_key",
            id="partition outside the key",
        ),
        pytest.param({"dlq_topic": "rides.raw"}, "topic and dlq_topic are the same", id="one topic for both"),
        pytest.param(
            {"quality_rules": [{"name": "r", "predicate": "fare > ${limit}"}]},
            "quality rule 'r' uses the unknown parameter 'limit'",
            id="unknown parameter",
        ),
        pytest.param(
            {"quality_rules": [{"name": "r", "predicate": "a > 1; DROP TABLE x"}]}, "semicolon", id="two statements"
        ),
        pytest.param({"quality_rules": [{"name": "r", "predicate": "  "}]}, "is empty", id="empty rule"),
        pytest.param({"quality_rules": []}, "quality_rules", id="no rule"),
        pytest.param({"columns": [column(bronze="VARCHAR(3)")]}, "type 'VARCHAR(3)' is not one of", id="unknown type"),
        pytest.param(
            {"columns": [column(silver="DECIMAL(6)")]}, "type 'DECIMAL(6)' is not one of", id="decimal, no scale"
        ),
        pytest.param({"columns": [column(name="a b")]}, "String should match pattern", id="column with a blank"),
        pytest.param({"tables": {**RAW["tables"], "silver": "rides"}}, "tables.silver", id="table without a schema"),
        pytest.param({"topic": "rides/raw"}, "topic", id="topic with a slash"),
        pytest.param({"colour": "red"}, "Extra inputs are not permitted", id="unknown key"),
        pytest.param({"version": 2}, "version", id="unknown version"),
        pytest.param({"parameters": {"window_start": "soon"}}, "window_start", id="parameter that is no date"),
        pytest.param({"files": {"first_month": "2024"}}, "first_month", id="month without a month"),
    ],
)
def test_a_contract_that_does_not_hold_together_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError) as error:
        tiny_contract(**changes)
    assert complaint in str(error.value)


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ValidationError) as error:
        tiny_contract(key_field="nix", event_time="nada")
    assert "key_field names 'nix'" in str(error.value)
    assert "event_time names 'nada'" in str(error.value)


def test_a_contract_is_frozen() -> None:
    with pytest.raises(ValidationError):
        tiny_contract().topic = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("bronze", "silver", "predicate"),
    [
        pytest.param("BIGINT", "INT", "(x IS NULL OR x BETWEEN -2147483648 AND 2147483647)", id="integer into 32 bits"),
        pytest.param("DOUBLE", "DECIMAL(6, 2)", "(x IS NULL OR x BETWEEN -9999 AND 9999)", id="money"),
        pytest.param("BIGINT", "DECIMAL(3,0)", "(x IS NULL OR x BETWEEN -999 AND 999)", id="integer into decimal"),
        pytest.param("DOUBLE", "DOUBLE", None, id="same type"),
        pytest.param("INT", "BIGINT", None, id="wider"),
        pytest.param("STRING", "STRING", None, id="text"),
    ],
)
def test_a_cast_that_could_lose_digits_has_a_predicate(bronze: str, silver: str, predicate: str | None) -> None:
    assert Column.model_validate(column(bronze=bronze, silver=silver)).fits_silver == predicate


@pytest.mark.parametrize(
    ("json", "parquet", "families"),
    [
        ("integer", [], ("integer",)),
        ("integer", ["integer", "floating"], ("integer", "floating")),
        ("number", [], ("floating", "integer", "decimal")),
        ("date-time", [], ("timestamp",)),
    ],
    ids=["default", "named", "number", "time"],
)
def test_parquet_families_follow_the_json_type_unless_named(
    json: str, parquet: list[str], families: tuple[str, ...]
) -> None:
    assert Column.model_validate(column(json=json, parquet=parquet)).parquet_families == families


def test_silver_has_the_key_first_and_the_partition_last() -> None:
    assert tiny_contract().silver_columns == (
        "ride_id",
        "zone_id",
        "started_at",
        "fare",
        "is_shared",
        "note",
        "ingestion_ts",
        "ride_date",
    )


def test_rules_are_never_null_and_end_with_the_range_of_the_silver_types() -> None:
    assert tiny_contract().rules() == [
        ("start_missing", "COALESCE(start IS NOT NULL, FALSE)"),
        ("before_window", "COALESCE(CAST(start AS DATE) >= DATE '2024-01-01', FALSE)"),
        ("fare_negative", "COALESCE(fare >= 0, TRUE)"),
        (
            "value_out_of_range",
            "(Zone IS NULL OR Zone BETWEEN -2147483648 AND 2147483647) AND "
            "(fare IS NULL OR fare BETWEEN -9999 AND 9999)",
        ),
    ]


def test_parameters_can_be_replaced_and_none_keeps_the_contracts_own() -> None:
    contract = tiny_contract()
    assert contract.with_parameters({"window_start": None}).parameters == {"window_start": date(2024, 1, 1)}
    moved = contract.with_parameters({"window_start": date(2024, 2, 1)})
    assert moved.parameter_literals() == {"window_start": "DATE '2024-02-01'"}
    with pytest.raises(KeyError, match="limit"):
        contract.with_parameters({"limit": date(2024, 2, 1)})


def fingerprint_of(**changes: Any) -> str:
    return DatasetContract.model_validate(tiny_raw(**changes)).fingerprint()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"parameters": {"window_start": "2024-02-01"}}, id="parameter"),
        pytest.param({"quality_rules": RAW["quality_rules"][:1]}, id="rules"),
        pytest.param({"natural_key": ["start"]}, id="natural key"),
        pytest.param({"columns": COLUMNS[:3]}, id="columns"),
    ],
)
def test_a_change_that_decides_silver_changes_the_fingerprint(changes: dict[str, Any]) -> None:
    assert fingerprint_of(**changes) != fingerprint_of()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"description": "other words"}, id="description"),
        pytest.param({"owner": "somebody"}, id="owner"),
        pytest.param({"files": {"first_month": "2020-05"}}, id="files"),
        pytest.param({"columns": [{**item, "description": "words"} for item in COLUMNS]}, id="column description"),
    ],
)
def test_words_do_not_change_the_fingerprint(changes: dict[str, Any]) -> None:
    assert fingerprint_of(**changes) == fingerprint_of()
