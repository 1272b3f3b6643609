"""A gateway with any number of sessions, for pools and logical sessions; no sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from orchestration.flink.client.gateway import GatewayClient
from tests.unit.flink.fakes import EOS, GATEWAY_URL, REST_URL, page, server_error

GATEWAY_ERROR = "org.apache.flink.table.gateway.api.utils.SqlGatewayException: "


@dataclass
class FakeSession:
    """One session: what it was opened with and what it ran, in order."""

    handle: str
    properties: dict[str, str]
    name: str
    ran: list[str] = field(default_factory=list)
    configs: list[dict[str, str]] = field(default_factory=list)


@dataclass
class ManySessions:
    """Remembers every session; `open` holds the ones that live. Rows: `answers` by statement, else one row [1]."""

    max_sessions: int = 100
    idle_timeout: str = "30 min"
    told_max: str = ""
    sessions: dict[str, FakeSession] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    closed: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    most_open: int = 0
    answers: dict[str, Callable[[FakeSession], httpx.Response]] = field(default_factory=dict)
    on_submit: Callable[[FakeSession, str], httpx.Response | None] | None = None
    on_configure: Callable[[FakeSession, str], httpx.Response | None] | None = None
    cluster: Callable[[httpx.Request], httpx.Response] | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def client(self) -> GatewayClient:
        return GatewayClient(GATEWAY_URL, transport=self.transport())

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def lose(self, *handles: str) -> None:
        """Forget sessions, as a restart or the idle timeout does."""
        self.open -= set(handles) or set(self.open)

    def ran(self, handle: str) -> list[str]:
        return self.sessions[handle].ran

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.host in REST_URL:
            self.requests.append(f"cluster {request.url.path}")
            return self.cluster(request) if self.cluster else httpx.Response(200, json={"slots-total": 8})
        parts = [part for part in request.url.path.split("/") if part]
        self.requests.append(f"{request.method} /{'/'.join(parts[1:])}")
        body = json.loads(request.content) if request.content else {}
        match request.method, parts[1:]:
            case "GET", ["info"]:
                return httpx.Response(200, json={"productName": "Apache Flink", "version": "2.1.3"})
            case "POST", ["sessions"]:
                return self._open(body)
            case method, ["sessions", handle, *rest]:
                if handle not in self.open:
                    return server_error(f"{GATEWAY_ERROR}Session '{handle}' does not exist.")
                return self._in_session(method, self.sessions[handle], rest, body)
            case _:
                return server_error(f"nothing at {request.url}", 404)

    def _open(self, body: dict[str, object]) -> httpx.Response:
        with self._lock:
            if len(self.open) >= self.max_sessions:
                return server_error(f"{GATEWAY_ERROR}the count of active sessions exceeds the max count")
            handle = f"s{len(self.sessions) + 1}"
            self.sessions[handle] = FakeSession(handle, dict(body["properties"]), str(body["sessionName"]))  # type: ignore[call-overload]
            self.open.add(handle)
            self.most_open = max(self.most_open, len(self.open))
            return httpx.Response(200, json={"sessionHandle": handle})

    def _in_session(self, method: str, session: FakeSession, rest: list[str], body: dict[str, str]) -> httpx.Response:
        match method, rest:
            case "GET", []:
                own = {"idle-timeout": self.idle_timeout, "max-num": self.told_max}
                config = session.properties | {f"sql-gateway.session.{key}": value for key, value in own.items()}
                return httpx.Response(200, json={"properties": config})
            case "DELETE", []:
                with self._lock:
                    self.open.discard(session.handle)
                    self.closed.append(session.handle)
                return httpx.Response(200, json={"status": "CLOSED"})
            case "POST", ["heartbeat"]:
                return httpx.Response(200, json={})
            case "POST", ["configure-session"]:
                answer = self.on_configure(session, body["statement"]) if self.on_configure else None
                if answer is None:
                    session.ran.append(body["statement"])
                return answer or httpx.Response(200, json={})
            case "POST", ["statements"]:
                answer = self.on_submit(session, body["statement"]) if self.on_submit else None
                if answer is not None:
                    return answer
                session.ran.append(body["statement"])
                session.configs.append(body.get("executionConfig", {}))  # type: ignore[arg-type]
                return httpx.Response(200, json={"operationHandle": f"op{len(session.ran) - 1}"})
            case "GET", ["operations", operation, "result", token]:
                if token != "0":
                    return httpx.Response(200, json=EOS)
                statement = session.ran[int(operation.removeprefix("op"))]
                answer_of = self.answers.get(statement)
                rows = {**page([[1]], token=1), "nextResultUri": None, "resultType": "EOS"}
                return answer_of(session) if answer_of else httpx.Response(200, json=rows)
            case "DELETE", ["operations", _, "close"]:
                return httpx.Response(200, json={"status": "CLOSED"})
            case _:
                return server_error(f"nothing at {method} {rest}", 404)
