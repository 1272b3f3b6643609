"""`millrace sql query`, `validate` and `run` over a fake gateway: what is written, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.unit.cli.sql.conftest import Run
from tests.unit.flink.fakes import EOS, FakeFlink, page, server_error

COLUMNS: list[tuple[str, dict[str, object]]] = [
    ("a", {"type": "DECIMAL", "precision": 10, "scale": 2, "nullable": False}),
    ("b", {"type": "VARCHAR", "length": 2147483647, "nullable": True}),
]
ROWS: list[list[object]] = [[1.5, "x"], [None, 'two, "three"']]
NOT_FOUND = (
    "org.apache.flink.table.api.ValidationException: SQL validation failed.\n"
    "Caused by: org.apache.calcite.runtime.CalciteContextException: From line 1, column 15 to line 1, column 18: "
    "Object 'nope' not found\n\tat a.b.C(C.java:1)"
)


def answer(flink: FakeFlink, rows: list[list[object]] = ROWS, kind: str = "INSERT") -> None:
    flink.pages = [page(rows, columns=COLUMNS, token=1, kind=kind), EOS]


@pytest.mark.parametrize(
    ("options", "written"),
    [
        pytest.param([], '[1.50, "x"]\n[null, "two, \\"three\\""]\n', id="piped: an array a row"),
        pytest.param(["-e", "object"], '{"a": 1.50, "b": "x"}\n{"a": null, "b": "two, \\"three\\""}\n', id="objects"),
        pytest.param(["-o", "csv"], 'a,b\n1.50,x\n,"two, ""three"""\n', id="csv"),
        pytest.param(["-o", "csv", "-e", "changelog"], 'op,a,b\n+I,1.50,x\n+I,,"two, ""three"""\n', id="csv changes"),
        pytest.param(["-o", "table"], '   a  b\n1.50  x\nNULL  two, "three"\n', id="table"),
        pytest.param(
            ["-o", "table", "-e", "changelog"], 'op     a  b\n+I  1.50  x\n+I  NULL  two, "three"\n', id="changes"
        ),
    ],
)
def test_rows_are_written_in_the_form_that_was_asked_for(
    run: Run, flink: FakeFlink, options: list[str], written: str
) -> None:
    answer(flink)
    ran = run("query", *options, "SELECT a, b FROM t")
    assert (ran.code, ran.out) == (0, written)


def test_the_document_has_columns_rows_and_the_end(run: Run, flink: FakeFlink) -> None:
    answer(flink)
    ran = run("query", "--json", "SELECT a, b FROM t")
    document = json.loads(ran.out)
    assert [column["type"] for column in document["columns"]] == ["DECIMAL(10, 2)", "STRING"]
    assert document["rows"] == [[1.5, "x"], [None, 'two, "three"']]
    assert "    [1.50, " in ran.out
    assert (document["end"]["reason"], document["end"]["rows"]) == ("eos", 2)


def test_a_result_without_rows_is_a_document_too(run: Run, flink: FakeFlink) -> None:
    answer(flink, [])
    assert json.loads(run("query", "--json", "SELECT a, b FROM t").out)["rows"] == []


def test_an_updated_row_is_shown_once_in_a_table(run: Run, flink: FakeFlink) -> None:
    flink.pages = [
        page([[1, "x"]], columns=COLUMNS, token=1),
        page([[1, "x"]], columns=COLUMNS, token=2, kind="UPDATE_BEFORE"),
        page([[2, "x"]], columns=COLUMNS, token=3, kind="UPDATE_AFTER"),
        EOS,
    ]
    ran = run("query", "-o", "table", "SELECT a, b FROM t")
    assert ran.out == "   a  b\n2.00  x\n"
    assert ran.err.startswith("1 row, ")


def test_what_an_array_cannot_say_is_warned_about_on_stderr(run: Run, flink: FakeFlink) -> None:
    answer(flink, [[1, "x"]], kind="DELETE")
    ran = run("query", "SELECT a, b FROM t")
    assert ran.out == ""
    assert ran.err.count("warning: ") == 1


def test_a_limit_is_told_on_stderr_and_is_no_error(run: Run, flink: FakeFlink) -> None:
    flink.pages = [page([[number, "x"] for number in range(9)], columns=COLUMNS, token=1), EOS]
    ran = run("query", "--max-rows", "2", "SELECT a, b FROM t")
    assert (ran.code, len(ran.out.splitlines())) == (0, 2)
    assert ran.err == "stopped after 2 rows; --max-rows 0 gives all\n"


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        pytest.param("SELECT * FROM orders EMIT CHANGES", "V03", id="ksqlDB"),
        pytest.param("SELECT 1; SELECT 2", "V02", id="two statements"),
        pytest.param("DROP TABLE t", "V05", id="no query"),
        pytest.param("", "V01", id="empty"),
    ],
)
def test_refused_sql_exits_with_2_and_asks_no_service(run: Run, flink: FakeFlink, sql: str, rule: str) -> None:
    ran = run("query", sql)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {rule}")
    assert flink.requests == []


