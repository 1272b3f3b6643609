"""A statement that ends by itself: pages, waits and repeats, and what its errors say."""

from __future__ import annotations

from decimal import Decimal

import httpx
import pytest

from orchestration.errors import FlinkError, JobFailedError, JobTimeoutError, StatementError
from orchestration.flink.reading.pages import Timing
from orchestration.flink.reading.result import Result
from orchestration.flink.reading.rows import Column
from tests.unit.flink.fakes import EOS, NOT_READY, FakeFlink, insert_page, page, server_error

VALIDATION = "org.apache.flink.table.api.ValidationException: Object 'nope' not found\n\tat a.b(C.java:1)"
TOKEN = "org.apache.flink.table.gateway.api.utils.SqlGatewayException: Expecting token to be 3 or 2, but found 1."
BOOM = "org.apache.flink.runtime.client.JobExecutionException: Job execution failed.\nCaused by: java.lang.Error: boom"
DECIMAL = {"type": "DECIMAL", "precision": 10, "scale": 2, "nullable": False}
CLOSE = "DELETE /v1/sessions/s1/operations/op/close"
JOB = "a" * 32


def submitted(flink: FakeFlink, timing: Timing | None = None) -> Result:
    return Result(flink.gateway(), "s1", "op", "SELECT n FROM t", timing or flink.timing)


def test_rows_come_typed_from_all_pages(flink: FakeFlink) -> None:
    columns = [("n", {"type": "BIGINT", "nullable": False}), ("fare", DECIMAL)]
    empty = page([], columns=columns, token=2)
    flink.pages = [
        NOT_READY,
        NOT_READY,
        page([], columns=columns, token=1),
        page([[1, 1.5]], columns=columns, token=1),
        empty,
        empty,
        page([[2, None]], columns=columns, token=3),
        EOS,
    ]
    result = submitted(flink)
    assert result.columns == (Column("n", "BIGINT", False), Column("fare", "DECIMAL(10, 2)", False))
    assert result.fetch_all() == [(1, Decimal("1.50")), (2, None)]
    assert flink.count(CLOSE) == 1


def test_an_idle_query_is_asked_with_growing_pauses_that_vary(flink: FakeFlink) -> None:
    flink.pages = [page([], token=1) for _ in range(700)]
    with pytest.raises(JobTimeoutError, match=r"waited 600\.0 s for the next rows of: SELECT n FROM t") as caught:
        submitted(flink).fetch_all()
    assert caught.value.code == "fetch_timeout"
    assert flink.count("GET /v2") < 620
    first, second, *_ = flink.clock.sleeps
    assert 0.04 <= first <= 0.06 < second <= 0.09
    assert 1.0 < max(flink.clock.sleeps) <= 1.2
    assert flink.count(CLOSE) == 1


def test_a_statement_that_never_gets_ready_is_closed(flink: FakeFlink) -> None:
    flink.pages = [NOT_READY for _ in range(200)]
    with pytest.raises(JobTimeoutError, match=r"waited 90\.0 s for the first page of: .*NOT_READY") as caught:
        submitted(flink).wait_ready()
    assert caught.value.code == "ready_timeout"
    assert flink.count(CLOSE) == 1


def test_a_page_lost_on_the_way_is_fetched_again(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1), httpx.ReadTimeout("x"), page([[2]], token=2), EOS]
    assert submitted(flink).fetch_all() == [(1,), (2,)]
    assert flink.count("GET /v2/sessions/s1/operations/op/result/1?") == 2


def test_a_token_that_the_gateway_forgot_is_an_error(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1), server_error(TOKEN)]
    with pytest.raises(FlinkError) as caught:
        submitted(flink).fetch_all()
    assert caught.value.code == "result_token_lost"


def test_stopping_early_closes_the_operation(flink: FakeFlink) -> None:
    flink.pages = [page([[1], [2]], token=1)]
    rows = submitted(flink).rows()
    assert next(rows) == (1,)
    rows.close()  # type: ignore[attr-defined]
    assert flink.count(CLOSE) == 1


def test_too_many_rows_are_an_error_not_a_cut_list(flink: FakeFlink) -> None:
    flink.pages = [page([[1], [2], [3]], token=1)]
    with pytest.raises(FlinkError, match="more than 2 rows") as caught:
        submitted(flink).fetch_all(limit=2)
    assert caught.value.code == "result_too_large"


def test_rows_cannot_be_read_twice(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1), EOS]
    result = submitted(flink)
    result.fetch_all()
    with pytest.raises(FlinkError, match="read already"):
        result.fetch_all()


def test_an_updating_query_is_refused_rather_than_shown_wrong(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1, kind="UPDATE_AFTER")]
    with pytest.raises(FlinkError, match="UPDATE_AFTER"):
        submitted(flink).fetch_all()


def test_a_refused_statement_has_no_stack(flink: FakeFlink) -> None:
    flink.pages = [server_error(VALIDATION)]
    with pytest.raises(StatementError) as caught:
        submitted(flink).wait_ready()
    assert str(caught.value) == "Object 'nope' not found"


def test_a_failure_after_the_first_page_is_reported(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1), server_error(BOOM)]
    with pytest.raises(JobFailedError, match="boom"):
        submitted(flink).fetch_all()


@pytest.mark.parametrize("with_field", [True, False], ids=["jobID", "column-only"])
def test_the_job_id_of_an_insert_is_known(flink: FakeFlink, with_field: bool) -> None:
    first = insert_page(JOB)
    flink.pages = [first if with_field else {**first, "jobID": None}]
    assert submitted(flink).job_id == JOB


def test_a_page_type_of_a_newer_flink_is_an_error_not_a_loop(flink: FakeFlink) -> None:
    flink.pages = [page([], result_type="STREAMED")]
    with pytest.raises(FlinkError, match="'STREAMED'"):
        submitted(flink).wait_ready()


def test_a_type_that_the_gateway_cannot_send_is_explained(flink: FakeFlink) -> None:
    body = {"errors": ["Internal server error. Could not map response to JSON."]}
    flink.pages = [httpx.Response(500, json=body)]
    with pytest.raises(StatementError, match=r"a type that the gateway cannot send.*CAST the column to STRING"):
        submitted(flink).wait_ready()
