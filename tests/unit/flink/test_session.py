"""Sessions: opening, results page by page, heartbeat."""

from __future__ import annotations

import threading
from decimal import Decimal

import httpx
import pytest

from orchestration.errors import (
    ConfigError,
    FlinkError,
    JobFailedError,
    JobTimeoutError,
    SessionLostError,
    StatementError,
)
from orchestration.flink.heartbeat import Heartbeat
from orchestration.flink.results import Column
from orchestration.flink.session import Session, open_session
from tests.unit.flink.fakes import EOS, NOT_READY, FakeFlink, insert_page, page, server_error

VALIDATION = "org.apache.flink.table.api.ValidationException: Object 'nope' not found\n\tat a.b(C.java:1)"
LOST = "org.apache.flink.table.gateway.api.utils.SqlGatewayException: Session 's1' does not exist."
DECIMAL = {"type": "DECIMAL", "precision": 10, "scale": 2, "nullable": False}


def opened(flink: FakeFlink) -> Session:
    return open_session(flink.gateway(), mode="batch", timing=flink.timing)


def test_a_session_opens_in_its_mode_and_runs_its_init_statements_in_order(flink: FakeFlink) -> None:
    init = ["CREATE CATALOG c WITH ('type'='iceberg')", "USE CATALOG c"]
    with open_session(flink.gateway(), mode="batch", properties={"a": "b"}, init=init, timing=flink.timing) as session:
        assert session.mode == "batch"
    assert flink.properties == {"execution.runtime-mode": "batch", "a": "b"}
    assert flink.configured == init
    assert flink.count("DELETE /v1/sessions/s1") == 1


def test_a_failing_init_statement_closes_the_session_and_is_named_without_its_secrets(flink: FakeFlink) -> None:
    flink.overrides["POST /v2"] = lambda request: server_error(VALIDATION)
    secret = "CREATE CATALOG c WITH ('credential'='id:hunter2')"
    with pytest.raises(StatementError) as caught:
        open_session(flink.gateway(), mode="batch", init=[secret], timing=flink.timing)
    assert caught.value.message == "statement 1 of 1 that open the session failed: Object 'nope' not found"
    assert caught.value.context["index"] == "1"
    assert "hunter2" not in f"{caught.value} {caught.value.context}"
    assert flink.count("DELETE /v1/sessions/s1") == 1


def test_a_gateway_that_ignores_the_mode_is_found_out(flink: FakeFlink) -> None:
    flink.overrides["GET /v1/sessions/s1"] = lambda request: httpx.Response(
        200, json={"properties": {"execution.runtime-mode": "STREAMING"}}
    )
    with pytest.raises(FlinkError, match="mode 'streaming' instead of 'batch'"):
        opened(flink)
    assert flink.count("DELETE /v1/sessions/s1") == 1


def test_the_mode_cannot_change_after_opening(flink: FakeFlink) -> None:
    with pytest.raises(ConfigError, match="contradicts"):
        open_session(flink.gateway(), mode="batch", properties={"execution.runtime-mode": "streaming"})
    with opened(flink) as session, pytest.raises(ConfigError, match="fixed when a session opens"):
        session.execute("SELECT 1", {"execution.runtime-mode": "streaming"})


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
    with opened(flink) as session:
        result = session.execute("SELECT n, fare FROM t")
        assert result.columns == (Column("n", "BIGINT", False), Column("fare", "DECIMAL(10, 2)", False))
        assert result.fetch_all() == [(1, Decimal("1.50")), (2, None)]
    assert flink.count("DELETE /v1/sessions/s1/operations/op/close") == 1


def test_an_idle_query_is_asked_with_growing_pauses(flink: FakeFlink) -> None:
    flink.pages = [page([], token=1) for _ in range(700)]
    with (
        opened(flink) as session,
        pytest.raises(JobTimeoutError, match=r"waited 600\.0 s for the next rows of: SELECT 1"),
    ):
        session.execute("SELECT 1").fetch_all()
    assert flink.count("GET /v2") < 620
    assert max(flink.clock.sleeps) == 1.0
    assert flink.count("DELETE /v1/sessions/s1/operations/op/close") == 1


def test_a_statement_that_never_gets_ready_is_closed(flink: FakeFlink) -> None:
    flink.pages = [NOT_READY for _ in range(200)]
    with (
        opened(flink) as session,
        pytest.raises(JobTimeoutError, match="the first page of: SELECT 1; last seen: NOT_READY"),
    ):
        session.execute("SELECT 1")
    assert flink.count("DELETE /v1/sessions/s1/operations/op/close") == 1


