from __future__ import annotations

import pytest

from orchestration.errors import SqlRefusedError
from orchestration.flink.tables.columns import SinkColumn, find_differences, sink_columns
from orchestration.flink.tables.schema import QueryColumn


def one(type_: str, name: str = "a") -> tuple[QueryColumn]:
    return (QueryColumn(name, type_, False),)


@pytest.mark.parametrize(
    ("type_", "becomes"),
    [
        ("CHAR(1)", "STRING"),
        ("VARCHAR(20)", "STRING"),
        ("ARRAY<CHAR(2) NOT NULL>", "ARRAY<STRING NOT NULL>"),
        ("MAP<CHAR(1) NOT NULL, INT NOT NULL>", "MAP<STRING NOT NULL, INT NOT NULL>"),
        ("ROW<`CHAR(1)` CHAR(1) NOT NULL, `b` INT>", "ROW<`CHAR(1)` STRING NOT NULL, `b` INT>"),
        ("DECIMAL(10, 2)", "DECIMAL(10, 2)"),
        ("ROW<`INTERVAL` INT NOT NULL>", "ROW<`INTERVAL` INT NOT NULL>"),
    ],
)
def test_texts_of_a_length_become_string(type_: str, becomes: str) -> None:
    assert sink_columns(one(type_)) == (SinkColumn("a", becomes, False),)


def test_char_is_kept_on_request() -> None:
    assert sink_columns(one("CHAR(1)"), keep_char=True)[0].type == "CHAR(1)"


def test_an_expression_without_a_name_is_named_by_its_position() -> None:
    columns = (QueryColumn("id", "INT", True), QueryColumn("EXPR$1", "BIGINT", False))
    with pytest.raises(SqlRefusedError, match="column 2 is an expression without a name") as caught:
        sink_columns(columns)
    assert caught.value.hint == "give it an alias: … AS c2"
    assert caught.value.context["rule"] == "V15"


def test_an_expression_gets_a_name_on_request() -> None:
    columns = (QueryColumn("id", "INT", True), QueryColumn("EXPR$1", "BIGINT", False))
    assert [column.name for column in sink_columns(columns, auto_alias=True)] == ["id", "c2"]


def test_a_given_name_is_not_taken_twice() -> None:
    columns = (QueryColumn("c2", "INT", True), QueryColumn("EXPR$1", "BIGINT", False))
    with pytest.raises(SqlRefusedError, match="2 columns are called 'c2'"):
        sink_columns(columns, auto_alias=True)


@pytest.mark.parametrize(
    ("type_", "hint"),
    [
        ("MULTISET<STRING>", "use CAST(a AS STRING)"),
        ("INTERVAL SECOND(3)", "use CAST(a AS STRING)"),
        ("INTERVAL MONTH", "use CAST(a AS STRING)"),
        ("RAW('java.lang.Object', '...')", "use CAST(a AS STRING)"),
        ("ARRAY<INTERVAL MONTH>", "use CAST(a AS STRING)"),
        ("NULL", "use CAST(a AS STRING)"),
        ("VARIANT", "take fields out of a and cast them, such as CAST(a['field'] AS STRING)"),
        ("`cat`.`db`.`Person`", "take its fields: a.field"),
    ],
)
def test_a_type_that_no_table_holds_comes_with_a_cast(type_: str, hint: str) -> None:
    with pytest.raises(SqlRefusedError, match="column 1 \\(a\\) is of type") as caught:
        sink_columns(one(type_))
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("query", "table", "fits"),
    [
        ("INT", "INT", True),
        ("INT", "BIGINT", True),
        ("BIGINT", "INT", False),
        ("INT", "DOUBLE", False),
        ("FLOAT", "DOUBLE", True),
        ("TIMESTAMP(3)", "TIMESTAMP(6)", True),
        ("TIMESTAMP(6)", "TIMESTAMP(3)", False),
        ("TIMESTAMP(3)", "TIMESTAMP_LTZ(6)", False),
        ("DECIMAL(10, 2)", "DECIMAL(12, 2)", True),
        ("DECIMAL(10, 2)", "DECIMAL(10, 4)", False),
        ("BINARY(1)", "BYTES", True),
        ("STRING", "BYTES", False),
    ],
)
def test_a_wider_type_fits(query: str, table: str, fits: bool) -> None:
    found = find_differences([QueryColumn("a", table, True)], [SinkColumn("a", query, True)])
    assert found == ([] if fits else [f"column 'a' is {table} in the table and {query} in the query"])


def test_a_key_of_the_table_may_be_null_in_the_query() -> None:
    assert find_differences([QueryColumn("a", "INT", False, is_key=True)], [SinkColumn("a", "INT", True)]) == []


def test_columns_of_one_side_only_are_listed() -> None:
    a, b = QueryColumn("a", "INT", True), QueryColumn("b", "INT", True)
    assert find_differences([a, b], sink_columns([a])) == ["column 'b' is in the table only"]
    assert find_differences([a], sink_columns([a, b])) == ["column 'b' is in the query only"]
