"""The branches of a persistent query."""

from __future__ import annotations

import pytest

from orchestration.errors import SqlRefusedError
from orchestration.flink.queries.inserts import Insert, job_statement, parse_inserts


@pytest.mark.parametrize(
    ("sql", "query", "table", "is_plain"),
    [
        ("SELECT 1 AS a", "SELECT 1 AS a", (), True),
        ("WITH x AS (SELECT 1 AS a) SELECT a FROM x", "WITH x AS (SELECT 1 AS a) SELECT a FROM x", (), True),
        ("INSERT INTO t SELECT 1 AS a", "SELECT 1 AS a", ("t",), True),
        ("insert /* into x */ into c.`d b`.t\nselect 1", "select 1", ("c", "d b", "t"), True),
        ("EXECUTE INSERT INTO t VALUES (1)", "VALUES (1)", ("t",), True),
        ("INSERT INTO t (SELECT 1 AS a)", "(SELECT 1 AS a)", ("t",), True),
        ("INSERT INTO t ((SELECT 1) UNION ALL (SELECT 2))", "((SELECT 1) UNION ALL (SELECT 2))", ("t",), True),
        ("INSERT INTO t (a, b) SELECT 1, 2", "SELECT 1, 2", ("t",), False),
        ("INSERT INTO t (a, b) (SELECT 1, 2)", "(SELECT 1, 2)", ("t",), False),
        ("INSERT OVERWRITE t SELECT 1", "SELECT 1", ("t",), False),
        ("INSERT INTO t PARTITION (d = 'x') SELECT 1", "SELECT 1", ("t",), False),
        ("INSERT INTO t /*+ OPTIONS('a'='b') */ SELECT 1", "SELECT 1", ("t",), False),
        ("INSERT INTO `select` SELECT 1 -- end", "SELECT 1", ("select",), True),
    ],
)
def test_one_branch(sql: str, query: str, table: tuple[str, ...], is_plain: bool) -> None:
    (insert,) = parse_inserts(sql)
    assert (insert.query, insert.table, insert.is_plain) == (query, table, is_plain)


SET = """EXECUTE STATEMENT SET BEGIN
  INSERT INTO a SELECT CASE n WHEN 1 THEN ';' END AS x FROM s;
  -- the second
  INSERT INTO lake.b SELECT n FROM s;
END"""


def test_a_statement_set_has_a_branch_for_each_insert() -> None:
    first, second = parse_inserts(SET)
    assert (first.query, first.table) == ("SELECT CASE n WHEN 1 THEN ';' END AS x FROM s", ("a",))
    assert (second.query, second.table, second.quoted_table) == ("SELECT n FROM s", ("lake", "b"), "`lake`.`b`")


def test_the_job_writes_generated_sinks_and_leaves_the_others() -> None:
    first, second = parse_inserts(SET)
    assert job_statement((first, second), {second: "`view_b`"}) == (
        "EXECUTE STATEMENT SET BEGIN\n"
        "INSERT INTO a SELECT CASE n WHEN 1 THEN ';' END AS x FROM s;\n"
        "INSERT INTO `view_b` SELECT n FROM s;\nEND"
    )


def test_a_single_branch_needs_no_set() -> None:
    bare = Insert("SELECT 1 AS a", (), "SELECT 1 AS a")
    assert job_statement([bare], {bare: "`v`"}) == "INSERT INTO `v` SELECT 1 AS a"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (a INT)",
        "DROP TABLE t",
        "EXECUTE STATEMENT SET BEGIN END",
        "EXECUTE STATEMENT SET BEGIN SELECT 1; END",
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1 END",
        "INSERT INTO t",
        "INSERT INTO t (a)",
        "INSERT SELECT 1",
    ],
)
def test_anything_else_is_refused(sql: str) -> None:
    with pytest.raises(SqlRefusedError) as caught:
        parse_inserts(sql)
    assert caught.value.exit_code == 2
