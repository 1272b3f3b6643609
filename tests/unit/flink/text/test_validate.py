"""Rules V01 to V17, and what they must not catch."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import ConfigError, FlinkError, SqlRefusedError, StatementError
from orchestration.flink.engine import open_engine
from orchestration.flink.queries.deploy import check_spec
from orchestration.flink.queries.outcome import Steps
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.text.mode import Mode
from orchestration.flink.text.rules.problem import Permission, Purpose
from orchestration.flink.text.validate import (
    check_deep,
    check_properties,
    check_sql,
    require_valid,
)
from orchestration.settings import load_settings


def found(sql: str, **how: object) -> list[str]:
    """Return "code severity line:column" of each problem."""
    problems = check_sql(sql, **how)  # type: ignore[arg-type]
    return [f"{problem.code} {problem.severity} {problem.line}:{problem.column}" for problem in problems]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        pytest.param("", ["V01 error 1:1"], id="V01-empty"),
        pytest.param(" \n\t", ["V01 error 1:1"], id="V01-blank"),
        pytest.param("-- a\n/* b */ // c", ["V01 error 1:1"], id="V01-comments"),
        pytest.param(";;", ["V01 error 1:1"], id="V01-semicolons"),
        pytest.param("SELECT 1; SELECT 2", ["V02 error 1:11"], id="V02-two"),
        pytest.param("SELECT 1;\n-- c\n  SELECT 2; SELECT 3", ["V02 error 3:3"], id="V02-three"),
        pytest.param("SELECT * FROM orders EMIT CHANGES", ["V03 error 1:22"], id="V03-changes"),
        pytest.param("SELECT *\nFROM orders\n  emit /* now */ final;", ["V03 error 3:3"], id="V03-final"),
        pytest.param("CREATE STREAM s (a INT)", ["V05 error 1:1", "V04 error 1:8"], id="V04-create-stream"),
        pytest.param("CREATE OR REPLACE STREAM s AS SELECT 1", ["V05 error 1:1", "V04 error 1:19"], id="V04-replace"),
        pytest.param("TERMINATE q1", ["V04 error 1:1"], id="V04-terminate"),
        pytest.param("SELECT LATEST_BY_OFFSET(a) FROM t", ["V04 error 1:8"], id="V04-latest"),
        pytest.param("SELECT earliest_by_offset (a) FROM t", ["V04 error 1:8"], id="V04-earliest"),
        pytest.param("SELECT a FROM t PARTITION BY a", ["V04 error 1:17"], id="V04-partition-by"),
        pytest.param("SELECT a FROM t WINDOW TUMBLING (SIZE 1 HOUR)", ["V04 error 1:17"], id="V04-tumbling"),
        pytest.param("SELECT a FROM t WINDOW HOPPING(SIZE 1 HOUR)", ["V04 error 1:17"], id="V04-hopping"),
        pytest.param("SELECT a FROM t WINDOW SESSION (60 SECONDS)", ["V04 error 1:17"], id="V04-session"),
        pytest.param("INSERT INTO t SELECT 1", ["V05 error 1:1"], id="V05-insert"),
        pytest.param("CREATE TABLE t (a INT)", ["V05 error 1:1"], id="V05-create"),
        pytest.param("USE CATALOG c", ["V05 error 1:1"], id="V05-use"),
        pytest.param("STOP JOB 'x'", ["V05 error 1:1"], id="V05-job"),
        pytest.param("SELECT 1;\nSELECT 'abc", ["V06 error 2:8"], id="V06-quote"),
        pytest.param("SELECT `abc", ["V06 error 1:8"], id="V06-backtick"),
        pytest.param("SELECT 1 /* abc", ["V06 error 1:10"], id="V06-comment"),
        pytest.param("SELECT (1 + (2)", ["V06 error 1:8"], id="V06-open-parenthesis"),
        pytest.param("SELECT 1)\nFROM t", ["V06 error 1:9"], id="V06-closed-parenthesis"),
        pytest.param("SELECT 1\0", ["V07 error 1:9"], id="V07-nul"),
        pytest.param("SELECT '\x1b', '\x07'", ["V07 error 1:9"], id="V07-escape-in-a-string"),
        pytest.param("SELECT {{ a }} FROM t", ["V08 error 1:8"], id="V08-jinja"),
        pytest.param("{% if a %} SELECT 1", ["V08 error 1:1"], id="V08-jinja-block"),
        pytest.param("SELECT a FROM ${table}", ["V08 error 1:15"], id="V08-dollar"),
        pytest.param("SELECT '{{ a }}' AS a", ["V08 warning 1:9"], id="V08-in-a-string"),
        pytest.param('SELECT {{ ref("it\'s") }}', ["V08 error 1:8", "V06 error 1:18"], id="V08-with-open-quote"),
        pytest.param("SET 'rest.port' = '1'", ["V05 error 1:1", "V09 error 1:5"], id="V09-denied"),
        pytest.param("DROP TABLE t", ["V05 error 1:1", "V14 error 1:1"], id="V14-drop"),
        pytest.param("SELECT a FROM t WHERE a != 1", ["V17 error 1:25"], id="V17-bang-equal"),
        pytest.param("SELECT 1 AS a WHERE 1 = 1", ["V17 error 1:15"], id="V17-where"),
        pytest.param("SELECT a FROM (SELECT 1 AS a WHERE TRUE)", ["V17 error 1:30"], id="V17-where-in-a-subquery"),
        pytest.param("SELECT a FROM t UNION ALL SELECT 1 WHERE TRUE", ["V17 error 1:36"], id="V17-where-in-a-union"),
    ],
)
def test_what_an_ad_hoc_query_must_not_hold(sql: str, expected: list[str]) -> None:
    assert found(sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'EMIT CHANGES' AS s",
        "SELECT emit_changes FROM t -- EMIT CHANGES",
        "SELECT `EMIT` CHANGES FROM t /* EMIT FINAL */",
        "SELECT 'it''s; {x}', '$1', '!=' AS `CREATE STREAM` FROM t",
        "SELECT 1;",
        "SELECT 1 -- one; two\n;;",
        "SHOW TABLES",
        "DESCRIBE t",
        "EXPLAIN INSERT INTO t SELECT 1",
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "VALUES (1, 'a')",
        "SELEC 1",
        "SELECT SUM(a) OVER (PARTITION BY b ORDER BY c) FROM t",
        "SELECT SUM(a) OVER w FROM t WINDOW w AS (PARTITION BY b ORDER BY c)",
        "SELECT a FROM t MATCH_RECOGNIZE (PARTITION BY b ORDER BY c MEASURES A.x AS a PATTERN (A) DEFINE A AS A.x > 1)",
        "SELECT a FROM TABLE(SESSION(TABLE t PARTITION BY a, DESCRIPTOR(ts), INTERVAL '5' MINUTES))",
        "SELECT EXTRACT(DAY FROM ts), COUNT(*) FILTER (WHERE a > 1) FROM t WHERE a IS DISTINCT FROM b",
        "SELECT a IS NOT DISTINCT FROM b FROM t WHERE a > 1",
        "SELECT terminate, latest_by_offset FROM t",
        "SELECT a FROM t /*+ OPTIONS('x' = '{') */",
        "SELECT 'größe', '😀' AS x\r\n FROM t\t",
    ],
)
def test_what_flink_takes_passes(sql: str) -> None:
    assert found(sql) == []


@pytest.mark.parametrize(
    ("sql", "allow", "expected"),
    [
        ("CREATE TABLE t (a INT)", {"ddl"}, []),
        ("SET 'a' = 'b'", {"ddl"}, []),
        ("INSERT INTO t SELECT 1", {"dml"}, []),
        ("STOP JOB 'x'", {"dml"}, []),
        ("INSERT INTO t SELECT 1", {"ddl"}, ["V05 error 1:1"]),
        ("DROP TABLE t", {"ddl"}, ["V14 error 1:1"]),
        ("DROP TABLE t", {"destructive"}, ["V05 error 1:1"]),
        ("DROP TABLE t", {"ddl", "destructive"}, []),
        ("DROP CATALOG c", {"ddl"}, ["V14 error 1:1"]),
        ("DROP TEMPORARY VIEW v", {"ddl"}, []),
        ("DELETE FROM t WHERE a = 1", {"dml"}, ["V14 error 1:1"]),
        ("UPDATE t SET a = 1", {"dml"}, ["V14 error 1:1"]),
        ("TRUNCATE TABLE t", {"dml"}, ["V14 error 1:1"]),
        ("TRUNCATE TABLE t", {"dml", "destructive"}, []),
    ],
)
def test_permissions_of_an_ad_hoc_call(sql: str, allow: set[Permission], expected: list[str]) -> None:
    assert found(sql, allow=allow) == expected


def test_a_script_takes_every_kind_of_statement_but_destroys_only_when_allowed() -> None:
    script = "CREATE TABLE t (a INT);\nINSERT INTO t SELECT 1;\nSELECT 1;\nUSE c;\nDROP TABLE t;"
    assert found(script, purpose="script") == ["V14 error 5:1"]
    assert found(script, purpose="script", allow={"destructive"}) == []


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO s SELECT a FROM t",
        "SELECT a FROM t",
        "EXECUTE STATEMENT SET BEGIN INSERT INTO s SELECT a FROM t; END",
        "BEGIN STATEMENT SET; INSERT INTO s SELECT a FROM t; END;",
    ],
)
def test_queries_inserts_and_statement_sets_can_be_persistent(sql: str) -> None:
    assert found(sql, purpose="persistent") == []


@pytest.mark.parametrize("sql", ["SHOW TABLES", "CREATE TABLE t AS SELECT 1 AS a", "DROP VIEW v", "CALL p(1)", "USE c"])
def test_nothing_else_can_be_persistent(sql: str) -> None:
    assert "V05 error 1:1" in found(sql, purpose="persistent", allow={"ddl", "dml", "destructive"})


@pytest.mark.parametrize(
    ("sql", "purpose", "expected"),
    [
        ("SET 'execution.runtime-mode' = 'batch'", "adhoc", "error"),
        ("RESET 'execution.runtime-mode'", "adhoc", "error"),
        ("SET execution.runtime-mode = streaming", "script", "warning"),
        ("SET 'execution.runtime-mode' = 'BATCH'", "script", "warning"),
        ("RESET 'execution.runtime-mode'", "script", "warning"),
        ("SET 'execution.runtime-mode' = 'automatic'", "script", "error"),
    ],
)
def test_the_runtime_mode_is_fixed(sql: str, purpose: Purpose, expected: str) -> None:
    problems = check_sql(sql, purpose=purpose, allow={"ddl"})
    assert [(problem.code, problem.severity) for problem in problems] == [("V09", expected)]


DENIED = [
    "rest.port",
    "execution.target",
    "jobmanager.rpc.port",
    "taskmanager.numberOfTaskSlots",
    "sql-gateway.session.max-num",
    "security.ssl.enabled",
    "kubernetes.cluster-id",
    "table.resources.download-dir",
    "env.java.opts",
    " REST.port ",
]


@pytest.mark.parametrize("key", DENIED)
def test_settings_of_the_cluster_are_refused(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_properties({"parallelism.default": "1", key: "x"})
    assert (caught.value.code, caught.value.context["keys"], caught.value.exit_code) == (
        "config_invalid",
        key.strip(),
        2,
    )
    assert "V09 error 1:5" in found(f"SET '{key}' = 'x'", purpose="script")
    assert found(f"RESET '{key}'", purpose="script") == []


def test_other_settings_pass() -> None:
    check_properties({"table.exec.state.ttl": "1 h", "restart-strategy.type": "none", "pipeline.name": "rest.x"})
    assert found("SET 'pipeline.name' = 'rest.port'", purpose="script") == []


@pytest.mark.parametrize(
    ("sql", "mode", "expected"),
    [
        ("SELECT a FROM t ORDER BY a", "streaming", ["V10 error 1:17"]),
        ("SELECT a FROM t ORDER BY a", "batch", []),
        ("INSERT INTO s SELECT a FROM t ORDER BY a", "streaming", ["V10 error 1:31"]),
        ("INSERT INTO s (SELECT a FROM t ORDER BY a)", "streaming", ["V10 error 1:32"]),
        ("(SELECT a FROM t) UNION ALL (SELECT a FROM u LIMIT 3)", "streaming", ["V10 warning 1:46"]),
        ("SELECT a FROM t LIMIT 10", "streaming", ["V10 warning 1:17"]),
        ("SELECT a FROM t FETCH FIRST 10 ROWS ONLY", "streaming", ["V10 warning 1:17"]),
        ("SELECT a FROM t LIMIT 10", "batch", []),
        ("SELECT a FROM t ORDER BY a LIMIT 10", "streaming", []),
        ("SELECT a FROM (SELECT a FROM t LIMIT 3)", "streaming", []),
        ("SELECT ROW_NUMBER() OVER (PARTITION BY b ORDER BY a) AS n FROM t", "streaming", []),
        (
            "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT x FROM t; INSERT INTO b SELECT x FROM t LIMIT 1; END",
            "streaming",
            ["V10 warning 1:90"],
        ),
    ],
)
def test_order_and_limit_of_a_persistent_query(sql: str, mode: Mode, expected: list[str]) -> None:
    assert found(sql, purpose="persistent", mode=mode) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM t", ["V11 warning 1:8"]),
        ("SELECT DISTINCT * FROM t", ["V11 warning 1:17"]),
        ("SELECT a, t.* FROM t", ["V11 warning 1:13"]),
        ("INSERT INTO s SELECT a FROM t UNION ALL SELECT * FROM u", ["V11 warning 1:48"]),
        ("SELECT a * b AS c, (a) * 2 AS d FROM t", []),
        (
            "SELECT COUNT(*) AS n FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR)) "
            "GROUP BY window_start, window_end",
            [],
        ),
        ("SELECT a FROM (SELECT * FROM t)", []),
        ("WITH x AS (SELECT * FROM t) SELECT a FROM x", []),
    ],
)
def test_a_star_in_the_output_of_a_persistent_query_is_a_warning(sql: str, expected: list[str]) -> None:
    assert found(sql, purpose="persistent") == expected
    assert [code for code in found(sql) if code.startswith(("V10", "V11"))] == []


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        pytest.param("SELECT a, COUNT(*) FROM t GROUP BY a", ["V13 warning 1:27"], id="group-by"),
        pytest.param("SELECT a FROM t JOIN u ON t.a = u.a", ["V13 warning 1:17"], id="join"),
        pytest.param("SELECT a FROM t, u WHERE t.a = u.a", ["V13 warning 1:16"], id="comma"),
        pytest.param(
            "SELECT a FROM t, u WHERE u.ts BETWEEN t.ts AND t.ends", ["V13 warning 1:16"], id="comma-between-columns"
        ),
        pytest.param("SELECT a, COUNT(*) FROM (VALUES (1)) AS t(a) GROUP BY a", [], id="literal-rows"),
        pytest.param("SELECT a, COUNT(*) FROM t /*+ STATE_TTL('t' = '1h') */ GROUP BY a", [], id="ttl-hint"),
        pytest.param("SELECT a FROM t GROUP BY a, window_start, window_end", [], id="window"),
        pytest.param("SELECT a FROM t GROUP BY a, `window_start`", [], id="quoted-window"),
        pytest.param(
            "SELECT a FROM t JOIN u ON t.a = u.a AND t.ts BETWEEN u.ts - INTERVAL '1' HOUR AND u.ts", [], id="interval"
        ),
        pytest.param("SELECT a FROM t, u WHERE t.a = u.a AND t.ts > u.ts - INTERVAL '1' DAY", [], id="comma-interval"),
        pytest.param("SELECT a FROM t JOIN u FOR SYSTEM_TIME AS OF t.ts ON t.a = u.a", [], id="temporal"),
        pytest.param("SELECT a FROM t JOIN u ON t.a = u.a AND t.window_start = u.window_start", [], id="window-join"),
        pytest.param("SELECT a FROM t CROSS JOIN UNNEST(t.items) AS i(x)", [], id="unnest"),
        pytest.param("SELECT a FROM t, LATERAL TABLE(f(t.a)) AS i(x)", [], id="lateral"),
        pytest.param("SELECT a FROM t LEFT JOIN LATERAL TABLE(f(t.a)) ON TRUE", [], id="lateral-join"),
        pytest.param("SELECT a, MAX(b) OVER (PARTITION BY a ORDER BY ts) FROM t", [], id="over"),
    ],
)
def test_state_without_a_bound_is_a_warning(sql: str, expected: list[str]) -> None:
    assert found(sql) == expected
    assert found(sql, mode="batch") == []
    assert found(sql, properties={"table.exec.state.ttl": "1 h"}) == []
    assert found(sql, properties={"table.exec.state.ttl": "0 ms"}) == expected
    assert found(f"SET 'table.exec.state.ttl' = '1 h';\n{sql}", purpose="script") == []


def test_subqueries_are_looked_at_too() -> None:
    sql = "SELECT c FROM (\n  SELECT a, COUNT(*) AS c FROM t GROUP BY a\n) JOIN u ON TRUE"
    assert found(sql) == ["V13 warning 2:34", "V13 warning 3:3"]


@pytest.mark.parametrize(("ttl", "codes"), [("1 h", []), (None, ["V13"])])
def test_the_state_ttl_of_a_definition_counts(ttl: str | None, codes: list[str]) -> None:
    query = "SELECT a, COUNT(*) AS n FROM t GROUP BY a"
    steps = Steps(None)
    check_spec(QuerySpec.model_validate({"name": "q", "query": query, "state_ttl": ttl}), steps)
    assert [warning[:3] for warning in steps.warnings] == codes


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("/** fetch_max(abc) */ SELECT 1", ["V16 error 1:5"]),
        ("/** fech_max(5) */ SELECT 1", ["V16 warning 1:5"]),
        ("SELECT '/** mode(x) */' AS a", []),
    ],
)
def test_hints_are_checked(sql: str, expected: list[str]) -> None:
    assert found(sql) == expected


def test_more_than_a_mebibyte_is_refused_before_anything_else() -> None:
    text = "SELECT '" + "x" * (1024 * 1024 - 9) + "'"
    assert found(text) == []
    assert found(text + ";!=") == ["V07 error 1:1"]
    assert found("SELECT '" + "é" * (512 * 1024) + "'") == ["V07 error 1:1"]


def test_problems_come_in_the_order_of_the_text() -> None:
    sql = "SELECT ${a}\nFROM t WHERE a != 1\n  EMIT CHANGES; SELECT 2"
    assert found(sql) == ["V08 error 1:8", "V17 error 2:16", "V03 error 3:3", "V02 error 3:17"]


def test_require_valid_returns_the_warnings() -> None:
    warnings = require_valid("SELECT a, COUNT(*) FROM t GROUP BY a")
    assert [(warning.code, warning.severity) for warning in warnings] == [("V13", "warning")]


def test_a_refusal_names_rule_position_and_hint() -> None:
    with pytest.raises(SqlRefusedError) as caught:
        require_valid("SELECT a\nFROM t WHERE a != 1 EMIT CHANGES")
    error = caught.value
    assert error.message == (
        "V17, line 2, column 16: '!=' is not an operator of Flink SQL; "
        "V03, line 2, column 21: EMIT CHANGES is not valid Flink SQL syntax"
    )
    assert (error.hint, error.code, error.exit_code) == ("write <>", "validation_failed", 2)
    assert (error.context["rule"], error.context["line"], error.context["column"]) == ("V17", "2", "16")
    assert [problem["code"] for problem in orjson.loads(error.context["problems"])] == ["V17", "V03"]


def test_a_refusal_shows_no_more_than_five_problems() -> None:
    with pytest.raises(SqlRefusedError) as caught:
        require_valid("SELECT a FROM t WHERE " + " AND ".join(["a != 1"] * 8))
    assert caught.value.message.count("V17") == 5
    assert caught.value.message.endswith("; and 3 more")


@pytest.mark.parametrize(
    ("sql", "rule"),
    [("SELECT * FROM orders EMIT CHANGES", "V03"), ("SELECT 1; SELECT 2", "V02"), ("DROP TABLE orders", "V05")],
)
def test_what_is_refused_makes_no_request(sql: str, rule: str) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(500)

    transport = httpx.MockTransport(answer)
    with (
        open_engine(load_settings(environ={}), transport=transport) as engine,
        pytest.raises(SqlRefusedError) as caught,
    ):
        engine.execute(sql)
    assert (caught.value.context["rule"], caught.value.exit_code) == (rule, 2)
    assert requests == []


@dataclass
class FakeSession:
    """Answers EXPLAIN; `refusals` maps a piece of the statement to the error."""

    refusals: dict[str, Exception] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    closed: int = 0

    def execute(self, sql: str) -> FakeSession:
        self.statements.append(sql)
        for piece, error in self.refusals.items():
            if piece in sql:
                raise error
        return self

    def close(self) -> None:
        self.closed += 1


def refusal(line: int, column: int) -> StatementError:
    context = {"code": "sql_semantic_error"}
    return StatementError(f"Object 'nope' not found (line {line}, column {column})", hint="h", context=context)


@pytest.mark.parametrize(
    ("sql", "sent", "at", "expected"),
    [
        ("SELECT * FROM nope", "EXPLAIN SELECT * FROM nope", (1, 23), (1, 15)),
        ("-- c\n  SELECT *\nFROM nope;", "EXPLAIN SELECT *\nFROM nope", (2, 6), (3, 6)),
        ("/* x */ SELECT * FROM nope", "EXPLAIN SELECT * FROM nope", (1, 23), (1, 23)),
        (
            "EXECUTE STATEMENT SET BEGIN INSERT INTO nope SELECT 1; END",
            "EXPLAIN STATEMENT SET BEGIN INSERT INTO nope SELECT 1; END",
            (1, 41),
            (1, 41),
        ),
        (
            "BEGIN STATEMENT SET; INSERT INTO nope SELECT 1; END;",
            "EXPLAIN STATEMENT SET BEGIN INSERT INTO nope SELECT 1; END",
            (1, 41),
            (1, 34),
        ),
        ("CREATE TABLE t AS SELECT a FROM nope", "EXPLAIN CREATE TABLE t AS SELECT a FROM nope", (1, 41), (1, 33)),
    ],
)
def test_deep_validation_maps_flinks_position(
    sql: str, sent: str, at: tuple[int, int], expected: tuple[int, int]
) -> None:
    session = FakeSession({"nope": refusal(*at)})
    (problem,) = check_deep(session, sql)
    assert session.statements == [sent]
    assert (problem.code, problem.severity, problem.hint) == ("sql_semantic_error", "error", "h")
    assert (problem.line, problem.column) == expected
    assert problem.message == f"Object 'nope' not found (line {expected[0]}, column {expected[1]})"
    assert sql.split("\n")[expected[0] - 1][expected[1] - 1 :].startswith("nope")


def test_deep_validation_frees_its_operations_and_asks_about_each_statement() -> None:
    session = FakeSession({"nope": refusal(1, 23)})
    problems = check_deep(session, "SELECT 1; SHOW TABLES;\nSELECT * FROM nope; INSERT INTO s SELECT 2")
    assert [problem.line for problem in problems] == [2]
    assert session.statements == ["EXPLAIN SELECT 1", "EXPLAIN SELECT * FROM nope", "EXPLAIN INSERT INTO s SELECT 2"]
    assert session.closed == 2


def test_deep_validation_says_what_it_could_not_check() -> None:
    session = FakeSession()
    problems = check_deep(session, "SELECT 1;\nCREATE TABLE t (a INT);\nSELECT a FROM t;\nUSE c")
    assert session.statements == ["EXPLAIN SELECT 1"]
    assert [(problem.code, problem.severity, problem.line) for problem in problems] == [("unchecked", "warning", 3)]
    assert problems[0].message == "Flink was not asked: the CREATE in line 2 would have to run first"


def test_a_refusal_without_a_position_stands_at_its_statement() -> None:
    error = StatementError("sink cannot take updates", context={"code": "sink_incompatible"})
    (problem,) = check_deep(FakeSession({"s": error}), "SELECT 1;\n  INSERT INTO s SELECT 2")
    assert (problem.code, problem.line, problem.column) == ("sink_incompatible", 2, 3)


def test_a_failing_session_is_no_problem_of_the_sql() -> None:
    with pytest.raises(FlinkError, match="lost"):
        check_deep(FakeSession({"SELECT": FlinkError("session lost")}), "SELECT 1")


WORDS = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "JOIN",
    "UNION ALL",
    "TUMBLE",
    "DESCRIPTOR",
    "INSERT INTO",
    "SET",
    "t",
    "EMIT CHANGES",
    "AS",
    "WINDOW",
    "BEGIN",
    "END",
    "EXECUTE STATEMENT SET BEGIN",
]
SIGNS = [
    "=",
    "!=",
    "(",
    ")",
    ",",
    ";",
    "*",
    ".",
    "'a'",
    "`b`",
    "'",
    "`",
    "/*",
    "*/",
    "--",
    "\n",
    "{{",
    "/** mode(",
    "\0",
]
PIECES = st.sampled_from(WORDS + SIGNS)
PURPOSES: list[Purpose] = ["adhoc", "script", "persistent"]


@given(st.lists(PIECES, max_size=25), st.sampled_from(PURPOSES))
def test_any_text_gets_an_answer_with_positions_inside_it(pieces: list[str], purpose: Purpose) -> None:
    sql = " ".join(pieces)
    for problem in check_sql(sql, purpose=purpose):
        lines = sql.split("\n")
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60))
def test_what_stands_in_a_literal_is_no_error(text: str) -> None:
    literal, name = text.replace("'", "''"), text.replace("`", "``")
    for rule in (f"SELECT '{literal} EMIT CHANGES != (' AS a", f"SELECT 1 AS `{name} EMIT FINAL != )`"):
        assert [problem for problem in check_sql(rule) if problem.severity == "error"] == []


@pytest.mark.parametrize(
    "part", ["(", "()", "SELECT ", "(1,", "!=", "{{", "/** a(", "t JOIN ", "'a',", "GROUP BY TUMBLE(a, b) "], ids=repr
)
def test_a_hundred_kilobytes_take_no_long_time(part: str) -> None:
    text = "SELECT a FROM t " + part * (100_000 // len(part))
    start = time.process_time()
    check_sql(text, purpose="persistent")
    assert time.process_time() - start < 10
