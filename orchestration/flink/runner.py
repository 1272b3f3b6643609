"""Runs single statements and keeps account of them: the streams that are open, the metrics, what is left at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from weakref import WeakSet

from orchestration.errors import MillraceError, SessionLostError
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.monitoring.logs import log_statement
from orchestration.flink.monitoring.measured import MeasuredStream
from orchestration.flink.monitoring.metrics import EngineMetrics
from orchestration.flink.reading.feed import Limits, OnClosed
from orchestration.flink.reading.result import Result
from orchestration.flink.sessions.logical import LogicalSession
from orchestration.flink.sessions.pool import SessionPool
from orchestration.flink.sessions.session import SessionSpec
from orchestration.flink.text.kinds import StatementKind


class Runner:
    """The way of one statement from a session to its stream. Usable from several threads."""

    def __init__(self, pool: SessionPool, rest: FlinkRest, metrics: EngineMetrics) -> None:
        self._pool, self._rest, self._metrics = pool, rest, metrics
        self._streams: WeakSet[MeasuredStream] = WeakSet()
        self._unsettled: set[threading.Event] = set()
        self._lock = threading.Lock()

    def in_pool(
        self, sql: str, config: Mapping[str, str], spec: SessionSpec, kind: StatementKind, limits: Limits
    ) -> MeasuredStream:
        """Run a statement that leaves nothing in its session on one of the pool, which gets it back after the stream.

        Raises:
            OverloadedError, UnreachableError: no session; the gateway does not answer.
        """
        for is_repeat in (False, True):
            lease = self._pool.lease(spec)
            try:
                result = lease.session.submit(sql, config)
                return self.stream(result, limits, kind, lease.release)
            except SessionLostError as error:
                # It has no operation yet. The other idle sessions are as old as this one, so they are gone as well.
                lease.discard()
                self._pool.close_idle()
                if is_repeat:
                    self._count(kind, error)
                    raise
                self._metrics.replay()
            except BaseException as error:
                lease.release(error)
                self._count(kind, error)
                raise
        raise AssertionError("the second attempt returns or raises")

    def in_session(
        self, sql: str, config: Mapping[str, str], session: LogicalSession, kind: StatementKind, limits: Limits
    ) -> MeasuredStream:
        """Run a statement in a session of its own, which is closed when the stream ends.

        Raises:
            StatementError, UnreachableError: as `LogicalSession.submit`.
        """
        try:
            result = session.submit(sql, config)
            return self.stream(result, limits, kind, lambda _: session.close())
        except BaseException as error:
            session.close()
            self._count(kind, error)
            raise

    def stream(self, result: Result, limits: Limits, kind: StatementKind, on_closed: OnClosed) -> MeasuredStream:
        """Return the rows of a submitted statement."""
        stream = MeasuredStream(
            result, rest=self._rest, limits=limits, metrics=self._metrics, family=kind.family.value, on_closed=on_closed
        )
        with self._lock:
            self._streams.add(stream)
            self._unsettled = {event for event in self._unsettled if not event.is_set()} | {stream.settled}
        return stream

    def until_accepted(self, session: LogicalSession, sql: str, kind: StatementKind) -> str | None:
        """Run a statement that is no query, and return the id of the job that it started.

        Raises:
            StatementError, SessionLostError, UnreachableError: as `LogicalSession.execute`.
        """
        started = time.monotonic()
        try:
            with session.execute(sql) as result:
                job_id = result.job_id
        except BaseException as error:
            self._count(kind, error)
            code = error.code if isinstance(error, MillraceError) else "cancelled"
            log_statement(code, sql, phase="ready", duration_s=time.monotonic() - started)
            raise
        self._count(kind, None)
        ready_s = time.monotonic() - started
        self._metrics.phase("ready", ready_s)
        log_statement("ok", sql, phase="ready", duration_s=ready_s, job_id=job_id)
        return job_id

    def close_streams(self, within_s: float) -> None:
        """Stop what still runs, and wait until the operations are closed."""
        deadline = time.monotonic() + within_s
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.cancel()
        for stream in streams:
            stream.wait_closed(max(deadline - time.monotonic(), 0.0))

    def wait_settled(self, within_s: float) -> None:
        """Wait until the jobs of queries that were stopped are known to be over."""
        deadline = time.monotonic() + within_s
        with self._lock:
            unsettled = list(self._unsettled)
        for settled in unsettled:
            settled.wait(max(deadline - time.monotonic(), 0.0))

    def _count(self, kind: StatementKind, error: BaseException | None) -> None:
        match error:
            case None:
                self._metrics.statement(kind.family.value, "ok")
            case MillraceError():
                self._metrics.statement(kind.family.value, "error", error.code)
            case _:
                self._metrics.statement(kind.family.value, "cancelled")
