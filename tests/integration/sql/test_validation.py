"""What the rules, positions and helpers say, against a real gateway."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from orchestration.errors import InputError, SqlRefusedError, StatementError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.reading.feed import Limits
from orchestration.flink.sessions.session import Session, open_session
from orchestration.flink.tables.columns import sink_columns
from orchestration.flink.tables.schema import describe_query
from orchestration.flink.text.kinds import StatementKind
from orchestration.flink.text.mode import Mode
from orchestration.flink.text.script import Statement, locate_error, split_script
from orchestration.flink.text.tokens import significant, tokenize
from orchestration.flink.text.validate import check_deep, check_sql
from orchestration.flink.text.windows import require_time_attribute, window_query
from orchestration.settings import Settings
from orchestration.sql import quote_flink, quote_literal

pytestmark = pytest.mark.usefixtures("stack")

ORDERS = """
    CREATE TEMPORARY TABLE orders (
        n INT,
        amount AS CAST(CASE n WHEN 1 THEN 10.5 WHEN 2 THEN 20 ELSE 30 END AS DECIMAL(10, 2)),
        cust AS CASE n WHEN 2 THEN 'b' ELSE 'a' END,
        ts AS TIMESTAMPADD(SECOND, CASE n WHEN 1 THEN 1 WHEN 2 THEN 3 ELSE 12 END, TIMESTAMP '2024-01-01 00:00:00.000'),
        WATERMARK FOR ts AS ts
    ) WITH (
        'connector' = 'datagen', 'number-of-rows' = '3',
        'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '3'
    )
