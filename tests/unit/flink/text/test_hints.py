"""Hints in comments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import StatementError
from orchestration.flink.text.hints import read_hints


def values(sql: str) -> dict[str, object]:
    hints, problems = read_hints(sql)
    assert problems == []
    return {name: hint.value for name, hint in hints.items()}


def problems(sql: str) -> list[tuple[str, str, str | None]]:
    return [(problem.severity, problem.message, problem.hint) for problem in read_hints(sql)[1]]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("/** mode('batch') */ SELECT 1", {"mode": "batch"}),
        (
            "/** mode(streaming) fetch_max(100), fetch_timeout_ms('2000') */",
            {"mode": "streaming", "fetch_max": 100, "fetch_timeout_ms": 2000},
        ),
        ("SELECT /** test_query('true') */ 1 /** fetch_max(2) */", {"test_query": True, "fetch_max": 2}),
        ("/** fetch_max(1) fetch_max(2) */ /** fetch_max(3) */", {"fetch_max": 3}),
        (
            "/**\n * upgrade_mode(savepoint)\n * job_state('Suspended')\n */",
            {"upgrade_mode": "savepoint", "job_state": "suspended"},
        ),
        (
            "/** execution_config('pipeline.name=a=b;parallelism.default=2') */",
            {"execution_config": {"pipeline.name": "a=b", "parallelism.default": "2"}},
        ),
        (
            "/** execution_config('a.b=x\\;y;c.d=it''s (ok)') */",
            {"execution_config": {"a.b": "x;y", "c.d": "it's (ok)"}},
        ),
        ("/** drop_statement('DROP TABLE IF EXISTS `a)b`') */", {"drop_statement": "DROP TABLE IF EXISTS `a)b`"}),
        ("/** drop_statement(DROP TABLE t) */", {"drop_statement": "DROP TABLE t"}),
        ("/* mode('batch') */ SELECT 1 -- mode('batch')", {}),
        ("SELECT '/** mode(''batch'') */', `/** mode(x) */` /*+ OPTIONS('a'='/** mode(x) */') */", {}),
        ("/**/ SELECT 1 /***/", {}),
        ("/** Sums the amount (net) of orders(today). */ SELECT 1", {}),
    ],
)
def test_hints_are_read(sql: str, expected: dict[str, object]) -> None:
    assert values(sql) == expected


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("/** mode('fast') */", "hint mode: 'fast' is none of batch, streaming"),
        ("/** fetch_max(abc) */", "hint fetch_max: 'abc' is not a whole number above 0"),
        ("/** fetch_max(0) */", "hint fetch_max: '0' is not a whole number above 0"),
        ("/** fetch_timeout_ms(-1) */", "hint fetch_timeout_ms: '-1' is not a whole number above 0"),
        ("/** test_query(yes) */", "hint test_query: 'yes' is none of true, false"),
        ("/** execution_config('a') */", "hint execution_config: 'a' is not of the form key=value"),
        ("/** execution_config() */", "hint execution_config: it holds no key=value"),
        ("/** execution_config('rest.port=1') */", "hint execution_config: rest.port cannot be set for a statement"),
        (
            "/** execution_config('execution.runtime-mode=batch') */",
            "hint execution_config: execution.runtime-mode cannot be set for a statement",
        ),
        ("/** drop_statement('SELECT 1') */", "hint drop_statement: 'SELECT 1' is not a DROP statement"),
        ("/** fetch_max(1 */", "hint fetch_max: its parenthesis is never closed"),
        ("/** upgrade_mode(never) */", "hint upgrade_mode: 'never' is none of stateless, savepoint, last_state"),
    ],
)
def test_a_bad_value_is_an_error(sql: str, message: str) -> None:
    assert problems(sql) == [("error", message, "correct the value, or take the hint out")]


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        ("/** fech_max(5) */", "there is no hint fech_max", "did you mean fetch_max?"),
        ("/** See fetch_maxx(5) for more */", "there is no hint fetch_maxx", "did you mean fetch_max?"),
    ],
)
def test_an_unknown_name_is_a_warning_with_the_likely_one(sql: str, message: str, hint: str) -> None:
    assert problems(sql) == [("warning", message, hint)]


def test_a_comment_of_hints_alone_with_an_unknown_one_lists_the_known() -> None:
    ((severity, message, hint),) = problems("/** colour('red') */")
    assert (severity, message) == ("warning", "there is no hint colour")
    assert hint is not None
    assert "fetch_max" in hint


def test_a_hint_knows_where_it_stands() -> None:
    sql = "SELECT 1\n  /** mode('batch') fetch_max(x) */"
    hints, (problem,) = read_hints(sql)
    assert sql[hints["mode"].start :].startswith("mode('batch')")
    assert (problem.line, problem.column) == (2, 21)


def test_an_open_comment_is_an_error_of_the_text() -> None:
    with pytest.raises(StatementError, match="never closed"):
        read_hints("/** mode('batch')")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(str.strip).filter(bool))
def test_any_value_of_the_configuration_is_read_back(text: str) -> None:
    value = text.replace("*/", "* /")  # the end of the comment, for Flink too
    escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace("'", "''")
    assert values(f"/** execution_config('k={escaped}') */") == {"execution_config": {"k": value}}


@given(st.text(alphabet=st.sampled_from("a(')* mode;="), max_size=40))
def test_any_comment_gets_an_answer(inside: str) -> None:
    hints, found = read_hints(f"/** {inside} */ SELECT 1")
    assert all(problem.code == "V16" for problem in found)
    assert set(hints) <= {"mode"}
