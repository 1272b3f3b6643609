"""The rules as DuckDB applies them: first broken rule wins, NULL refuses unless the rule says otherwise."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import duckdb
import pytest
from pyiceberg.catalog import Catalog

from orchestration.contracts import load_contract
from orchestration.errors import ContractError
from orchestration.lakehouse.quality import touched_dates, verdict
from tests.unit.tables import append, bronze_table
from tests.unit.tiny import tiny_contract

GOOD: dict[str, Any] = {"Zone": 1, "start": datetime(2024, 1, 5, 12), "fare": 1.0}


def verdict_of(**changes: Any) -> str | None:
    row = GOOD | changes
    with duckdb.connect() as connection:
        connection.execute('CREATE TABLE b ("Zone" BIGINT, start TIMESTAMP, fare DOUBLE)')
        connection.execute("INSERT INTO b VALUES (?, ?, ?)", [row["Zone"], row["start"], row["fare"]])
        found = connection.execute(f"SELECT {verdict(tiny_contract())} FROM b").fetchone()
    assert found is not None
    return found[0]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        pytest.param({}, None, id="good"),
        pytest.param({"start": None}, "start_missing", id="NULL refuses"),
        pytest.param({"start": datetime(2023, 12, 31, 23, 59, 59)}, "before_window", id="a second before the window"),
        pytest.param({"start": datetime(2024, 1, 1)}, None, id="the window's first moment"),
        pytest.param({"fare": -0.01}, "fare_negative", id="negative"),
        pytest.param({"fare": None}, None, id="NULL passes where the rule says so"),
        pytest.param({"fare": -1.0, "start": None}, "start_missing", id="the first broken rule"),
        pytest.param({"fare": 10_000.0}, "value_out_of_range", id="beyond the decimal"),
        pytest.param({"fare": 9_999.0}, None, id="the largest that fits"),
        pytest.param({"Zone": 2**31}, "value_out_of_range", id="beyond 32 bits"),
        pytest.param({"Zone": -(2**31)}, None, id="the smallest of 32 bits"),
        pytest.param({"Zone": None}, None, id="no value fits every type"),
        pytest.param({"fare": float("nan")}, "value_out_of_range", id="not a number"),
    ],
)
def test_the_first_rule_that_does_not_hold_names_the_rejection(changes: dict[str, Any], rule: str | None) -> None:
    assert verdict_of(**changes) == rule


def test_only_days_of_new_rows_that_pass_are_touched(iceberg: Catalog) -> None:
    table = bronze_table(iceberg)
    first = append(table, {"start": datetime(2024, 1, 1)})
    append(table, {"start": datetime(2024, 3, 1)}, {"start": datetime(2024, 2, 1)}, {"start": datetime(2024, 2, 1, 9)})
    second = append(table, {"start": datetime(2024, 5, 1), "fare": -1.0}, {"start": None})
    later = append(table, {"start": datetime(2024, 9, 1)})
    assert touched_dates(tiny_contract(), table, after=first, upto=second) == [date(2024, 2, 1), date(2024, 3, 1)]
    assert touched_dates(tiny_contract(), table, after=later, upto=later) == []


def test_a_rule_that_fails_on_a_value_is_named_with_the_table_and_the_remedy(iceberg: Catalog) -> None:
    table = bronze_table(iceberg)
    first = append(table, {"start": datetime(2024, 1, 1)})
    second = append(table, {"start": datetime(2024, 1, 2), "note": "x"})
    broken = tiny_contract(quality_rules=[{"name": "number", "predicate": "CAST(note AS INT) > 0"}])
    with pytest.raises(ContractError, match=r"cannot be evaluated on bronze\.raw_rides: Conversion Error") as caught:
        touched_dates(broken, table, after=first, upto=second)
    assert "TRY_CAST" in (caught.value.hint or "")


def test_the_shipped_rules_run_in_duckdb() -> None:
    contract = load_contract("taxi")
    types = {"TIMESTAMP(3)": "TIMESTAMP", "STRING": "VARCHAR"}
    columns = ", ".join(f'"{column.name}" {types.get(column.bronze, column.bronze)}' for column in contract.columns)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE b ({columns})")
        assert connection.execute(f"SELECT {verdict(contract)} FROM b").fetchall() == []
