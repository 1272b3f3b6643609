"""Looks whether queries can run: versions, slots, a session, a statement, savepoints, connectors, the clock."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestration.errors import MillraceError, UnreachableError
from orchestration.flink.client.models import JobDetail
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.diagnosis import (
    SAVEPOINT_DIR,
    Finding,
    judge_api,
    judge_clock,
    judge_connectors,
    judge_savepoint_dir,
    judge_slots,
    judge_versions,
    local_path,
)
from orchestration.flink.jobs.wait import cancel_job
from orchestration.flink.sessions.session import Session, open_session
from orchestration.flink.tables.connectors import CONNECTORS
from orchestration.sql import quote_literal
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine

_START_S = 60.0
_ROWS = 3

_NUMBERS = (
    "CREATE TEMPORARY TABLE doctor_numbers (n BIGINT) WITH ('connector' = 'datagen', 'fields.n.kind' = 'sequence', "
    f"'fields.n.start' = '1', 'fields.n.end' = '{_ROWS}', 'number-of-rows' = '{_ROWS}')"
)
_TICKS = (
    "CREATE TEMPORARY TABLE doctor_ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1')",
    "CREATE TEMPORARY TABLE doctor_hole (n BIGINT) WITH ('connector' = 'blackhole')",
)


def diagnose(engine: SqlEngine, *, deep: bool = False) -> Iterator[Finding]:
    """Yield the findings, each as soon as it is known. Leaves no session, table or job behind.

    Args:
        deep: also make a savepoint of a tiny job, which takes one slot for some seconds, and remove it.
    """
    settings, gateway, rest = engine.settings, engine.gateway, engine.rest
    versions = {
        "gateway": _try(lambda: gateway.info().version),
        "cluster": _try(lambda: rest.overview().version),
    }
    yield _service("gateway", versions["gateway"], settings.flink_sql_gateway_url)
    yield _service("cluster", versions["cluster"], settings.flink_rest_url)
    yield look("registry", lambda: _registry(engine))
    seen = {name: version for name, version in versions.items() if isinstance(version, str)}
    if len(seen) < len(versions):
        return
    yield judge_versions(seen["gateway"], seen["cluster"])
    yield look("api", lambda: judge_api(gateway.api_versions()))
    yield look("slots", lambda: _slots(rest))
    opened = time.monotonic()
    try:
        session = open_session(gateway, mode="batch", name="millrace-doctor")
    except MillraceError as error:
        yield Finding("session", "FAIL", error.message, error.hint)
        return
    with session:
        config = gateway.session_config(session.handle)
        yield Finding("session", "PASS", f"opened in {(time.monotonic() - opened) * 1000:.0f} ms")
        yield look("statements", lambda: _smoke(session))
        yield look("clock", lambda: _clock(session))
        yield from judge_connectors(_connectors(session))
    folder = settings.sql_engine_savepoint_dir or config.get(SAVEPOINT_DIR)
    yield judge_savepoint_dir(folder, is_local=_is_local(settings.flink_rest_url))
    if deep:
        yield look("savepoint", lambda: _savepoint(engine, folder))


def look(name: str, ask: Callable[[], Finding]) -> Finding:
    """Return what `ask` finds; an error of ours is a failure."""
    try:
        return ask()
    except MillraceError as error:
        return Finding(name, "FAIL", error.message, error.hint, isinstance(error, UnreachableError))


def _try(ask: Callable[[], str]) -> str | MillraceError:
    try:
        return ask()
    except MillraceError as error:
        return error


def _service(name: str, version: str | MillraceError, url: str) -> Finding:
    if isinstance(version, MillraceError):
        return Finding(name, "FAIL", version.message, version.hint, isinstance(version, UnreachableError))
    return Finding(name, "PASS", f"Flink {version} at {url}")


def _registry(engine: SqlEngine) -> Finding:
    count = len(engine.registry.active())
    return Finding("registry", "PASS", f"{count} queries in {engine.settings.query_registry}")


def _slots(rest: FlinkRest) -> Finding:
    overview = rest.overview()
    return judge_slots(overview.slots_available, overview.slots_total, overview.taskmanagers)


def _smoke(session: Session) -> Finding:
    started = time.monotonic()
    session.execute(_NUMBERS).close()
    rows = session.execute("SELECT COUNT(*) AS n FROM doctor_numbers").fetch_all()
    took = f"{time.monotonic() - started:.1f} s"
    if rows != [(_ROWS,)]:
        return Finding("statements", "FAIL", f"counting {_ROWS} rows gave {rows}", "look at the gateway's log")
    return Finding("statements", "PASS", f"a table and a query on it took {took}")


def _clock(session: Session) -> Finding:
    before = datetime.now(UTC)
    [(theirs,)] = session.execute("SELECT CURRENT_TIMESTAMP AS now").fetch_all()
    after = datetime.now(UTC)
    if not isinstance(theirs, datetime):
        return Finding("clock", "WARN", f"Flink gave {theirs!r} as the time", "look at the gateway's log")
    return judge_clock(before, theirs, after)


def _connectors(session: Session) -> dict[str, bool]:
    return {name: _has_connector(session, number, name) for number, name in enumerate(sorted(CONNECTORS))}


def _has_connector(session: Session, number: int, name: str) -> bool:
    """Plan a query on a dummy table: a connector that is there complains of missing options, or of being a sink."""
    table = f"doctor_dummy_{number}"
    session.execute(f"CREATE TEMPORARY TABLE {table} (n INT) WITH ('connector' = {quote_literal(name)})").close()
    try:
        session.execute(f"EXPLAIN SELECT * FROM {table}").close()
    except UnreachableError:
        raise
    except MillraceError as error:
        return error.code != "connector_missing"
    return True


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def _savepoint(engine: SqlEngine, folder: str | None) -> Finding:
    """Run a tiny job, make a savepoint of it, cancel it, and remove the savepoint if it lies on this machine."""
    name = f"{engine.settings.sql_engine_namespace}.doctor.{uuid.uuid4().hex[:8]}"
    config = {"pipeline.name": name, "parallelism.default": "1", "execution.checkpointing.interval": "1 h"}
    with open_session(engine.gateway, mode="streaming", init=_TICKS, name="millrace-doctor") as session:
        job_id = session.execute("INSERT INTO doctor_hole SELECT n FROM doctor_ticks", config).job_id or ""
    started = time.monotonic()
    try:
        _wait_until_running(engine.rest, job_id)
        location = engine.rest.trigger_savepoint(job_id, target_directory=folder, timeout_s=_START_S)
    finally:
        cancel_job(engine.rest, job_id)
    took = f"{time.monotonic() - started:.1f} s"
    path = local_path(location)
    if path is not None and _is_local(engine.rest.base_url):
        shutil.rmtree(path, ignore_errors=True)
        return Finding("savepoint", "PASS", f"made and removed one of a tiny job, {took}")
    return Finding("savepoint", "PASS", f"made one of a tiny job, {took}: {location} may be deleted")


def _wait_until_running(rest: FlinkRest, job_id: str) -> None:
    def ask() -> tuple[JobDetail | None, object]:
        job = rest.job(job_id)
        if job.is_terminal:
            raise MillraceError(f"the tiny job is {job.state}", hint=rest.job_url(job_id))
        states = {vertex.status for vertex in job.vertices}
        return (job if job.state == "RUNNING" and states == {"RUNNING"} else None), job.state

    try:
        wait_for(ask, what="a tiny job to run", timeout_s=_START_S, backoff=Backoff(first_s=0.2, most_s=1.0))
    except WaitTimeoutError as error:
        raise MillraceError(str(error), hint="are slots free? `millrace sql list --all`") from error
