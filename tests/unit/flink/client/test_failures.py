"""Java stacks in, one line for people out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestration.errors import (
    FlinkError,
    JobFailedError,
    MillraceError,
    SessionLostError,
    StatementError,
    UnreachableError,
)
from orchestration.flink.client.failures import DuplicateJobError, OverloadedError, UnauthorizedError, error_from_answer
from orchestration.flink.client.models import JobExceptions
from orchestration.flink.client.traces import causes, root_cause

ANSWERS = Path(__file__).parents[1] / "answers"
"""Bodies recorded from a real Flink 2.1.3; most stack lines are cut out."""

FETCH = "org.apache.flink.table.gateway.api.utils.SqlGatewayException: Failed to fetchResults.\n\tat a.b(C.java:1)\n"
REFUSED = "Connect to http://127.0.0.1:8181 failed: Connection refused"


def trace(*causes_: str) -> str:
    """Return a stack trace of the gateway that ends in these causes."""
    return FETCH + "".join(f"Caused by: {cause}\n\tat x.Y.z(Y.java:1)\n" for cause in causes_)


def recorded(name: str) -> MillraceError:
    body = (ANSWERS / f"{name}.json").read_text()
    return error_from_answer("Flink SQL Gateway", "GET /x", 500, body, {"session": "1-2-3"})


def written(text: str) -> MillraceError:
    body = json.dumps({"errors": ["Internal server error.", f"<Exception on server side:\n{text}"]})
    return error_from_answer("Flink SQL Gateway", "GET /x", 500, body, {"session": "1-2-3"})


@pytest.mark.parametrize(
    ("name", "kind", "code", "text"),
    [
        ("unknown_table", StatementError, "sql_semantic_error", "Object 'nope' not found (line 2, column 6)"),
        ("unknown_word", StatementError, "sql_parse_error", "Non-query expression encountered in illegal context"),
        ("syntax", StatementError, "sql_parse_error", "Incorrect syntax near the keyword 'FROM' at line 1, column 15."),
        ("two", StatementError, "sql_parse_error", "only single statement supported"),
        (
            "connector",
            StatementError,
            "connector_missing",
            "Could not find any factory for identifier 'nosuch' that implements "
            "'org.apache.flink.table.factories.DynamicTableFactory' in the classpath. "
            "Available factory identifiers are: "
            "blackhole datagen filesystem iceberg kafka legacy-csv print upsert-kafka",
        ),
        (
            "columns",
            StatementError,
            "sql_semantic_error",
            "Column types of query result and sink for 'default_catalog.default_database.hole' do not match. "
            "Cause: Different number of columns. "
            "Query schema: [EXPR$0: CHAR(1) NOT NULL, EXPR$1: CHAR(1) NOT NULL] Sink schema: [n: BIGINT]",
        ),
        (
            "runtime",
            JobFailedError,
            "statement_failed",
            "the query failed while it ran: NumberFormatException: For input string: 'abc'. Invalid character found.",
        ),
        ("duplicate", DuplicateJobError, "conflict", "Flink has, or had, a job with this id"),
    ],
)
def test_a_recorded_answer_becomes_one_line(name: str, kind: type[MillraceError], code: str, text: str) -> None:
    mapped = recorded(name)
    assert type(mapped) is kind
    assert (mapped.context["code"], mapped.message) == (code, text)


@pytest.mark.parametrize(
    ("text", "kind", "code", "message"),
    [
        pytest.param(
            "org.apache.flink.table.gateway.api.utils.SqlGatewayException: Session '1-2-3' does not exist.",
            SessionLostError,
            "session_lost",
            "Session '1-2-3' does not exist.",
            id="session",
        ),
        pytest.param(
            trace(
                "org.apache.flink.table.api.TableException: Failed to execute sql",
                "org.apache.flink.util.FlinkException: Failed to execute job 'collect'.",
                "org.apache.flink.util.concurrent.FutureUtils$RetryException: Number of retries has been exhausted.",
                "java.net.ConnectException: Connection refused: /127.0.0.1:8081",
            ),
            UnreachableError,
            "cluster_unreachable",
            "the Flink cluster does not answer the gateway: ConnectException: Connection refused: /127.0.0.1:8081",
            id="cluster",
        ),
        pytest.param(
            trace(
                "org.apache.flink.table.api.ValidationException: Could not execute CREATE CATALOG",
                "org.apache.iceberg.exceptions.RESTException: Error occurred while processing GET request",
                f"org.apache.hc.client5.http.HttpHostConnectException: {REFUSED}",
            ),
            UnreachableError,
            "catalog_unreachable",
            "the Iceberg catalog does not answer Flink: Could not execute CREATE CATALOG: "
            f"HttpHostConnectException: {REFUSED}",
            id="catalog",
        ),
        pytest.param(
            trace(
                "org.apache.flink.runtime.client.JobExecutionException: Job execution failed.",
                "org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException: "
                "Could not acquire the minimum required resources.",
            ),
            FlinkError,
            "no_slots",
            "NoResourceAvailableException: Could not acquire the minimum required resources.",
            id="slots",
        ),
    ],
)
def test_the_chain_of_causes_decides(text: str, kind: type[MillraceError], code: str, message: str) -> None:
    mapped = written(text)
    assert type(mapped) is kind
    assert (mapped.context["code"], mapped.message) == (code, message)


VALIDATION = "org.apache.flink.table.api.ValidationException: "
GATEWAY = "org.apache.flink.table.gateway.api.utils.SqlGatewayException: "


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        ("org.apache.flink.sql.parser.impl.ParseException: Encountered 'x' at line 1, column 8.", "sql_parse_error"),
        ("org.apache.calcite.sql.parser.SqlParseException: Bang equal '!=' is not allowed", "sql_parse_error"),
        ("java.lang.IllegalArgumentException: only single statement supported", "sql_parse_error"),
        ("org.apache.calcite.sql.validate.SqlValidatorException: Object 'nope' not found", "sql_semantic_error"),
        (f"{VALIDATION}Cannot find table '`a`.`b`.`c`'", "sql_semantic_error"),
        (f"{VALIDATION}Column types of query result and sink for 't' do not match.", "sql_semantic_error"),
        (f"{VALIDATION}Could not find any factory for identifier 'x' that implements", "connector_missing"),
        (f"{VALIDATION}Table options do not contain an option key 'connector'", "connector_option_invalid"),
        (f"{VALIDATION}Unsupported options found for 'kafka'.", "connector_option_invalid"),
        (f"{VALIDATION}One or more required options are missing.", "connector_option_invalid"),
        (
            "org.apache.flink.table.api.TableException: Table sink 's' doesn't support consuming update changes",
            "sink_incompatible",
        ),
        ("org.apache.flink.table.catalog.exceptions.TableAlreadyExistException: Table t exists", "table_exists"),
        (f"{VALIDATION}Temporary table '`a`.`b`.`v`' already exists", "table_exists"),
        (f"{VALIDATION}Could not parse value 'x' for key 'parallelism.default'.", "config_invalid"),
        (f"{GATEWAY}Session '1-2' does not exist.", "session_lost"),
        (f"{GATEWAY}Can not find the submitted operation in the OperationManager", "operation_lost"),
        (f"{GATEWAY}Failed to create session, the count of active sessions exceeds the max count: 3", "session_limit"),
        (f"{GATEWAY}Expecting token to be 3 or 2, but found 7.", "result_token_lost"),
        ("org.apache.flink.util.FlinkException: Could not find Flink job (abc)", "job_not_found"),
        ("java.lang.Exception: Job could not be found.", "job_not_found"),
        ("java.lang.NullPointerException: x", "statement_failed"),
    ],
)
def test_each_cause_has_its_code(cause: str, code: str) -> None:
    assert written(trace(cause)).code == code


def test_a_setting_that_cannot_be_read_is_named() -> None:
    text = "Could not parse value 'x' for key 'parallelism.default'."
    mapped = written(
        trace(f"java.lang.IllegalArgumentException: {text}", 'java.lang.NumberFormatException: For input string: "x"')
    )
    assert (mapped.code, mapped.message) == ("config_invalid", text)


@pytest.mark.parametrize(
    ("status", "kind", "code", "exit_code"),
    [
        (401, UnauthorizedError, "unauthorized", 4),
        (403, UnauthorizedError, "unauthorized", 4),
        (429, OverloadedError, "gateway_overloaded", 5),
    ],
)
def test_a_proxy_that_turns_away_is_told_apart(
    status: int, kind: type[MillraceError], code: str, exit_code: int
) -> None:
    mapped = error_from_answer("Flink SQL Gateway", "GET /x", status, "<html>go away</html>", {})
    assert (type(mapped), mapped.code, mapped.exit_code) == (kind, code, exit_code)


def test_the_context_holds_position_root_class_and_call() -> None:
    context = recorded("unknown_table").context
    assert {key: context[key] for key in ("line", "column", "call")} == {"line": "2", "column": "6", "call": "GET /x"}
    assert context["root_class"].endswith("SqlValidatorException")


def test_the_whole_chain_is_logged_at_debug_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    text = trace(f"{VALIDATION}bad option 'password' = 'hunter2'", "java.io.IOException: disk")
    with caplog.at_level("INFO"):
        written(text)
    assert caplog.text == ""
    with caplog.at_level("DEBUG"):
        written(text)
    assert "Caused by: java.io.IOException: disk" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("name", sorted(path.stem for path in ANSWERS.glob("*.json")))
def test_no_error_shows_a_java_stack(name: str) -> None:
    text = str(recorded(name))
    for unwanted in ("\n", "\tat ", " at org.", "Was expecting", "server side"):
        assert unwanted not in text


def test_the_root_cause_of_a_job_comes_from_its_exception_history() -> None:
    exceptions = JobExceptions.model_validate_json((ANSWERS / "job_exceptions.json").read_text())
    text = "NumberFormatException: For input string: 'x2'. Invalid character found."
    assert root_cause(exceptions.history.entries[0].stacktrace) == text


@pytest.mark.parametrize(
    ("stack", "text"),
    [
        pytest.param("java.lang.NullPointerException\n\tat a.b.C.d(C.java:1)", "NullPointerException", id="no-message"),
        pytest.param("something else", "something else", id="not-a-trace"),
        pytest.param("", "no cause given", id="empty"),
        pytest.param(
            "org.apache.flink.runtime.JobException: Recovery is suppressed by X\n"
            "Caused by: org.apache.flink.util.SerializedThrowable: org.x.CommitFailed: lost the race\n\tat a(C.java:1)",
            "CommitFailed: lost the race",
            id="class-not-loadable",
        ),
        pytest.param(
            "org.apache.flink.runtime.JobException: Recovery is suppressed by X\n\tat a.b.C.d(C.java:1)",
            "JobException: Recovery is suppressed by X",
            id="nothing-but-a-wrapper",
        ),
        pytest.param(
            "java.lang.RuntimeException: java.io.IOException: disk\n\tat a.b.C.d(C.java:1)\n"
            "Caused by: java.io.IOException: disk\n\tSuppressed: java.lang.Error: other\n\tat a.b.C.d(C.java:1)",
            "IOException: disk",
            id="suppressed-is-not-a-cause",
        ),
    ],
)
def test_root_cause_of_a_trace(stack: str, text: str) -> None:
    assert root_cause(stack) == text


def test_causes_are_listed_outermost_first() -> None:
    text = trace("a.FirstException: one\n  and more", "b.Outer$SecondError")
    assert [(cause.short_name, cause.text) for cause in causes(text)] == [
        ("SqlGatewayException", "Failed to fetchResults."),
        ("FirstException", "one and more"),
        ("SecondError", ""),
    ]


def test_secrets_in_a_cause_are_masked() -> None:
    text = trace("org.apache.flink.table.api.ValidationException: bad option 'password' = 'hunter2'")
    assert "hunter2" not in str(written(text))
    assert "hunter2" not in root_cause(text)


def test_an_answer_without_a_stack_says_the_status_and_the_call() -> None:
    mapped = error_from_answer("Flink SQL Gateway", "GET /v9/info", 404, '{"errors":["Not found: /v9/info"]}', {})
    assert type(mapped) is FlinkError
    assert mapped.message == "Flink SQL Gateway refused GET /v9/info with HTTP 404: Not found: /v9/info"