def test_a_page_lost_on_the_way_is_fetched_again(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1), httpx.ReadTimeout("x"), page([[2]], token=2), EOS]
    with opened(flink) as session:
        assert session.execute("SELECT 1").fetch_all() == [(1,), (2,)]


def test_stopping_early_closes_the_operation(flink: FakeFlink) -> None:
    flink.pages = [page([[1], [2]], token=1)]
    with opened(flink) as session:
        rows = session.execute("SELECT 1").rows()
        assert next(rows) == (1,)
        rows.close()  # type: ignore[attr-defined]
        assert flink.count("DELETE /v1/sessions/s1/operations/op/close") == 1


def test_too_many_rows_are_an_error_not_a_cut_list(flink: FakeFlink) -> None:
    flink.pages = [page([[1], [2], [3]], token=1)]
    with opened(flink) as session, pytest.raises(FlinkError, match="more than 2 rows"):
        session.execute("SELECT 1").fetch_all(limit=2)


def test_rows_cannot_be_read_twice(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1), EOS]
    with opened(flink) as session:
        result = session.execute("SELECT 1")
        result.fetch_all()
        with pytest.raises(FlinkError, match="read already"):
            result.fetch_all()


def test_an_updating_query_is_refused_rather_than_shown_wrong(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1, kind="UPDATE_AFTER")]
    with opened(flink) as session, pytest.raises(FlinkError, match="UPDATE_AFTER"):
        session.execute("SELECT 1").fetch_all()


def test_a_refused_statement_has_no_stack(flink: FakeFlink) -> None:
    flink.pages = [server_error(VALIDATION)]
    with opened(flink) as session, pytest.raises(StatementError) as caught:
        session.execute("SELECT * FROM nope")
    assert str(caught.value) == "Object 'nope' not found"


def test_a_failure_after_the_first_page_is_reported(flink: FakeFlink) -> None:
    trace = (
        "org.apache.flink.runtime.client.JobExecutionException: Job execution failed.\nCaused by: java.lang.Error: boom"
    )
    flink.pages = [page([[1]], token=1), server_error(trace)]
    with opened(flink) as session, pytest.raises(JobFailedError, match="boom"):
        session.execute("SELECT 1").fetch_all()


@pytest.mark.parametrize("with_field", [True, False], ids=["jobID", "column-only"])
def test_the_job_id_of_an_insert_is_known(flink: FakeFlink, with_field: bool) -> None:
    first = insert_page("b" * 32)
    flink.pages = [first if with_field else {**first, "jobID": None}]
    with opened(flink) as session:
        assert session.execute("INSERT INTO t SELECT 1").job_id == "b" * 32


def test_a_page_type_of_a_newer_flink_is_an_error_not_a_loop(flink: FakeFlink) -> None:
    flink.pages = [page([], result_type="STREAMED")]
    with opened(flink) as session, pytest.raises(FlinkError, match="'STREAMED'"):
        session.execute("SELECT 1")


def test_closing_twice_and_with_the_gateway_gone_is_no_error(flink: FakeFlink) -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("gone", request=request)

    session = opened(flink)
    flink.overrides["DELETE"] = gone
    session.close()
    session.close()
    with pytest.raises(FlinkError, match="closed"):
        session.execute("SELECT 1")


def test_the_heartbeat_beats_until_the_gateway_forgets_the_session(flink: FakeFlink) -> None:
    beats: list[int] = []
    done = threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        beats.append(1)
        if len(beats) == 3:
            done.set()
            return server_error(LOST)
        return httpx.Response(200, json={})

    flink.overrides["POST /v1/sessions/s1/heartbeat"] = answer
    heartbeat = Heartbeat(flink.gateway(), "s1", 0.001)
    assert done.wait(5)
    for thread in threading.enumerate():
        if thread.name == "flink-heartbeat-s1":
            thread.join(5)
    assert heartbeat.is_lost
    assert len(beats) == 3


def test_a_lost_session_is_told_before_the_next_statement(flink: FakeFlink, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(flink) as session:
        monkeypatch.setattr(Heartbeat, "is_lost", property(lambda self: True))
        with pytest.raises(SessionLostError):
            session.execute("SELECT 1")
    assert flink.statements == []


def test_a_forked_child_beats_again_and_leaves_closing_to_its_parent(
    flink: FakeFlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(flink)
    flink.pages = [page([[1]], token=1), EOS]
    threads = threading.active_count()
    with monkeypatch.context() as child:
        child.setattr("os.getpid", lambda: -1)
        session.execute("SELECT 1").fetch_all()
        assert threading.active_count() == threads + 1
        session.close()
    assert flink.count("DELETE /v1/sessions/s1/operations") == 1
    assert "DELETE /v1/sessions/s1" not in flink.requests
