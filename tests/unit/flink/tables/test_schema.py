from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from orchestration.errors import SqlRefusedError, StatementError
from orchestration.flink.sessions.session import Session, open_session
from orchestration.flink.tables.schema import QueryColumn, QuerySchema, describe_query, describe_table
from orchestration.flink.tables.sinks import compare_columns, table_exists
from tests.unit.flink.fakes import FakeFlink, page, server_error
from tests.unit.flink.tables.test_plan_keys import explained

TEXT: dict[str, object] = {"type": "VARCHAR", "nullable": True, "length": 2147483647}
DESCRIBED: list[tuple[str, dict[str, object]]] = [
    ("name", TEXT),
    ("type", TEXT),
    ("null", {"type": "BOOLEAN", "nullable": True}),
    ("key", TEXT),
    ("extras", TEXT),
    ("watermark", TEXT),
]
OK = page([["OK"]], columns=[("result", TEXT)], result_type="EOS")
NO_TABLE = "org.apache.flink.table.api.ValidationException: Tables or views with the identifier 'x' doesn't exist."


def described(*rows: tuple[str, str, bool]) -> dict[str, object]:
    return page([[*row, None, None, None] for row in rows], columns=DESCRIBED, result_type="EOS")


def plan(name: str) -> dict[str, object]:
    return page([[explained(name)]], columns=[("result", TEXT)], result_type="EOS")


@pytest.fixture
def session(flink: FakeFlink) -> Iterator[Session]:
    with flink.gateway() as gateway, open_session(gateway, mode="streaming", timing=flink.timing) as opened:
        yield opened


def statements(flink: FakeFlink) -> list[str]:
    return [str(body["statement"]) for body in flink.statements]


def test_a_query_is_described_by_a_view_and_its_plan(flink: FakeFlink, session: Session) -> None:
    flink.pages = [OK, described(("cust", "STRING", True), ("c", "BIGINT", False)), OK, plan("group")]
    assert describe_query(session, "SELECT cust, COUNT(*) AS c FROM orders GROUP BY cust;\n") == QuerySchema(
        (QueryColumn("cust", "STRING", True), QueryColumn("c", "BIGINT", False)),
        frozenset({"I", "UA"}),
        (("cust",),),
    )
    create, describe, drop, explain = statements(flink)
    view = describe.removeprefix("DESCRIBE ")
    assert create == f"CREATE TEMPORARY VIEW {view} AS SELECT cust, COUNT(*) AS c FROM orders GROUP BY cust"
    assert drop == f"DROP TEMPORARY VIEW IF EXISTS {view}"
    assert explain == "EXPLAIN CHANGELOG_MODE SELECT cust, COUNT(*) AS c FROM orders GROUP BY cust"


def test_the_view_is_dropped_when_describing_fails(flink: FakeFlink, session: Session) -> None:
    flink.pages = [OK, server_error("org.apache.flink.table.api.ValidationException: boom"), OK]
    with pytest.raises(StatementError, match="boom"):
        describe_query(session, "SELECT 1 AS a")
    assert statements(flink)[-1].startswith("DROP TEMPORARY VIEW IF EXISTS")


def test_marks_of_time_columns_are_no_part_of_the_type(flink: FakeFlink, session: Session) -> None:
    flink.pages = [described(("ts", "TIMESTAMP(3) *ROWTIME*", True), ("p", "TIMESTAMP_LTZ(3) *PROCTIME*", False))]
    assert describe_table(session, "`t`") == (
        QueryColumn("ts", "TIMESTAMP(3)", True, is_rowtime=True),
        QueryColumn("p", "TIMESTAMP_LTZ(3)", False, is_proctime=True),
    )


def test_two_columns_of_one_name_are_named(flink: FakeFlink, session: Session) -> None:
    trace = (
        "org.apache.flink.table.api.ValidationException: SQL validation failed.\nCaused by: org.apache.flink.table.api"
        ".ValidationException: A column with the same name `id` has been defined at line 1, column 35."
    )
    flink.pages = [server_error(trace)]
    with pytest.raises(SqlRefusedError, match="two columns of the query are called 'id'") as caught:
        describe_query(session, "SELECT a.id, b.id FROM a, b")
    assert caught.value.context["rule"] == "V15"
    assert caught.value.code == "validation_failed"


def test_a_changing_source_lends_its_primary_key(flink: FakeFlink, session: Session) -> None:
    table = page(
        [["k", "STRING", False, "PRI(k)", None, None], ["n", "INT", True, None, None, None]],
        columns=DESCRIBED,
        result_type="EOS",
    )
    flink.pages = [OK, described(("k", "STRING", False), ("n", "INT", True)), OK, plan("normalize"), table]
    assert describe_query(session, "SELECT * FROM latest").keys == (("k",),)
    assert statements(flink)[-1] == "DESCRIBE `default_catalog`.`default_database`.`latest`"


def test_a_source_without_a_name_has_no_key(flink: FakeFlink, session: Session) -> None:
    flink.pages = [
        OK,
        described(("k", "STRING", False), ("n", "INT", True)),
        OK,
        plan("normalize"),
        server_error(NO_TABLE),
    ]
    assert describe_query(session, "SELECT * FROM latest").keys == ()


def test_a_schema_is_json() -> None:
    schema = QuerySchema((QueryColumn("a", "INT", False),), frozenset({"UA", "I"}), (("a",),))
    assert schema.to_json() == {
        "columns": [
            {
                "name": "a",
                "type": "INT",
                "is_nullable": False,
                "is_rowtime": False,
                "is_proctime": False,
                "is_key": False,
            }
        ],
        "changelog": ["I", "UA"],
        "keys": [["a"]],
    }


@pytest.mark.parametrize(("answer", "exists"), [(described(("a", "INT", True)), True), (server_error(NO_TABLE), False)])
def test_a_table_is_there_if_it_can_be_described(
    flink: FakeFlink, session: Session, answer: dict[str, object] | httpx.Response, exists: bool
) -> None:
    flink.pages = [answer]
    assert table_exists(session, "`t`") is exists


def test_another_error_does_not_mean_that_a_table_is_missing(flink: FakeFlink, session: Session) -> None:
    flink.pages = [server_error("org.apache.flink.table.api.ValidationException: no such catalog")]
    with pytest.raises(StatementError, match="no such catalog"):
        table_exists(session, "`t`")


def test_an_existing_table_is_compared_column_by_column(flink: FakeFlink, session: Session) -> None:
    flink.pages = [described(("a", "BIGINT", True), ("b", "STRING", False), ("d", "INT", True))]
    query = QuerySchema(
        (QueryColumn("a", "INT", False), QueryColumn("b", "CHAR(1)", True), QueryColumn("c", "INT", True))
    )
    assert compare_columns(session, "`t`", query) == [
        "column 'b' is NOT NULL in the table and can be NULL in the query",
        "column 3 is called 'd' in the table and 'c' in the query",
    ]
