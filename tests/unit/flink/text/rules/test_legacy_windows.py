"""V12: legacy group windows and what they become."""

from __future__ import annotations

import pytest

from orchestration.flink.text.rules.problem import Problem
from orchestration.flink.text.validate import check_sql

TEN = "INTERVAL '10' SECOND"


def legacy(sql: str) -> list[Problem]:
    return [problem for problem in check_sql(sql, purpose="script") if problem.code == "V12"]


@pytest.mark.parametrize(
    ("sql", "rewrite"),
    [
        pytest.param(
            f"SELECT k, TUMBLE_START(ts, {TEN}) AS s, SUM(x) AS x FROM t GROUP BY k, TUMBLE(ts, {TEN})",
            f"SELECT k, window_start AS s, SUM(x) AS x FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), {TEN}))"
            " GROUP BY k, window_start, window_end",
            id="tumble",
        ),
        pytest.param(
            f"select count(*) from `a`.`b`.t /* c */ where k > 1 group by hop(ts, interval '1' minute, {TEN})",
            f"select count(*) from TABLE(HOP(TABLE `a`.`b`.t, DESCRIPTOR(ts), interval '1' minute, {TEN})) /* c */"
            " where k > 1 group by window_start, window_end",
            id="hop-keeps-slide-before-size",
        ),
        pytest.param(
            f"SELECT B.k, SESSION_END(B.`dateTime`, {TEN}) AS e FROM bid AS B"
            f" GROUP BY B.k, SESSION(B.`dateTime`, {TEN})",
            f"SELECT B.k, window_end AS e FROM TABLE(SESSION(TABLE bid PARTITION BY k, DESCRIPTOR(`dateTime`), {TEN}))"
            " AS B GROUP BY B.k, window_start, window_end",
            id="session-for-each-key",
        ),
        pytest.param(
            f"INSERT INTO s SELECT TUMBLE_ROWTIME(t.ts, {TEN}) FROM c.t GROUP BY TUMBLE(t.ts, {TEN})"
            f" HAVING COUNT(*) > 1 AND TUMBLE_END(t.ts, {TEN}) > x",
            f"INSERT INTO s SELECT window_time FROM TABLE(TUMBLE(TABLE c.t, DESCRIPTOR(ts), {TEN})) AS t"
            " GROUP BY window_start, window_end, window_time HAVING COUNT(*) > 1 AND window_end > x",
            id="qualified-names-keep-their-table",
        ),
        pytest.param(
            f"SELECT a FROM (SELECT COUNT(*) AS a FROM t GROUP BY TUMBLE(ts, {TEN})) WHERE a > 1;",
            f"SELECT a FROM (SELECT COUNT(*) AS a FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), {TEN}))"
            " GROUP BY window_start, window_end) WHERE a > 1",
            id="subquery",
        ),
    ],
)
def test_a_legacy_window_is_rewritten(sql: str, rewrite: str) -> None:
    (problem,) = legacy(sql)
    assert (problem.severity, problem.rewrite) == ("warning", rewrite)
    assert legacy(rewrite) == []


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param(f"SELECT COUNT(*) FROM t JOIN u ON t.a = u.a GROUP BY TUMBLE(t.ts, {TEN})", id="join"),
        pytest.param(f"SELECT COUNT(*) FROM t, u GROUP BY TUMBLE(t.ts, {TEN})", id="comma"),
        pytest.param(f"SELECT COUNT(*) FROM (SELECT * FROM t) GROUP BY TUMBLE(ts, {TEN})", id="subquery"),
        pytest.param(f"SELECT COUNT(*) FROM f(t) GROUP BY TUMBLE(ts, {TEN})", id="function"),
        pytest.param(f"SELECT COUNT(*) FROM t GROUP BY SESSION(ts, {TEN}), UPPER(k)", id="session-of-an-expression"),
        pytest.param(f"SELECT COUNT(*) FROM t WHERE k > 1 GROUP BY SESSION(ts, {TEN})", id="session-after-a-filter"),
        pytest.param("SELECT COUNT(*) FROM t GROUP BY TUMBLE(ts)", id="no-size"),
    ],
)
def test_what_cannot_be_rewritten_safely_gets_the_form_only(sql: str) -> None:
    (problem,) = legacy(sql)
    assert problem.rewrite is None
    assert problem.hint is not None
    assert "DESCRIPTOR(ts)" in problem.hint


def test_two_legacy_windows_are_rewritten_together() -> None:
    one = "SELECT COUNT(*) AS n FROM {} GROUP BY TUMBLE(ts, {})"
    first, second = legacy(f"{one.format('t', TEN)} UNION ALL {one.format('u', TEN)}")
    assert second.rewrite is None
    assert first.rewrite is not None
    assert first.rewrite.count("TABLE(TUMBLE(TABLE") == 2


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), {TEN})) GROUP BY window_start, window_end",
        f"SELECT COUNT(*) FROM TABLE(TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => {TEN}))",
        "SELECT tumble, COUNT(*) FROM t GROUP BY tumble",
        "SELECT 'GROUP BY TUMBLE(ts, 1)' AS a FROM t",
    ],
)
def test_other_forms_are_left_alone(sql: str) -> None:
    assert legacy(sql) == []


def test_the_position_is_that_of_the_window_and_line_breaks_stay() -> None:
    (problem,) = legacy(f"SELECT 1;\nSELECT COUNT(*)\nFROM t\nGROUP BY TUMBLE(ts, {TEN})")
    assert (problem.line, problem.column) == (4, 10)
    assert problem.rewrite == (
        f"SELECT COUNT(*)\nFROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), {TEN}))\nGROUP BY window_start, window_end"
    )