"""
HOLE = "CREATE TEMPORARY TABLE hole (a STRING) WITH ('connector' = 'blackhole')"
SECOND = timedelta(seconds=1)


def clock(second: int) -> datetime:
    return datetime(2024, 1, 1) + second * SECOND


@pytest.fixture(scope="module")
def gateway(settings: Settings) -> Iterator[GatewayClient]:
    with GatewayClient(settings.flink_sql_gateway_url) as client:
        yield client


@pytest.fixture(scope="module")
def session(gateway: GatewayClient) -> Iterator[Session]:
    with open_session(gateway, mode="streaming", init=[ORDERS, HOLE]) as opened:
        yield opened


@pytest.fixture(scope="module")
def batch(gateway: GatewayClient) -> Iterator[Session]:
    with open_session(gateway, mode="batch", init=[ORDERS]) as opened:
        yield opened


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[SqlEngine]:
    with open_engine(settings.model_copy(update={"sql_engine_namespace": "validation"})) as opened:
        yield opened


def test_emit_changes_is_refused_and_the_literal_runs(engine: SqlEngine) -> None:
    with pytest.raises(SqlRefusedError) as caught:
        engine.execute("SELECT * FROM orders EMIT CHANGES")
    assert (caught.value.context["rule"], caught.value.exit_code) == ("V03", 2)
    with engine.execute("SELECT 'EMIT CHANGES' AS s", mode="batch") as stream:
        assert [change.values for change in stream] == [("EMIT CHANGES",)]


def test_a_script_with_semicolons_inside_runs_two_statements(engine: SqlEngine) -> None:
    script = "-- one; two\nSELECT 'a;b' AS s;\n/* not; this */\nSELECT 2 AS n /* ; */;\n"
    with pytest.raises(SqlRefusedError) as caught:
        engine.execute(script)
    assert (caught.value.context["rule"], caught.value.context["line"]) == ("V02", "4")
    ran: list[tuple[int, list[object]]] = []
    for outcome in engine.run_script(script, mode="batch", limits=Limits(10, 30.0)):
        assert outcome.kind is StatementKind.QUERY
        assert outcome.stream is not None
        ran.append((outcome.line, [change.values for change in outcome.stream]))
    assert ran == [(2, [("a;b",)]), (4, [(2,)])]


@pytest.mark.parametrize(
    ("bad", "code", "at"),
    [
        pytest.param("  SELECT *\n  FROM nope", "sql_semantic_error", (4, 8), id="query"),
        pytest.param("/* c */ CREATE TEMPORARY VIEW v AS SELECT x FROM nope", "sql_semantic_error", (3, 50), id="view"),
        pytest.param("SELEC 1", "sql_parse_error", (3, 1), id="no-statement"),
        pytest.param("   SELECT 1 FROM FROM", "sql_parse_error", (3, 18), id="keyword"),
    ],
)
def test_a_script_stops_at_the_bad_statement_and_names_its_line(
    engine: SqlEngine, bad: str, code: str, at: tuple[int, int]
) -> None:
    ran: list[object] = []
    with pytest.raises(StatementError) as caught:
        for outcome in engine.run_script(f"SELECT 1 AS a; -- one\n\n{bad};\nSELECT 2 AS a", mode="batch"):
            assert outcome.stream is not None
            ran += [change.values for change in outcome.stream]
    assert ran == [(1,)]
    error = caught.value
    assert (error.code, error.context["line"], error.context["column"]) == (code, str(at[0]), str(at[1]))


@pytest.mark.parametrize(
    ("sql", "code", "text", "at"),
    [
        pytest.param("SELECT * FROM nope", "sql_semantic_error", "'nope' not found", (1, 15), id="table"),
        pytest.param("\n\n  SELECT n,\n\tmissing FROM orders", "sql_semantic_error", "'missing'", (4, 2), id="column"),
        pytest.param("-- é 😀\nSELECT '😀é', oops FROM orders", "sql_semantic_error", "'oops'", (2, 14), id="emoji"),
        pytest.param("SELECT 1 FROM FROM", "sql_parse_error", "keyword 'FROM'", (1, 15), id="keyword"),
    ],
)
def test_flinks_refusal_names_the_object_and_the_callers_position(
    session: Session, sql: str, code: str, text: str, at: tuple[int, int]
) -> None:
    (problem,) = check_deep(session, sql)
    assert (problem.code, problem.line, problem.column) == (code, *at)
    assert text in problem.message
    assert f"line {at[0]}, column {at[1]}" in problem.message
    (statement,) = split_script(sql)
    with pytest.raises(StatementError) as caught:
        session.execute(statement.text)
    error = locate_error(caught.value, statement)
    assert (error.code, error.context["line"], error.context["column"]) == (code, str(at[0]), str(at[1]))
    assert error.exit_code == 4
    assert "\n" not in str(error)
    assert "\tat " not in str(error)


def test_what_is_no_statement_is_a_parse_error_with_the_likely_word(session: Session) -> None:
    (problem,) = check_deep(session, "\n  SELEC 1")
    assert (problem.code, problem.line, problem.column) == ("sql_parse_error", 2, 3)
    assert problem.hint == "no statement starts with 'SELEC'; did you mean SELECT?"


def test_deep_validation_finds_each_bad_statement_and_runs_none(session: Session) -> None:
    script = """
        SELECT 1 AS a;
        BEGIN STATEMENT SET; INSERT INTO hole SELECT cust FROM orders;
        INSERT INTO hole SELECT nobody FROM orders; END;
        INSERT INTO nowhere SELECT cust FROM orders;
        CREATE TABLE copy WITH ('connector' = 'blackhole') AS SELECT nothing FROM orders;
        SELECT a FROM copy
    """
    found = check_deep(session, script)
    lines = script.split("\n")
    placed = [(problem.code, lines[problem.line - 1][problem.column - 1 :].split()[0]) for problem in found]
    assert placed == [
        ("sql_semantic_error", "nobody"),
        ("sql_semantic_error", "INSERT"),
        ("sql_semantic_error", "nothing"),
        ("unchecked", "SELECT"),
    ]
    assert ("copy",) not in session.execute("SHOW TABLES").fetch_all()


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("SELECT n FROM orders EMIT CHANGES", "V03"),
        ("SELECT n FROM orders PARTITION BY n", "V04"),
        ("SELECT (n FROM orders", "V06"),
        ("SELECT n FROM orders WHERE n != 1", "V17"),
        ("SELECT 1 AS a WHERE TRUE", "V17"),
        ("SELECT cust FROM orders ORDER BY cust", "V10"),
        ("SELECT {{ n }} FROM orders", "V08"),
    ],
)
def test_what_a_rule_refuses_flink_refuses_too(session: Session, sql: str, rule: str) -> None:
    assert rule in [problem.code for problem in check_sql(sql, purpose="persistent") if problem.severity == "error"]
    with pytest.raises(StatementError):
        session.execute(f"EXPLAIN {sql}").close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS a // it's; a comment",
        r"SELECT E'it\'s;' AS a",
        "SELECT n FROM orders /*+ OPTIONS('fields.n.end' = '2') */ -- so",
        "SELECT a FROM (SELECT cust AS a FROM orders ORDER BY cust)",
        "SELECT 'a''b', `cust` FROM orders /** mode('batch') */",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT n FROM orders WHERE n IS DISTINCT FROM 1",
    ],
)
def test_the_tokenizer_reads_what_flink_reads(session: Session, sql: str) -> None:
    assert [problem for problem in check_sql(sql) if problem.severity == "error"] == []
    assert len(split_script(sql + "\n;")) == 1
    session.execute(f"EXPLAIN {sql}").close()


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT a.n, b.n FROM orders a JOIN orders b ON a.n = b.n", "'n'"),
        ("SELECT cust, COUNT(*) FROM orders GROUP BY cust", "column 2"),
    ],
)
def test_columns_without_a_name_of_their_own_are_v15(session: Session, sql: str, text: str) -> None:
    with pytest.raises(SqlRefusedError) as caught:
        sink_columns(describe_query(session, sql).columns)
    assert caught.value.context["rule"] == "V15"
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a`b", "it's"),
        ("'; DROP TABLE orders; --", "'; DROP TABLE orders; --"),
        ("x/*+ OPTIONS('a'='b') */", "/* not a comment"),
        ("größe 😀", "größe 😀"),
        ("select", "${HOME} {{ x }} \\ \\' \\n"),
        ('a"b.c', "--"),
    ],
)
def test_flink_reads_back_hostile_names_and_values(batch: Session, name: str, value: str) -> None:
    with batch.execute(f"SELECT {quote_literal(value)} AS {quote_flink(name)}") as result:
        assert [column.name for column in result.columns] == [name]
        assert result.fetch_all() == [(value,)]


def test_tumbling_windows_of_ten_seconds_keep_the_scale(batch: Session) -> None:
    require_time_attribute(batch, "orders", "ts", "batch")
    sql = window_query("orders", "ts", "tumble", size=10 * SECOND, aggregates={"total": "SUM(amount)"}, mode="batch")
    with batch.execute(sql) as result:
        rows = result.fetch_all()
        assert [column.name for column in result.columns] == ["window_start", "window_end", "total"]
    assert rows == [(clock(0), clock(10), Decimal("30.50")), (clock(10), clock(20), Decimal("30.00"))]
    assert [str(row[2]) for row in rows] == ["30.50", "30.00"]


@pytest.mark.parametrize("mode", ["batch", "streaming"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(
            {"kind": "hop", "size": 10 * SECOND, "slide": 5 * SECOND},
            [(-5, 5, 2), (0, 10, 2), (5, 15, 1), (10, 20, 1)],
            id="hop",
        ),
        pytest.param(
            {"kind": "cumulate", "size": 10 * SECOND, "step": 5 * SECOND},
            [(0, 5, 2), (0, 10, 2), (10, 15, 1), (10, 20, 1)],
            id="cumulate",
        ),
        pytest.param(
            {"kind": "tumble", "size": 10 * SECOND, "offset": -3 * SECOND}, [(-3, 7, 2), (7, 17, 1)], id="offset"
        ),
        pytest.param(
            {"kind": "tumble", "size": timedelta(seconds=100), "offset": timedelta(milliseconds=500)},
            [(0.5, 100.5, 3)],
            id="odd-lengths",
        ),
    ],
)
def test_each_kind_of_window_runs_in_both_modes(
    session: Session, batch: Session, mode: Mode, arguments: dict[str, object], expected: list[tuple[float, float, int]]
) -> None:
    sql = window_query("orders", "ts", aggregates={"n": "COUNT(*)"}, mode=mode, **arguments)  # type: ignore[arg-type]
    with (batch if mode == "batch" else session).execute(sql) as result:
        rows = sorted(result.fetch_all(), key=lambda row: row[:2])
    zero = clock(0)
    assert rows == [(zero + start * SECOND, zero + end * SECOND, count) for start, end, count in expected]


def test_sessions_are_those_of_each_key(session: Session) -> None:
    require_time_attribute(session, "orders", "ts")
    sql = window_query("orders", "ts", "session", gap=10 * SECOND, group_by=["cust"], aggregates={"n": "COUNT(*)"})
    with session.execute(sql) as result:
        rows = sorted(result.fetch_all(), key=lambda row: row[:2])
    assert rows == [(clock(1), clock(11), "a", 1), (clock(3), clock(13), "b", 1), (clock(12), clock(22), "a", 1)]


def test_session_windows_in_batch_are_refused_as_flink_would(batch: Session) -> None:
    with pytest.raises(InputError) as caught:
        window_query("orders", "ts", "session", gap=SECOND, aggregates={"n": "COUNT(*)"}, mode="batch")
    assert caught.value.code == "validation_failed"
    sql = window_query("orders", "ts", "session", gap=SECOND, aggregates={"n": "COUNT(*)"})
    with pytest.raises(StatementError, match="not supported in batch mode"):
        batch.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT cust, TUMBLE_START(ts, {t}) AS s, SUM(n) AS x FROM orders WHERE n > 0 GROUP BY cust, TUMBLE(ts, {t})",
        "SELECT HOP_END(o.ts, {s}, {t}) AS e, COUNT(*) AS x FROM orders o GROUP BY HOP(o.ts, {s}, {t})",
        "SELECT orders.cust, SESSION_ROWTIME(orders.ts, {t}) AS r, COUNT(*) AS x FROM orders"
        " GROUP BY orders.cust, SESSION(orders.ts, {t}) HAVING SESSION_END(orders.ts, {t}) > TIMESTAMP '{y}'",
    ],
    ids=["tumble", "hop", "session"],
)
def test_the_rewrite_of_a_legacy_window_gives_the_same_rows(session: Session, sql: str) -> None:
    legacy = sql.format(s="INTERVAL '5' SECOND", t="INTERVAL '10' SECOND", y="2000-01-01 00:00:00")
    (problem,) = [problem for problem in check_sql(legacy) if problem.code == "V12"]
    assert problem.rewrite is not None
    rows = [sorted(session.execute(text).fetch_all(), key=str) for text in (legacy, problem.rewrite)]
    assert rows[0] == rows[1]
    assert rows[0] != []


def test_a_position_after_a_rewritten_head_of_a_statement_set_is_right(session: Session) -> None:
    script = f"SELECT 1;\n  BEGIN STATEMENT SET; INSERT INTO hole SELECT no_{uuid.uuid4().hex[:4]} FROM orders; END;"
    statement: Statement = split_script(script)[1]
    with pytest.raises(StatementError) as caught:
        session.execute(statement.text)
    error = locate_error(caught.value, statement)
    line, column = int(error.context["line"]), int(error.context["column"])
    assert script.split("\n")[line - 1][column - 1 :].startswith("no_")
    assert [token.text for token in significant(tokenize(statement.text))][:4] == [
        "EXECUTE",
        "STATEMENT",
        "SET",
        "BEGIN",
    ]
