"""Which LIMIT ends a stream."""

from __future__ import annotations

import pytest

from orchestration.flink.reading.feed import Limits
from orchestration.flink.reading.row_limit import with_row_limit


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT * FROM t LIMIT 10", 10),
        ("select a, `b` from t where f(a) > 1 limit 25;", 25),
        ("SELECT a FROM c.d.t -- LIMIT 3\nLIMIT 1 /* of many */", 1),
        ("SELECT a FROM t LIMIT 1000", 1000),
    ],
)
def test_the_limit_of_a_plain_query_ends_its_stream(sql: str, rows: int) -> None:
    assert with_row_limit(sql, Limits(max_rows=1000, fetch_timeout_s=9)) == Limits(rows, 9, is_complete=True)


def test_the_smaller_of_two_limits_counts() -> None:
    assert with_row_limit("SELECT a FROM t LIMIT 5000", Limits()) == Limits(5000, is_complete=True)
    assert with_row_limit("SELECT a FROM t LIMIT 5000", Limits(1000)) == Limits(1000)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t",
        "SELECT 'LIMIT 3' AS a FROM t",
        "SELECT a FROM (SELECT a FROM t LIMIT 3)",
        "SELECT COUNT(*) FROM t LIMIT 3",
        "SELECT a FROM t GROUP BY a LIMIT 3",
        "SELECT DISTINCT a FROM t LIMIT 3",
        "SELECT a FROM t JOIN u ON a = b LIMIT 3",
        "SELECT a FROM t, u LIMIT 3",
        "SELECT a FROM t ORDER BY a LIMIT 3",
        "SELECT a FROM t UNION ALL SELECT a FROM u LIMIT 3",
        "SELECT a FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) LIMIT 3",
        "WITH u AS (SELECT a FROM t) SELECT a FROM u LIMIT 3",
        "SELECT a FROM t LIMIT 0",
        "SELECT a FROM t LIMIT10",
        "SELECT a FROM t LIMIT 5 OFFSET 2",
        "SHOW TABLES",
    ],
)
def test_every_other_query_ends_as_flink_ends_it(sql: str) -> None:
    assert with_row_limit(sql, Limits(7, 8)) == Limits(7, 8)
