"""Plans as Flink 2.1.3 printed them (answers/plans.txt): name, query, plan."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.flink.tables.plan_keys import PlanFacts, read_plan

_PLANS = Path(__file__).parents[1] / "answers" / "plans.txt"
PLANS = {
    name.strip(): plan
    for name, _, plan in (part.partition("\n") for part in _PLANS.read_text(encoding="utf-8").split("### ")[1:])
}


def explained(name: str) -> str:
    """Return what EXPLAIN CHANGELOG_MODE printed, with its other sections."""
    _, _, plan = PLANS[name].partition("\n")
    return (
        "== Abstract Syntax Tree ==\nLogicalProject(x=[$0])\n\n== Optimized Physical Plan ==\n"
        f"{plan.strip()}\n\n== Optimized Execution Plan ==\nCalc(select=[x])\n"
    )


def facts(name: str, columns: int) -> PlanFacts:
    return read_plan(explained(name), columns)


def changelog(text: str) -> frozenset[str]:
    return frozenset(text.split(","))


@pytest.mark.parametrize(
    ("plan", "columns", "kinds", "keys"),
    [
        pytest.param("group", 2, "I,UA", [(0,)], id="group-by-one-column"),
        pytest.param("group2", 4, "I,UA", [(0, 1)], id="group-by-two-renamed"),
        pytest.param("groupexprkey", 2, "I,UA", [(0,)], id="group-by-an-expression"),
        pytest.param("having", 2, "I,UB,UA", [(0,)], id="having"),
        pytest.param("distinct", 1, "I,UA", [(0,)], id="distinct"),
        pytest.param("nested", 2, "I,UA,D", [(0,)], id="aggregate-of-an-aggregate"),
        pytest.param("minibatch", 2, "I,UA", [(0,)], id="two-phase-aggregate"),
        pytest.param("batch", 2, "I", [(0,)], id="batch"),
        pytest.param("cte", 2, "I,UA", [(1,)], id="columns-in-another-order"),
        pytest.param("twice", 3, "I,UA", [(0,), (1,)], id="the-key-twice"),
        pytest.param("const", 3, "I,UA", [(1,)], id="beside-a-literal"),
        pytest.param("str", 2, "I,UB,UA", [(0,)], id="brackets-in-a-string"),
        pytest.param("newline", 3, "I,UA", [(0,)], id="line-break-in-a-string"),
        pytest.param("win", 4, "I", [(0, 1, 2)], id="window"),
        pytest.param("aliaswin", 4, "I", [(0, 1, 2)], id="window-renamed"),
        pytest.param("hop", 3, "I", [(0, 1)], id="window-end-alone"),
        pytest.param("legacy", 3, "I", [(0, 1)], id="group-window-start-alone"),
        pytest.param("session", 4, "I", [(0, 1, 2)], id="session-window"),
        pytest.param("rank", 4, "I,UA,D", [(0, 3)], id="top-n-with-its-number"),
        pytest.param("top1", 3, "I,UA,D", [(0,)], id="top-1"),
        pytest.param("topagg", 3, "I,UA,D", [(2,)], id="top-n-of-an-aggregate-with-its-number"),
        pytest.param("topaggnorn", 2, "I,UA,D", [(0,)], id="top-n-of-an-aggregate"),
        pytest.param("dedup", 2, "I,UA,D", [(0,)], id="deduplicate-last"),
        pytest.param("dedupfirst", 2, "I", [(0,)], id="deduplicate-first"),
        pytest.param("limit1", 2, "I,UA,D", [(0,)], id="order-by-limit"),
        pytest.param("joinagg", 3, "I,UA", [(0,)], id="join-on-the-keys"),
        pytest.param("leftjoin2", 3, "I,UA,D", [(0,)], id="left-join-on-the-keys"),
        pytest.param("joinnokey", 4, "I,UB,UA", [(0, 2)], id="join-on-other-columns"),
        pytest.param("semiroot", 2, "I,UA", [(0,)], id="semi-join"),
    ],
)
def test_a_key_is_followed_to_the_result(plan: str, columns: int, kinds: str, keys: Sequence[tuple[int, ...]]) -> None:
    assert facts(plan, columns) == PlanFacts(changelog(kinds), tuple(keys))


@pytest.mark.parametrize(
    ("plan", "columns", "kinds"),
    [
        pytest.param("groupexpr", 2, "I,UA", id="expression-of-the-key"),
        pytest.param("lost", 1, "I,UA", id="key-not-selected"),
        pytest.param("global", 1, "I,UA", id="one-row"),
        pytest.param("rollup", 3, "I,UA", id="grouping-sets"),
        pytest.param("union", 2, "I,UA", id="union-all"),
        pytest.param("ranknorn", 3, "I,UA,D", id="top-n-without-its-number"),
        pytest.param("limit", 4, "I,UA,D", id="limit-of-rows-without-key"),
        pytest.param("join", 3, "I", id="join-of-rows-without-key"),
        pytest.param("leftjoin", 2, "I,UA,D", id="left-join-of-rows-without-key"),
        pytest.param("fulljoin", 4, "I,UA,D", id="full-join-whose-keys-are-null"),
        pytest.param("cumulate", 3, "I", id="start-of-growing-windows"),
        pytest.param("winrank", 5, "I", id="unknown-operator"),
        pytest.param("weird", 2, "I,UA", id="comma-in-a-name"),
        pytest.param("normalize", 2, "UA,D", id="table-without-known-key"),
    ],
)
def test_a_key_that_is_not_certain_is_none(plan: str, columns: int, kinds: str) -> None:
    assert facts(plan, columns) == PlanFacts(changelog(kinds), ())


def test_a_source_that_changes_has_the_key_of_its_table() -> None:
    asked: list[tuple[str, ...]] = []

    def key_of(path: tuple[str, ...]) -> list[str]:
        asked.append(path)
        return ["k"]

    assert read_plan(explained("normalize"), 2, key_of).keys == ((0,),)
    assert asked == [("default_catalog", "default_database", "latest")]


def test_a_source_that_is_only_added_to_is_not_asked() -> None:
    def refuse(path: tuple[str, ...]) -> list[str]:
        raise AssertionError(path)

    assert read_plan(explained("join"), 3, refuse).keys == ()


def test_a_plan_with_another_number_of_columns_gives_no_key() -> None:
    assert facts("group", 3).keys == ()


@pytest.mark.parametrize("plan", sorted(PLANS))
def test_every_plan_tells_its_changelog(plan: str) -> None:
    query = ast.literal_eval(PLANS[plan].partition("\n")[0])
    printed = re.findall(r"changelogMode=\[([A-Z,]*)\]", explained(plan))
    assert query.startswith(("SELECT", "WITH"))
    assert facts(plan, 2).changelog == changelog(printed[0] if printed else "I")


@given(st.text(alphabet="()[]{}',= \n:+-|ABab_$", max_size=200), st.integers(0, 5))
def test_no_text_breaks_the_reader(text: str, columns: int) -> None:
    assert read_plan(f"== Optimized Physical Plan ==\n{text}", columns).keys == ()
