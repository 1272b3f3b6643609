"""Sessions: opening, modes, heartbeat."""

from __future__ import annotations

import httpx
import pytest

from orchestration.errors import (
    ConfigError,
    FlinkError,
    SessionLostError,
    StatementError,
)
from orchestration.flink.sessions.heartbeat import Heartbeat
from orchestration.flink.sessions.session import Session, open_session
from tests.unit.flink.fakes import EOS, FakeFlink, page, server_error

VALIDATION = "org.apache.flink.table.api.ValidationException: Object 'nope' not found\n\tat a.b(C.java:1)"
LOST = "org.apache.flink.table.gateway.api.utils.SqlGatewayException: Session 's1' does not exist."


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


def test_closing_twice_and_with_the_gateway_gone_is_no_error(flink: FakeFlink) -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("gone", request=request)

    session = opened(flink)
    flink.overrides["DELETE"] = gone
    session.close()
    session.close()
    with pytest.raises(FlinkError, match="closed"):
        session.execute("SELECT 1")


def test_a_lost_session_is_told_before_the_next_statement(flink: FakeFlink, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(flink) as session:
        monkeypatch.setattr(Heartbeat, "is_lost", property(lambda self: True))
        with pytest.raises(SessionLostError):
            session.execute("SELECT 1")
    assert flink.statements == []


def test_a_forked_child_leaves_closing_to_its_parent(flink: FakeFlink, monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened(flink)
    flink.pages = [page([[1]], token=1), EOS]
    with monkeypatch.context() as child:
        child.setattr("os.getpid", lambda: -1)
        assert not session.is_own
        session.close()
    assert "DELETE /v1/sessions/s1" not in flink.requests
