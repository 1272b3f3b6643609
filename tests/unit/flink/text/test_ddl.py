"""Heads of statements that change a session."""

from __future__ import annotations

import pytest

from orchestration.flink.text.ddl import Head, read_head


@pytest.mark.parametrize(
    ("sql", "head"),
    [
        ("CREATE TABLE t (temporary INT)", Head("CREATE", "TABLE", ("t",))),
        (
            "create temporary table if not exists `a``b`.c.`d e` (n INT)",
            Head("CREATE", "TABLE", ("a`b", "c", "d e"), is_temporary=True, has_if_not_exists=True),
        ),
        (
            "CREATE OR REPLACE TEMPORARY VIEW v (a) AS SELECT 1",
            Head("CREATE", "VIEW", ("v",), is_temporary=True, replaces=True),
        ),
        ("CREATE TEMPORARY SYSTEM FUNCTION f AS 'x.F'", Head("CREATE", "FUNCTION", ("f",), is_temporary=True)),
        (
            "CREATE /* a */ CATALOG c WITH ('type' = 'it''s', 'b'='')",
            Head("CREATE", "CATALOG", ("c",), options=(("type", "it's"), ("b", ""))),
        ),
        ("DROP TABLE IF EXISTS a.b", Head("DROP", "TABLE", ("a", "b"))),
        ("DROP DATABASE d CASCADE", Head("DROP", "DATABASE", ("d",))),
        ("ALTER TABLE IF EXISTS t RENAME TO a.u", Head("ALTER", "TABLE", ("t",), renamed_to=("a", "u"))),
        ("ALTER TABLE t ADD (b INT)", Head("ALTER", "TABLE", ("t",))),
        ("USE CATALOG `c`", Head("USE CATALOG", "CATALOG", ("c",))),
        ("USE c.d;", Head("USE", "DATABASE", ("c", "d"))),
        ("USE MODULES hive, core", Head("USE MODULES")),
        ("SET 'a.b' = 'c'", Head("SET", path=("a.b",), value="c")),
        ("SET a.b = c", Head("SET", path=("a.b",), value="c")),
        ("RESET", Head("RESET")),
        ("RESET 'a.b';", Head("RESET", path=("a.b",))),
        ("LOAD MODULE hive WITH ('a' = 'b')", Head("LOAD", "MODULE", ("hive",))),
        ("ADD JAR '/a.jar'", Head("JAR", path=("/a.jar",))),
        ("SET", None),
        ("SELECT 'CREATE TABLE t'", None),
        ("SHOW CREATE TABLE t", None),
        ("INSERT INTO t SELECT 1", None),
        ("", None),
    ],
)
def test_a_head_is_read(sql: str, head: Head | None) -> None:
    assert read_head(sql) == head
