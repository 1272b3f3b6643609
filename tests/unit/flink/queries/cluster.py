"""A gateway and a cluster on which queries can be deployed: tables, jobs, savepoints, checkpoints. No sockets."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestration.flink.client.models import TERMINAL
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.jobs.submission import FIXED_JOB_ID, JOB_NAME
from orchestration.flink.jobs.wait import Patience
from orchestration.flink.queries import start
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.watch import watch_start
from orchestration.settings import load_settings
from tests.unit.flink.fakes import GATEWAY_URL, REST_URL, FakeClock, insert_page, page, server_error
from tests.unit.flink.many_sessions import FakeSession, ManySessions

NAMESPACE = "test"
SOURCE = "CREATE TEMPORARY TABLE src (n BIGINT) WITH ('connector' = 'datagen')"
RESTORE = "execution.state-recovery.path"
SAVEPOINTS = "s3://bucket/savepoints"

CAST = "java.lang.NumberFormatException: For input string: 'x'\n\tat a.b(C.java:1)\n"
VALIDATION = "org.apache.flink.table.api.ValidationException: "
_PLAN = "== Optimized Physical Plan ==\nSource(table=[[src]], fields=[n], changelogMode=[I])\n"
_TEXT = {"type": "VARCHAR", "nullable": True, "length": 100}
_BOOLEAN = {"type": "BOOLEAN", "nullable": True}


def spec(query: str = "SELECT n FROM src", **fields: Any) -> QuerySpec:
    defaults = {"name": "orders", "inputs": (SOURCE,), "sink": {"profile": "blackhole"}, "parallelism": 1}
    return QuerySpec.model_validate({"query": query} | defaults | fields)


@dataclass
class Job:
    """A job on the cluster."""

    id: str
    name: str
    statement: str
    restored: str | None
    state: str = "RUNNING"
    exception: str | None = None
    savepoint: str | None = None
    checkpoints: int = 0
    triggers: dict[str, str] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        return self.state not in TERMINAL


@dataclass
class Cluster:
    """Gateway and JobManager.

    Args:
        broken: text that makes the job of a statement fail as it starts.
        slots: free ones.
        savepoint_failure: what a stop with a savepoint fails with; the job goes on.
        columns: of tables that are not like the query; by the last part of their name.
        refuse: a statement that starts with this text is refused with that trace.
    """

    broken: str = "BROKEN"
    slots: int = 8
    savepoint_failure: str | None = None
    has_savepoint_dir: bool = True
    columns: dict[str, list[str]] = field(default_factory=dict)
    refuse: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    gateway: ManySessions = field(default_factory=ManySessions)
    requests: list[str] = field(default_factory=list)
    on_request: Callable[[str], None] = field(default=lambda call: None)
    _submitted: set[tuple[str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.gateway.cluster = self._cluster
        self.gateway.answers = _Answers(self)  # type: ignore[assignment]

    def live(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.is_live]

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path}"
        self.requests.append(call)
        self.on_request(call)
        return self.gateway.handle(request)

    def settle(self) -> None:
        """Start the jobs of statements that were sent and never asked about: the gateway goes on without its client."""
        for session in self.gateway.sessions.values():
            for number, statement in enumerate(session.ran[: len(session.configs)]):
                if statement.startswith(("INSERT", "EXECUTE")):
                    self._insert(session, number)

    # --- gateway ------------------------------------------------------------------------------------------------------

    def answer(self, session: FakeSession, statement: str) -> httpx.Response:
        for start_of, trace in self.refuse.items():
            if statement.startswith(start_of):
                return server_error(trace)
        words = statement.split()
        match words[:2]:
            case ["DESCRIBE", table]:
                return self._describe(session, table)
            case ["EXPLAIN", "CHANGELOG_MODE"]:
                return _rows([[_PLAN]], [("result", _TEXT)])
            case [("INSERT" | "EXECUTE"), _]:
                return self._insert(session, len(session.ran) - 1)
            case _:
                return _rows([["OK"]], [("result", _TEXT)])

    def _describe(self, session: FakeSession, table: str) -> httpx.Response:
        made = [sql for sql in session.ran if sql.startswith(("CREATE", "DROP")) and table in sql.split("(")[0].split()]
        if not made or made[-1].startswith("DROP"):
            return server_error(f"{VALIDATION}Tables or views with the identifier {table} doesn't exist.")
        names = self.columns.get(table.split(".")[-1].strip("`"), ["n"])
        texts = dict.fromkeys(("name", "type", "key", "extras", "watermark"), _TEXT)
        columns = [
            (name, {**texts, "null": _BOOLEAN}[name]) for name in ("name", "type", "null", "key", "extras", "watermark")
        ]
        return _rows([[name, "BIGINT", True, None, None, None] for name in names], columns)

    def _insert(self, session: FakeSession, number: int) -> httpx.Response:
        config, statement = session.configs[number], session.ran[number]
        job_id = config[FIXED_JOB_ID]
        if (session.handle, number) not in self._submitted:
            self._submitted.add((session.handle, number))
            if job_id in self.jobs:
                return server_error("org.apache.flink.runtime.client.DuplicateJobSubmissionException: x")
            job = Job(job_id, config[JOB_NAME], statement, config.get(RESTORE))
            if self.broken in statement:
                job.state, job.exception = "RESTARTING", CAST
            self.jobs[job_id] = job
        return httpx.Response(200, json={**insert_page(job_id), "nextResultUri": None, "resultType": "EOS"})

    # --- JobManager ---------------------------------------------------------------------------------------------------

    def _cluster(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        match request.method, [part for part in request.url.path.split("/") if part]:
            case "GET", ["overview"]:
                return httpx.Response(200, json={"slots-total": 8, "slots-available": self.slots})
            case "GET", ["jobmanager", "config"]:
                key = "execution.checkpointing.savepoint-dir"
                return httpx.Response(200, json=[{"key": key, "value": SAVEPOINTS}] if self.has_savepoint_dir else [])
            case "GET", ["jobs", "overview"]:
                jobs = [{"jid": job.id, "name": job.name, "state": job.state} for job in self.jobs.values()]
                return httpx.Response(200, json={"jobs": jobs})
            case method, ["jobs", job_id, *rest]:
                job = self.jobs.get(job_id)
                if job is None and not (method == "POST" and rest == ["stop"]):
                    return server_error("org.apache.flink.runtime.rest.NotFoundException: Job not found", 404)
                return self._job(method, job or Job(job_id, "", "", None, "FAILED"), rest, body)
            case _:
                return server_error(f"nothing at {request.url}", 404)

    def _job(self, method: str, job: Job, rest: list[str], body: dict[str, Any]) -> httpx.Response:
        match method, rest:
            case "GET", []:
                vertex = {"id": "v", "name": "Source", "status": "RUNNING" if job.state == "RUNNING" else "CREATED"}
                detail = {"jid": job.id, "name": job.name, "state": job.state, "vertices": [vertex]}
                return httpx.Response(200, json=detail)
            case "GET", ["exceptions"]:
                entries = [{"exceptionName": "x", "stacktrace": job.exception}] if job.exception else []
                return httpx.Response(200, json={"exceptionHistory": {"entries": entries, "truncated": False}})
            case "PATCH", []:
                is_over = job.state in ("FINISHED", "FAILED")
                job.state = job.state if is_over else "CANCELED"
                return httpx.Response(409 if is_over else 202, json={})
            case "POST", ["stop" | "savepoints" as path]:
                return self._trigger(job, path, body)
            case "GET", ["savepoints", request_id]:
                if request_id not in job.triggers:
                    return server_error("org.apache.flink.runtime.rest.NotFoundException: no such trigger", 404)
                location = job.triggers[request_id]
                failure = {"class": "x", "stack-trace": self.savepoint_failure or "java.lang.Exception: not running"}
                operation = {"location": location} if location else {"failure-cause": failure}
                return httpx.Response(200, json={"status": {"id": "COMPLETED"}, "operation": operation})
            case "POST", ["checkpoints"]:
                job.checkpoints += 1
                return httpx.Response(202, json={"request-id": "c"})
            case "GET", ["checkpoints", _]:
                answer = {"status": {"id": "COMPLETED"}, "operation": {"checkpointId": job.checkpoints}}
                return httpx.Response(200, json=answer)
            case "GET", ["checkpoints"]:
                return httpx.Response(200, json={"latest": self._latest(job)})
            case _:
                return server_error(f"nothing at {method} {rest}", 404)

    def _trigger(self, job: Job, path: str, body: dict[str, Any]) -> httpx.Response:
        """Always 202, as Flink does: also for a job that is over or was never there."""
        request_id = str(body.get("triggerId", f"t{len(job.triggers)}"))
        if request_id not in job.triggers:
            is_done = job.state == "RUNNING" and self.savepoint_failure is None
            job.triggers[request_id] = f"{SAVEPOINTS}/savepoint-{job.id[:6]}-{len(job.triggers)}" if is_done else ""
            if is_done:
                job.savepoint = job.triggers[request_id]
                job.state = "FINISHED" if path == "stop" else job.state
        return httpx.Response(202, json={"request-id": request_id})

    def _latest(self, job: Job) -> dict[str, object]:
        latest: dict[str, object] = {}
        if job.restored:
            is_savepoint = job.restored.startswith(SAVEPOINTS)
            latest["restored"] = {"id": 1, "external_path": job.restored, "is_savepoint": is_savepoint}
        if job.checkpoints:
            path = f"s3://bucket/checkpoints/{job.id}/chk-{job.checkpoints}"
            latest["completed"] = {"id": job.checkpoints + 1, "external_path": path}
        if job.savepoint:
            latest["savepoint"] = {"id": job.checkpoints + 2, "external_path": job.savepoint, "is_savepoint": True}
        return latest


class _Answers:
    """Stands in for the dictionary of ManySessions: every statement has an answer."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def get(self, statement: str) -> Callable[[FakeSession], httpx.Response]:
        return lambda session: self._cluster.answer(session, statement)


def _rows(rows: list[list[object]], columns: list[tuple[str, dict[str, object]]]) -> httpx.Response:
    return httpx.Response(200, json=page(rows, columns=columns, result_type="EOS"))


@contextmanager
def engine_on(cluster: Cluster, folder: Path) -> Iterator[SqlEngine]:
    """An engine whose registry lies in `folder`."""
    urls = {"FLINK_SQL_GATEWAY_URL": GATEWAY_URL, "FLINK_REST_URL": REST_URL}
    environ = {"MILLRACE_STATE_DIR": str(folder), "SQL_ENGINE_NAMESPACE": NAMESPACE}
    settings = load_settings(environ=environ | urls)
    with open_engine(settings, transport=cluster.transport()) as engine:
        yield engine


def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the watch of a start run on a clock that passes by itself."""
    clock = FakeClock()
    patience = Patience(sleep=clock.sleep, clock=clock.time)
    monkeypatch.setattr(start, "watch_start", functools.partial(watch_start, patience=patience))
