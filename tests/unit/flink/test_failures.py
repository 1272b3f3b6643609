"""Java stacks in, one line for people out."""

from __future__ import annotations

import json

import pytest

from orchestration.errors import (
    FlinkError,
    JobFailedError,
    MillraceError,
    SessionLostError,
    StatementError,
    UnreachableError,
)
from orchestration.flink.failures import DuplicateJobError, causes, error_from_answer, root_cause

FETCH = """org.apache.flink.table.gateway.rest.util.SqlGatewayRestException: Failed to fetchResults.
\tat org.apache.flink.table.gateway.rest.handler.X.handle(X.java:1)
Caused by: org.apache.flink.table.gateway.service.utils.SqlExecutionException: Failed to execute the operation 0b1c.
\tat org.apache.flink.table.gateway.service.operation.OperationManager.run(OperationManager.java:1)
\t... 7 more
"""
UNKNOWN_TABLE = (
    FETCH
    + """Caused by: org.apache.flink.table.api.ValidationException: SQL validation failed. From line 1, column 15 to line 1, column 18: Object 'nope' not found
\tat org.apache.flink.table.planner.X.validate(X.java:1)
Caused by: org.apache.calcite.runtime.CalciteContextException: From line 1, column 15 to line 1, column 18: Object 'nope' not found
\tat x.Y.z(Y.java:1)
Caused by: org.apache.calcite.sql.validate.SqlValidatorException: Object 'nope' not found
\tat x.Y.z(Y.java:1)

End of exception on server side>"""
)
PARSE = (
    FETCH
    + """Caused by: org.apache.flink.table.api.SqlParserException: SQL parse failed. Encountered "SELEC" at line 1, column 1.
Was expecting one of:
    "ABORT" ...
\tat x.Y.z(Y.java:1)
Caused by: org.apache.calcite.sql.parser.SqlParseException: Encountered "SELEC" at line 1, column 1.
Was expecting one of:
    "ABORT" ...
    "ALTER" ...
\tat x.Y.z(Y.java:1)
"""
)
FACTORY = (
    FETCH
    + """Caused by: org.apache.flink.table.api.ValidationException: Could not find any factory for identifier 'kafkaa' that implements 'DynamicTableFactory' in the classpath.

Available factory identifiers are:

blackhole
datagen
\tat x.Y.z(Y.java:1)
"""
)
RUNTIME = """org.apache.flink.table.gateway.rest.util.SqlGatewayRestException: Failed to fetchResults.
Caused by: org.apache.flink.table.gateway.api.utils.SqlGatewayException: Failed to fetch next result
\tat x.Y.z(Y.java:1)
Caused by: java.lang.RuntimeException: Failed to fetch next result
\tat x.Y.z(Y.java:1)
Caused by: java.io.IOException: Failed to fetch job execution result
\tat x.Y.z(Y.java:1)
Caused by: java.util.concurrent.ExecutionException: org.apache.flink.runtime.client.JobExecutionException: Job execution failed.
\tat x.Y.z(Y.java:1)
Caused by: org.apache.flink.runtime.client.JobExecutionException: Job execution failed.
\tat x.Y.z(Y.java:1)
Caused by: org.apache.flink.runtime.JobException: Recovery is suppressed by NoRestartBackoffTimeStrategy
\tat x.Y.z(Y.java:1)
Caused by: java.lang.NumberFormatException: For input string: 'abc'. Invalid character found.
\tat x.Y.z(Y.java:1)
"""
SESSION = """org.apache.flink.table.gateway.rest.util.SqlGatewayRestException: Failed to submitStatement.
\tat x.Y.z(Y.java:1)
Caused by: org.apache.flink.table.gateway.api.utils.SqlGatewayException: Session '1-2-3' does not exist.
\tat x.Y.z(Y.java:1)
"""
CLUSTER = (
    FETCH
    + """Caused by: org.apache.flink.table.api.TableException: Failed to execute sql
\tat x.Y.z(Y.java:1)
Caused by: org.apache.flink.util.FlinkException: Failed to execute job 'collect'.
\tat x.Y.z(Y.java:1)
Caused by: org.apache.flink.util.concurrent.FutureUtils$RetryException: Could not complete the operation. Number of retries has been exhausted.
\tat x.Y.z(Y.java:1)
Caused by: java.net.ConnectException: Connection refused: /127.0.0.1:8081
\tat x.Y.z(Y.java:1)
"""
)
DUPLICATE = (
    FETCH
    + """Caused by: org.apache.flink.util.FlinkException: Failed to execute job 'j'.
\tat x.Y.z(Y.java:1)
Caused by: org.apache.flink.runtime.client.DuplicateJobSubmissionException: Job has already been submitted.
\tat x.Y.z(Y.java:1)
"""
)
CATALOG = (
    FETCH
    + """Caused by: org.apache.flink.table.api.ValidationException: Could not execute CREATE CATALOG: (catalogDDL)
\tat x.Y.z(Y.java:1)
Caused by: org.apache.iceberg.exceptions.RESTException: Error occurred while processing GET request
\tat x.Y.z(Y.java:1)
Caused by: org.apache.hc.client5.http.HttpHostConnectException: Connect to http://127.0.0.1:8181 failed: Connection refused
\tat x.Y.z(Y.java:1)
"""
)


