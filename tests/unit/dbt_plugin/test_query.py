"""Results of DuckDB: exact in JSON, readable in text, errors in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import duckdb
import pytest

from orchestration.dbt_plugin.query import run_query, to_json, to_text
from orchestration.errors import MillraceError


@pytest.fixture
def conn() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        pytest.param("12.50::decimal(10,2)", "12.50", id="decimal-keeps-its-zero"),
        pytest.param(
            "12345678901234567890.12::decimal(38,2)", "12345678901234567890.12", id="decimal-wider-than-float"
        ),
        pytest.param("170141183460469231731687303715884105727::hugeint", str(2**127 - 1), id="hugeint"),
        pytest.param("date '2024-01-02'", '"2024-01-02"', id="date"),
        pytest.param("timestamp '2024-01-02 03:04:05'", '"2024-01-02T03:04:05"', id="timestamp"),
        pytest.param("true", "true", id="boolean"),
        pytest.param("null", "null", id="null"),
        pytest.param("'nan'::double", "null", id="nan-is-no-json"),
        pytest.param("'a\"b\\c'", '"a\\"b\\\\c"', id="quotes"),
        pytest.param("[1.10, null]", "[1.10, null]", id="list"),
        pytest.param("{'a': 1.10}", '{"a": 1.10}', id="struct"),
        pytest.param("'ab'::blob", '"6162"', id="blob-is-hex"),
        pytest.param(
            "uuid '00000000-0000-0000-0000-000000000001'", '"00000000-0000-0000-0000-000000000001"', id="uuid"
        ),
    ],
)
def test_values_are_exact_in_json(conn: duckdb.DuckDBPyConnection, sql: str, text: str) -> None:
    printed = to_json(run_query(conn, f"select {sql} as v"))
    assert printed == f'[\n{{"v": {text}}}\n]'
    assert len(json.loads(printed, parse_float=Decimal)) == 1


def test_no_rows_are_an_empty_list(conn: duckdb.DuckDBPyConnection) -> None:
    assert to_json(run_query(conn, "select 1 as a where false")) == "[]"


def test_repeated_column_names_are_told_apart(conn: duckdb.DuckDBPyConnection) -> None:
    assert run_query(conn, "select 1 as n, 2 as n, 3 as n_2").columns == ("n", "n_2", "n_2_2")


def test_last_of_several_statements_is_the_result(conn: duckdb.DuckDBPyConnection) -> None:
    result = run_query(conn, "create table t as select 7 as x; select x, 'y' as y from t")
    assert (result.rows, result.numeric) == (((7, "y"),), ("x",))


def test_failed_query_is_one_line_without_the_excerpt(conn: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(MillraceError) as caught:
        run_query(conn, "select *\nfrom nope")
    assert "nope does not exist" in caught.value.message
    assert "\n" not in caught.value.message
    assert "LINE 1" not in caught.value.message


def test_null_is_empty_in_a_table() -> None:
    assert [to_text(None), to_text(Decimal("1.10")), to_text([1, None])] == ["", "1.10", "[1, null]"]
