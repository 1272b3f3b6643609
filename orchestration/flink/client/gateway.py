"""Client of the Flink SQL Gateway: one method an endpoint, no state but the connection pool.

Endpoints as of Flink 2.1 (REST API versions V1 to V4); https://nightlies.apache.org/flink/flink-docs-release-2.1/docs/dev/table/sql-gateway/rest/
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx
from pydantic import Field

from orchestration.errors import SessionLostError
from orchestration.flink.client.connection import NORMAL_HTTP, HttpOptions
from orchestration.flink.client.http import JsonHttp
from orchestration.flink.client.models import GatewayInfo, ResultPage, Wire


class _ApiVersions(Wire):
    versions: tuple[str, ...] = ()


class _SessionOpened(Wire):
    session: str = Field(alias="sessionHandle")


class _SessionConfig(Wire):
    properties: dict[str, str] = Field(default_factory=dict)


class _OperationStarted(Wire):
    operation: str = Field(alias="operationHandle")


class _OperationStatus(Wire):
    status: str


class _Completions(Wire):
    candidates: tuple[str, ...] = ()


class GatewayClient:
    """Speaks to one gateway. Context manager; usable from several threads.

    Sessions run one statement at a time: while one runs, the next submit blocks in the gateway.

    Args:
        timeout_s: until an answer comes; None takes that of `options`.
        transport: replaces the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float | None = None,
        transport: httpx.BaseTransport | None = None,
        options: HttpOptions = NORMAL_HTTP,
    ) -> None:
        self._http = JsonHttp(
            base_url,
            service="Flink SQL Gateway",
            unreachable_code="gateway_unreachable",
            options=options.with_timeout(timeout_s),
            transport=transport,
        )
        self.base_url = self._http.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; sessions stay open."""
        self._http.close()

    def info(self) -> GatewayInfo:
        """GET /v1/info. Product name and version; the probe for "is it up"."""
        return self._http.call("GET", "/v1/info").parse(GatewayInfo)

    def api_versions(self) -> tuple[str, ...]:
        """GET /api_versions. Return the versions of the REST API that it speaks, such as V1."""
        return self._http.call("GET", "/api_versions").parse(_ApiVersions).versions

    def open_session(self, name: str, properties: Mapping[str, str]) -> str:
        """POST /v1/sessions. Return the session handle. Bad property values surface at the first statement only."""
        body = {"sessionName": name, "properties": dict(properties)}
        return self._http.call("POST", "/v1/sessions", json_body=body).parse(_SessionOpened).session

    def session_config(self, session: str) -> dict[str, str]:
        """GET /v1/sessions/{session}. Return the effective configuration."""
        return self._http.call("GET", f"/v1/sessions/{session}").parse(_SessionConfig).properties

    def heartbeat(self, session: str, *, once_within_s: float | None = None) -> None:
        """POST /v1/sessions/{session}/heartbeat. Put off the session's expiry.

        Args:
            once_within_s: one attempt that may take this long; None repeats as usual.
        """
        path = f"/v1/sessions/{session}/heartbeat"
        self._http.call("POST", path, is_idempotent=True, once_within_s=once_within_s)

    def close_session(self, session: str, *, once_within_s: float | None = None) -> None:
        """DELETE /v1/sessions/{session}. Idempotent. Cancels the session's SELECT jobs; INSERT jobs go on.

        Args:
            once_within_s: one attempt that may take this long, for a process that ends; None repeats as usual.
        """
        path = f"/v1/sessions/{session}"
        try:
            self._http.call("DELETE", path, is_idempotent=True, once_within_s=once_within_s)
        except SessionLostError:
            return

    def configure_session(self, session: str, statement: str) -> None:
        """POST /v2/sessions/{session}/configure-session. Run one SET, RESET, CREATE, USE, LOAD… and wait for it."""
        path = f"/v2/sessions/{session}/configure-session"
        self._http.call("POST", path, json_body={"statement": statement}, context={"session": session})

    def complete_statement(self, session: str, statement: str, position: int) -> tuple[str, ...]:
        """GET /v2/sessions/{session}/complete-statement, with a body. Return the words that may stand at `position`.

        The words replace what stands between the last blank and the position. V1 does not have it.
        """
        path = f"/v2/sessions/{session}/complete-statement"
        body = {"statement": statement, "position": position}
        return self._http.call("GET", path, json_body=body).parse(_Completions).candidates

    def submit_statement(self, session: str, sql: str, execution_config: Mapping[str, str] | None = None) -> str:
        """POST /v1/sessions/{session}/statements. Return the operation handle, even for text that does not parse.

        Never repeated: after an OutcomeUnknownError look for the job by its name or id. `executionTimeout` is not
        offered, because the gateway supports no value above 0.
        """
        body = {"statement": sql, "executionConfig": dict(execution_config or {})}
        path = f"/v1/sessions/{session}/statements"
        answer = self._http.call("POST", path, json_body=body, context={"session": session})
        return answer.parse(_OperationStarted).operation

    def operation_status(self, session: str, operation: str) -> str:
        """GET /v1/sessions/{session}/operations/{operation}/status. FINISHED does not mean that the job succeeded."""
        path = f"/v1/sessions/{session}/operations/{operation}/status"
        return self._http.call("GET", path).parse(_OperationStatus).status

    def fetch_result(self, session: str, operation: str, token: int = 0) -> ResultPage:
        """GET /v2/sessions/{session}/operations/{operation}/result/{token}?rowFormat=JSON. Return one page.

        The current token and the one before it can be read, so repeating a fetch is safe. V2 is the first version
        that knows `rowFormat` and answers NOT_READY.
        """
        return self.fetch_next(f"/v2/sessions/{session}/operations/{operation}/result/{token}?rowFormat=JSON")

    def fetch_next(self, next_uri: str) -> ResultPage:
        """GET {nextResultUri}. Return the page that another page points to; the address is followed as it is."""
        return self._http.call("GET", next_uri).parse(ResultPage)

    def cancel_operation(self, session: str, operation: str) -> str:
        """POST /v1/sessions/{session}/operations/{operation}/cancel. Works only while RUNNING; else FlinkError."""
        path = f"/v1/sessions/{session}/operations/{operation}/cancel"
        return self._http.call("POST", path, is_idempotent=True).parse(_OperationStatus).status

    def close_operation(self, session: str, operation: str) -> None:
        """DELETE /v1/sessions/{session}/operations/{operation}/close. Free it, and cancel the job of a SELECT."""
        self._http.call("DELETE", f"/v1/sessions/{session}/operations/{operation}/close", is_idempotent=True)
