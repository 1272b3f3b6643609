"""A gateway and a cluster without sockets, and a clock without waiting."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

import httpx

from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.wait import Patience
from orchestration.flink.reading.pages import Timing

GATEWAY_URL, REST_URL = "http://gateway:8083", "http://jobmanager:8081"


@dataclass
class FakeClock:
    """Time that passes only by sleeping."""

    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] | None = None

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.sleeps.append(seconds)
        if self.on_sleep is not None:
            self.on_sleep()


def server_error(trace: str, status: int = 500) -> httpx.Response:
    """Return an error as Flink sends it."""
    return httpx.Response(status, json={"errors": ["Internal server error.", f"<Exception on server side:\n{trace}"]})


def page(
    rows: list[list[object]],
    *,
    columns: list[tuple[str, dict[str, object]]] | None = None,
    result_type: str = "PAYLOAD",
    token: int | None = None,
    job_id: str | None = None,
    kind: str = "INSERT",
) -> dict[str, object]:
    """Return one result page; `token` is that of the next page."""
    named = columns or [("n", {"type": "INTEGER", "nullable": True})]
    return {
        "resultType": result_type,
        "isQueryResult": True,
        "jobID": job_id,
        "resultKind": "SUCCESS_WITH_CONTENT",
        "results": {
            "columns": [{"name": name, "logicalType": type_, "comment": None} for name, type_ in named],
            "rowFormat": "JSON",
            "data": [{"kind": kind, "fields": row} for row in rows],
        },
        "nextResultUri": None if token is None else f"/v2/sessions/s1/operations/op/result/{token}?rowFormat=JSON",
    }


NOT_READY: dict[str, object] = {
    "resultType": "NOT_READY",
    "results": {"columns": [], "data": []},
    "nextResultUri": "/v2/sessions/s1/operations/op/result/0?rowFormat=JSON",
}
EOS: dict[str, object] = {"resultType": "EOS", "results": {"columns": [], "data": []}}


def insert_page(job_id: str) -> dict[str, object]:
    """Return the first page of an INSERT."""
    varchar = {"type": "VARCHAR", "nullable": True, "length": 2147483647}
    return page([[job_id]], columns=[("job id", varchar)], token=1, job_id=job_id)


@dataclass
class FakeJob:
    """A job that takes its next state at each look and stays in the last one."""

    id: str
    name: str
    states: list[str]
    exception: str | None = None
    on_cancel: str = "CANCELED"

    def look(self) -> str:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@dataclass
class FakeFlink:
    """Gateway and cluster behind one handler; `requests` holds method and path of everything that was asked."""

    clock: FakeClock = field(default_factory=FakeClock)
    pages: list[dict[str, object] | httpx.Response | Exception] = field(default_factory=list)
    jobs: dict[str, FakeJob] = field(default_factory=dict)
    statements: list[dict[str, object]] = field(default_factory=list)
    configured: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    on_submit: Callable[[dict[str, object]], object] | None = None
    overrides: dict[str, Callable[[httpx.Request], httpx.Response]] = field(default_factory=dict)

    def add_job(self, job_id: str, name: str, *states: str, exception: str | None = None) -> FakeJob:
        self.jobs[job_id] = FakeJob(job_id, name, list(states), exception)
        return self.jobs[job_id]

    def gateway(self) -> GatewayClient:
        return GatewayClient(GATEWAY_URL, transport=httpx.MockTransport(self.handle))

    def rest(self) -> FlinkRest:
        transport = httpx.MockTransport(self.handle)
        return FlinkRest(REST_URL, transport=transport, sleep=self.clock.sleep, clock=self.clock.time)

    @property
    def timing(self) -> Timing:
        return Timing(sleep=self.clock.sleep, clock=self.clock.time)

    @property
    def patience(self) -> Patience:
        return Patience(sleep=self.clock.sleep, clock=self.clock.time)

    def count(self, prefix: str) -> int:
        return sum(request.startswith(prefix) for request in self.requests)

    def handle(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {unquote(request.url.raw_path.decode())}"
        self.requests.append(call)
        for prefix, answer in self.overrides.items():
            if call.startswith(prefix):
                return answer(request)
        body = json.loads(request.content) if request.content else {}
        match request.method, [part for part in request.url.path.split("/") if part]:
            case "POST", [_, "sessions"]:
                self.properties = body["properties"]
                return httpx.Response(200, json={"sessionHandle": "s1"})
            case "GET", [_, "sessions", "s1"]:
                return httpx.Response(200, json={"properties": self.properties})
            case "POST", [_, "sessions", "s1", "configure-session"]:
                self.configured.append(body["statement"])
                return httpx.Response(200, json={})
            case "POST", [_, "sessions", "s1", "statements"]:
                self.statements.append(body)
                if self.on_submit is not None:
                    self.on_submit(body)
                return httpx.Response(200, json={"operationHandle": "op"})
            case "GET", [_, "sessions", "s1", "operations", "op", "result", _]:
                answer = self.pages.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)
            case "DELETE" | "POST", [_, "sessions", "s1", *_]:
                return httpx.Response(200, json={"status": "CLOSED"})
            case method, ["jobs", *rest]:
                return self._jobs(method, rest)
            case _:
                return server_error(f"nothing at {call}", 404)

    def _jobs(self, method: str, rest: list[str]) -> httpx.Response:
        if rest == ["overview"]:
            jobs = [{"jid": job.id, "name": job.name, "state": job.states[0]} for job in self.jobs.values()]
            return httpx.Response(200, json={"jobs": jobs})
        job = self.jobs.get(rest[0])
        if job is None:
            return server_error("org.apache.flink.runtime.rest.NotFoundException: Job not found", 404)
        match method, rest[1:]:
            case "PATCH", []:
                job.states = ["CANCELLING", job.on_cancel]
                return httpx.Response(202, json={})
            case "GET", ["exceptions"]:
                entries = [{"exceptionName": "x", "stacktrace": job.exception}] if job.exception else []
                return httpx.Response(200, json={"exceptionHistory": {"entries": entries, "truncated": False}})
            case _:
                vertex = {
                    "id": "v1",
                    "name": "Source: t[1] -> Sink: s[2]",
                    "status": "FINISHED",
                    "metrics": {"read-records": 9, "write-records": 7},
                }
                detail = {"jid": job.id, "name": job.name, "state": job.look(), "start-time": 1700000000000}
                return httpx.Response(200, json={**detail, "end-time": -1, "duration": 2500, "vertices": [vertex]})
