"""Each endpoint is asked as Flink documents it."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

import httpx
import pytest

from orchestration.errors import FlinkError, SessionLostError
from orchestration.flink.client.gateway import GatewayClient
from tests.unit.flink.fakes import GATEWAY_URL, page, server_error

LOST = "org.apache.flink.table.gateway.api.utils.SqlGatewayException: Session 's' does not exist."


class Recorder:
    """Answers one thing and keeps the last request."""

    def __init__(self, answer: object, status: int = 200) -> None:
        self.answer, self.status = answer, status
        self.call, self.body = "", object()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.call = f"{request.method} {request.url.raw_path.decode()}"
        self.body = json.loads(request.content) if request.content else None
        return httpx.Response(self.status, json=self.answer)


@pytest.mark.parametrize(
    ("use", "answer", "call", "body", "result"),
    [
        pytest.param(
            lambda client: client.open_session("n", {"a": "b"}),
            {"sessionHandle": "s"},
            "POST /v1/sessions",
            {"sessionName": "n", "properties": {"a": "b"}},
            "s",
            id="open",
        ),
        pytest.param(
            lambda client: client.api_versions(),
            {"versions": ["V1", "V2"]},
            "GET /api_versions",
            None,
            ("V1", "V2"),
            id="versions",
        ),
        pytest.param(
            lambda client: client.session_config("s"),
            {"properties": {"a": "b"}},
            "GET /v1/sessions/s",
            None,
            {"a": "b"},
            id="config",
        ),
        pytest.param(
            lambda client: client.complete_statement("s", "SHOW T", 6),
            {"candidates": ["TABLES"]},
            "GET /v2/sessions/s/complete-statement",
            {"statement": "SHOW T", "position": 6},
            ("TABLES",),
            id="complete",
        ),
        pytest.param(
            lambda client: client.heartbeat("s"), {}, "POST /v1/sessions/s/heartbeat", None, None, id="heartbeat"
        ),
        pytest.param(
            lambda client: client.close_session("s"),
            {"status": "CLOSED"},
            "DELETE /v1/sessions/s",
            None,
            None,
            id="close",
        ),
        pytest.param(
            lambda client: client.configure_session("s", "USE x"),
            {},
            "POST /v2/sessions/s/configure-session",
            {"statement": "USE x"},
            None,
            id="configure",
        ),
        pytest.param(
            lambda client: client.submit_statement("s", "SELECT 1", {"pipeline.name": "n"}),
            {"operationHandle": "o"},
            "POST /v1/sessions/s/statements",
            {"statement": "SELECT 1", "executionConfig": {"pipeline.name": "n"}},
            "o",
            id="submit",
        ),
        pytest.param(
            lambda client: client.operation_status("s", "o"),
            {"status": "SOMETHING_NEW"},
            "GET /v1/sessions/s/operations/o/status",
            None,
            "SOMETHING_NEW",
            id="status-of-a-newer-flink",
        ),
        pytest.param(
            lambda client: client.fetch_result("s", "o", 3).result_type,
            page([], result_type="EOS"),
            "GET /v2/sessions/s/operations/o/result/3?rowFormat=JSON",
            None,
            "EOS",
            id="result",
        ),
        pytest.param(
            lambda client: client.cancel_operation("s", "o"),
            {"status": "CANCELED"},
            "POST /v1/sessions/s/operations/o/cancel",
            None,
            "CANCELED",
            id="cancel",
        ),
        pytest.param(
            lambda client: client.close_operation("s", "o"),
            {"status": "CLOSED"},
            "DELETE /v1/sessions/s/operations/o/close",
            None,
            None,
            id="close-operation",
        ),
    ],
)
def test_endpoint(
    use: Callable[[GatewayClient], object], answer: object, call: str, body: object, result: object
) -> None:
    recorder = Recorder(answer)
    with GatewayClient(GATEWAY_URL, transport=httpx.MockTransport(recorder)) as client:
        assert use(client) == result
    assert (recorder.call, recorder.body) == (call, body)


def test_closing_a_session_that_is_gone_is_no_error() -> None:
    with GatewayClient(GATEWAY_URL, transport=httpx.MockTransport(lambda request: server_error(LOST))) as client:
        client.close_session("s")


def test_a_lost_session_is_told_apart_from_other_errors() -> None:
    with (
        GatewayClient(GATEWAY_URL, transport=httpx.MockTransport(lambda request: server_error(LOST))) as client,
        pytest.raises(SessionLostError, match="Session 's' does not exist"),
    ):
        client.submit_statement("s", "SELECT 1")


def test_numbers_of_a_page_are_exact() -> None:
    text = (
        json.dumps(page([[0]], token=1))
        .replace("[[0]]", "[0]")
        .replace('"fields": [0]', '"fields": [12345678901234567.89]')
    )
    client = GatewayClient(GATEWAY_URL, transport=httpx.MockTransport(lambda request: httpx.Response(200, text=text)))
    assert client.fetch_result("s", "o").results.data[0].fields == [Decimal("12345678901234567.89")]


def test_other_errors_of_close_session_are_not_swallowed() -> None:
    client = GatewayClient(
        GATEWAY_URL, transport=httpx.MockTransport(lambda request: server_error("a.b.XException: odd"))
    )
    with pytest.raises(FlinkError, match="odd"):
        client.close_session("s")