def test_a_string_may_hold_what_is_no_flink_sql(run: Run, flink: FakeFlink) -> None:
    answer(flink)
    assert run("query", "SELECT 'EMIT CHANGES' AS s").code == 0


def test_an_error_of_flink_is_one_line_without_a_java_stack(run: Run, flink: FakeFlink) -> None:
    flink.pages = [server_error(NOT_FOUND)]
    ran = run("query", "SELECT * FROM nope")
    assert (ran.code, ran.out) == (4, "")
    assert "Object 'nope' not found" in ran.err
    assert "line 1, column 15" in ran.err
    assert "at a.b.C" not in ran.err


def test_an_error_is_the_document_where_the_result_would_be(run: Run, flink: FakeFlink) -> None:
    flink.pages = [server_error(NOT_FOUND)]
    error = json.loads(run("query", "-o", "json", "SELECT * FROM nope").out)["error"]
    assert (error["code"], error["exit_code"]) == ("sql_semantic_error", 4)


def test_a_service_that_is_down_exits_with_5(run: Run, flink: FakeFlink, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    monkeypatch.setenv("SQL_ENGINE_HTTP_RETRIES", "0")
    flink.overrides["GET /overview"] = refuse
    assert run("query", "SELECT 1 AS a").code == 5


def test_a_property_goes_with_the_statement(run: Run, flink: FakeFlink) -> None:
    answer(flink)
    run("query", "--set", "table.exec.mini-batch.size=7", "SELECT a, b FROM t")
    config = flink.statements[0]["executionConfig"]
    assert isinstance(config, dict)
    assert config["table.exec.mini-batch.size"] == "7"


@pytest.mark.parametrize(
    "words", [("--set", "nothing"), ("--json", "-o", "csv"), ("--set", "rest.port=1"), ("--mode", "fast")]
)
def test_wrong_usage_exits_with_2(run: Run, flink: FakeFlink, words: tuple[str, ...]) -> None:
    assert run("query", *words, "SELECT 1 AS a").code == 2
    assert flink.requests == []


def test_a_script_runs_its_statements_and_not_the_semicolons_inside_them(
    run: Run, flink: FakeFlink, tmp_path: Path
) -> None:
    script = tmp_path / "script.sql"
    script.write_text("-- a; comment\nSELECT ';' AS s;\nSELECT 2 /* ; */;\n")
    flink.pages = [page([[1, "x"]], columns=COLUMNS, token=1), EOS, page([[2, "y"]], columns=COLUMNS, token=1), EOS]
    ran = run("run", str(script))
    assert (ran.code, ran.out) == (0, '[1.00, "x"]\n[2.00, "y"]\n')
    assert [statement["statement"] for statement in flink.statements] == ["SELECT ';' AS s", "SELECT 2"]


def test_a_script_tells_where_and_what_each_statement_was(run: Run, flink: FakeFlink, tmp_path: Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text("\nSELECT a, b FROM t;")
    answer(flink)
    [statement] = json.loads(run("run", "--json", str(script)).out)["statements"]
    assert (statement["line"], statement["kind"], statement["rows"]) == (2, "query", [[1.5, "x"], [None, ROWS[1][1]]])


def test_a_script_destroys_nothing_unless_it_is_allowed_to(run: Run, flink: FakeFlink, tmp_path: Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text("DROP TABLE t;")
    ran = run("run", str(script))
    assert ran.code == 2
    assert "V14" in ran.err
    assert flink.requests == []


def test_a_script_that_is_not_there_is_wrong_usage(run: Run) -> None:
    assert run("run", "nowhere.sql").code == 2


def test_validation_shows_the_place_and_exits_with_2(run: Run) -> None:
    ran = run("validate", "SELECT a\nFROM t WHERE a != 1")
    assert ran.code == 2
    assert "V17" in ran.out
    assert "  FROM t WHERE a != 1\n                 ^" in ran.out
    assert ran.out.endswith("not valid\n")


def test_valid_sql_is_said_to_be_so(run: Run) -> None:
    assert run("validate", "SELECT 1 AS a").out == "valid\n"
    document = json.loads(run("validate", "--json", "--for", "persistent", "SELECT * FROM t").out)
    assert document["valid"] is True
    assert [problem["code"] for problem in document["problems"]] == ["V11"]