def error(trace: str) -> MillraceError:
    body = json.dumps({"errors": ["Internal server error.", f"<Exception on server side:\n{trace}"]})
    return error_from_answer("Flink SQL Gateway", "GET /x", 500, body, {"session": "1-2-3"})


@pytest.mark.parametrize(
    ("trace", "kind", "code", "text"),
    [
        pytest.param(
            UNKNOWN_TABLE,
            StatementError,
            "sql_semantic_error",
            "Object 'nope' not found (line 1, column 15)",
            id="object",
        ),
        pytest.param(PARSE, StatementError, "sql_parse_error", 'Encountered "SELEC" at line 1, column 1.', id="parse"),
        pytest.param(
            FACTORY,
            StatementError,
            "connector_missing",
            "Could not find any factory for identifier 'kafkaa' that implements 'DynamicTableFactory' in the classpath. "
            "Available factory identifiers are: blackhole datagen",
            id="connector",
        ),
        pytest.param(
            RUNTIME,
            JobFailedError,
            "statement_failed",
            "the query failed while it ran: NumberFormatException: For input string: 'abc'. Invalid character found.",
            id="runtime",
        ),
        pytest.param(SESSION, SessionLostError, "session_lost", "Session '1-2-3' does not exist.", id="session"),
        pytest.param(
            CLUSTER,
            UnreachableError,
            "cluster_unreachable",
            "the Flink cluster does not answer the gateway: ConnectException: Connection refused: /127.0.0.1:8081",
            id="cluster",
        ),
        pytest.param(
            DUPLICATE,
            DuplicateJobError,
            "conflict",
            "DuplicateJobSubmissionException: Job has already been submitted.",
            id="duplicate",
        ),
        pytest.param(
            CATALOG,
            UnreachableError,
            "catalog_unreachable",
            "the Iceberg catalog does not answer Flink: Could not execute CREATE CATALOG: (catalogDDL): HttpHostConnectException: "
            "Connect to http://127.0.0.1:8181 failed: Connection refused",
            id="catalog",
        ),
    ],
)
def test_the_chain_of_causes_decides(trace: str, kind: type[MillraceError], code: str, text: str) -> None:
    mapped = error(trace)
    assert type(mapped) is kind
    assert (mapped.context["code"], mapped.message) == (code, text)


def test_no_error_shows_a_java_stack() -> None:
    for trace in (UNKNOWN_TABLE, PARSE, FACTORY, RUNTIME, SESSION, CLUSTER, DUPLICATE, CATALOG):
        assert "\tat " not in str(error(trace))
        assert "Was expecting" not in str(error(trace))


@pytest.mark.parametrize(
    ("trace", "text"),
    [
        pytest.param("java.lang.NullPointerException\n\tat a.b.C.d(C.java:1)", "NullPointerException", id="no-message"),
        pytest.param("something else", "something else", id="not-a-trace"),
        pytest.param("", "no cause given", id="empty"),
        pytest.param(
            "org.apache.flink.runtime.JobException: Recovery is suppressed by X\n"
            "Caused by: org.apache.flink.util.SerializedThrowable: org.apache.x.CommitFailed: lost the race\n\tat a.b(C.java:1)",
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
def test_root_cause_of_a_job(trace: str, text: str) -> None:
    assert root_cause(trace) == text


def test_causes_are_listed_outermost_first() -> None:
    assert [cause.short_name for cause in causes(UNKNOWN_TABLE)] == [
        "SqlGatewayRestException",
        "SqlExecutionException",
        "ValidationException",
        "CalciteContextException",
        "SqlValidatorException",
    ]


def test_secrets_in_a_cause_are_masked() -> None:
    trace = (
        FETCH
        + "Caused by: org.apache.flink.table.api.ValidationException: bad option 'password' = 'hunter2'\n\tat x.Y.z(Y.java:1)"
    )
    assert "hunter2" not in str(error(trace))
    assert "hunter2" not in root_cause(trace)


def test_an_answer_without_a_stack_says_the_status_and_the_call() -> None:
    mapped = error_from_answer("Flink SQL Gateway", "GET /v9/info", 404, '{"errors":["Not found: /v9/info"]}', {})
    assert type(mapped) is FlinkError
    assert mapped.message == "Flink SQL Gateway refused GET /v9/info with HTTP 404: Not found: /v9/info"
