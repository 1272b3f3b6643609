"""Aggregates over windows as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import InputError
from orchestration.flink.text.tokens import significant, tokenize
from orchestration.flink.text.validate import check_sql
from orchestration.flink.text.windows import interval, require_time_attribute, window_query

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
TOTAL = {"total": "SUM(amount)"}


@pytest.mark.parametrize(
    ("arguments", "sql"),
    [
        pytest.param(
            {"kind": "tumble", "size": 10 * SECOND},
            "SELECT window_start, window_end, SUM(amount) AS `total`\n"
            "FROM TABLE(TUMBLE(TABLE `orders`, DESCRIPTOR(`ts`), INTERVAL '10' SECOND))\n"
            "GROUP BY window_start, window_end",
            id="tumble",
        ),
        pytest.param(
            {"kind": "hop", "size": HOUR, "slide": 5 * MINUTE, "group_by": ["cust", "a`b"], "offset": MINUTE},
            "SELECT window_start, window_end, `cust`, `a``b`, SUM(amount) AS `total`\n"
            "FROM TABLE(HOP(TABLE `orders`, DESCRIPTOR(`ts`), INTERVAL '5' MINUTE, INTERVAL '1' HOUR,"
            " INTERVAL '1' MINUTE))\n"
            "GROUP BY window_start, window_end, `cust`, `a``b`",
            id="hop-slide-comes-first",
        ),
        pytest.param(
            {"kind": "cumulate", "size": 24 * HOUR, "step": HOUR, "mode": "batch"},
            "SELECT window_start, window_end, SUM(amount) AS `total`\n"
            "FROM TABLE(CUMULATE(TABLE `orders`, DESCRIPTOR(`ts`), INTERVAL '1' HOUR, INTERVAL '1' DAY))\n"
            "GROUP BY window_start, window_end",
            id="cumulate-step-comes-first",
        ),
        pytest.param(
            {"kind": "session", "gap": 30 * SECOND, "group_by": ["cust"]},
            "SELECT window_start, window_end, `cust`, SUM(amount) AS `total`\n"
            "FROM TABLE(SESSION(TABLE `orders` PARTITION BY `cust`, DESCRIPTOR(`ts`), INTERVAL '30' SECOND))\n"
            "GROUP BY window_start, window_end, `cust`",
            id="session-of-each-key",
        ),
        pytest.param(
            {"kind": "session", "gap": 30 * SECOND},
            "SELECT window_start, window_end, SUM(amount) AS `total`\n"
            "FROM TABLE(SESSION(TABLE `orders`, DESCRIPTOR(`ts`), INTERVAL '30' SECOND))\n"
            "GROUP BY window_start, window_end",
            id="session-of-all",
        ),
    ],
)
def test_each_kind_of_window(arguments: dict[str, object], sql: str) -> None:
    written = window_query("orders", "ts", aggregates=TOTAL, **arguments)  # type: ignore[arg-type]
    assert written == sql
    assert check_sql(written, purpose="persistent") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "tumble"}, "tumble needs size"),
        ({"kind": "hop", "size": HOUR}, "hop needs slide"),
        ({"kind": "cumulate"}, "cumulate needs step and size"),
        ({"kind": "session"}, "session needs gap"),
        ({"kind": "tumble", "size": HOUR, "slide": MINUTE}, "tumble has no slide"),
        ({"kind": "session", "gap": MINUTE, "size": HOUR}, "session has no size"),
        ({"kind": "tumble", "size": -HOUR}, "the size of a window must be above 0, not -1 day, 23:00:00"),
        ({"kind": "hop", "size": HOUR, "slide": timedelta(0)}, "the slide of a window must be above 0, not 0:00:00"),
        (
            {"kind": "hop", "size": HOUR, "slide": 7 * MINUTE},
            "the size of a hop window must be a multiple of its slide: 1:00:00 is none of 0:07:00",
        ),
        (
            {"kind": "cumulate", "size": HOUR, "step": 2 * HOUR},
            "the size of a cumulate window must be a multiple of its step: 1:00:00 is none of 2:00:00",
        ),
        ({"kind": "session", "gap": MINUTE, "mode": "batch"}, "session windows do not run in batch mode"),
        ({"kind": "session", "gap": MINUTE, "offset": MINUTE}, "a session window has no offset"),
        ({"kind": "tumble", "size": HOUR, "aggregates": {}}, "a window query needs an aggregate"),
        ({"kind": "tumble", "size": HOUR, "group_by": [""]}, "'' is not the name of a column"),
        ({"kind": "tumble", "size": timedelta(microseconds=1)}, "0:00:00.000001 is finer than a millisecond"),
    ],
)
def test_what_flink_would_refuse_is_refused_before(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        window_query("orders", "ts", **{"aggregates": TOTAL, **arguments})  # type: ignore[arg-type]
    assert (caught.value.message, caught.value.code, caught.value.exit_code) == (message, "validation_failed", 2)


@pytest.mark.parametrize(
    "expression",
    ["", " ", "SUM(a", "SUM(a))", "SUM(a); DROP TABLE t", "SUM(a), b", "SUM(a) AS b", "1 FROM secret", "SUM('a)"]
    + ["SUM(a) -- x", "SUM(a) /* x */", "SUM(a)) OR (1"],
)
def test_an_aggregate_is_one_expression(expression: str) -> None:
    with pytest.raises(InputError):
        window_query("orders", "ts", "tumble", size=HOUR, aggregates={"x": expression})


@pytest.mark.parametrize(
    "expression",
    [
        "COUNT(*)",
        "SUM(a) FILTER (WHERE b <> ';')",
        "CAST(SUM(a) AS DECIMAL(10, 2))",
        "MAX(a) - MIN(a)",
        "COUNT(DISTINCT a)",
    ],
)
def test_expressions_of_all_kinds_are_taken(expression: str) -> None:
    assert f"{expression} AS `x`" in window_query("orders", "ts", "tumble", size=HOUR, aggregates={"x": expression})


@pytest.mark.parametrize(
    ("source", "quoted"),
    [("t", "`t`"), ("db.t", "`db`.`t`"), ("c.`my db`.t", "`c`.`my db`.`t`"), (" `a``b` ", "`a``b`")],
)
def test_a_source_is_quoted_part_by_part(source: str, quoted: str) -> None:
    assert f"TABLE {quoted}," in window_query(source, "ts", "tumble", size=HOUR, aggregates=TOTAL)


@pytest.mark.parametrize("source", ["", "a b", "a.", ".a", "a..b", "a.b.c.d", "t; DROP TABLE t", "f(x)", "'t'", "t -"])
def test_what_is_no_table_is_refused(source: str) -> None:
    with pytest.raises(InputError, match="is not the name of a table"):
        window_query(source, "ts", "tumble", size=HOUR, aggregates=TOTAL)


@pytest.mark.parametrize(
    ("length", "literal"),
    [
        (SECOND, "INTERVAL '1' SECOND"),
        (90 * SECOND, "INTERVAL '90' SECOND"),
        (100 * SECOND, "INTERVAL '100' SECOND(3)"),
        (120 * SECOND, "INTERVAL '2' MINUTE"),
        (25 * HOUR, "INTERVAL '25' HOUR"),
        (timedelta(days=400), "INTERVAL '400' DAY(3)"),
        (timedelta(milliseconds=1), "INTERVAL '0.001' SECOND(2, 3)"),
        (timedelta(seconds=100, milliseconds=500), "INTERVAL '100.500' SECOND(3, 3)"),
        (-8 * HOUR, "INTERVAL -'8' HOUR"),
        (timedelta(0), "INTERVAL '0.000' SECOND(2, 3)"),
    ],
)
def test_lengths_as_literals(length: timedelta, literal: str) -> None:
    assert interval(length) == literal


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_a_hostile_name_stays_one_identifier(name: str) -> None:
    sql = window_query("t", name, "tumble", size=HOUR, aggregates={name: "COUNT(*)"}, group_by=[name])
    tokens = significant(tokenize(sql))
    assert [token.name for token in tokens if token.kind == "quoted"] == [name, name, "t", name, name]


@dataclass
class FakeDescribe:
    """Describes one table."""

    rows: list[tuple[object, ...]]
    sql: str = ""

    def execute(self, sql: str) -> FakeDescribe:
        self.sql = sql
        return self

    def fetch_all(self) -> Sequence[Sequence[object]]:
        return self.rows


ORDERS = FakeDescribe(
    [
        ("amount", "DECIMAL(10, 2)", True),
        ("ts", "TIMESTAMP(3) *ROWTIME*", True),
        ("seen", "TIMESTAMP_LTZ(3) *PROCTIME*", False),
        ("plain", "TIMESTAMP(3)", True),
    ]
)


@pytest.mark.parametrize("column", ["ts", "seen"])
def test_event_and_processing_time_are_time_attributes(column: str) -> None:
    require_time_attribute(ORDERS, "db.orders", column)
    assert ORDERS.sql == "DESCRIBE `db`.`orders`"


def test_another_column_is_refused_and_the_right_ones_are_named() -> None:
    with pytest.raises(InputError) as caught:
        require_time_attribute(ORDERS, "orders", "plain")
    assert caught.value.message == "column plain of orders is TIMESTAMP(3), not a time attribute"
    assert caught.value.hint == "use ts or seen"


def test_in_batch_mode_any_timestamp_will_do() -> None:
    require_time_attribute(ORDERS, "orders", "plain", "batch")
    with pytest.raises(InputError) as caught:
        require_time_attribute(ORDERS, "orders", "amount", "batch")
    assert caught.value.message == "column amount of orders is DECIMAL(10, 2), not a TIMESTAMP"


def test_a_table_without_time_needs_a_watermark() -> None:
    with pytest.raises(InputError) as caught:
        require_time_attribute(FakeDescribe([("plain", "TIMESTAMP(3)")]), "orders", "plain")
    assert caught.value.hint == "declare a WATERMARK for it in the table's DDL"


def test_an_unknown_column_is_named_with_those_that_exist() -> None:
    with pytest.raises(InputError) as caught:
        require_time_attribute(FakeDescribe([("a", "INT"), ("b", "INT")]), "orders", "ts")
    assert (caught.value.message, caught.value.hint) == ("orders has no column ts", "it has a, b")
