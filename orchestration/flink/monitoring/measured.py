"""A RowStream that tells the engine's metrics what became of its statement."""

from __future__ import annotations

import threading
import weakref

from orchestration.errors import MillraceError
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.monitoring.logs import log_statement
from orchestration.flink.monitoring.metrics import EngineMetrics
from orchestration.flink.reading.feed import EndReason, Feed, Limits, OnClosed
from orchestration.flink.reading.result import Result
from orchestration.flink.reading.rows import Change
from orchestration.flink.reading.stream import RowStream


class MeasuredStream(RowStream):
    """Counts its rows and times its phases.

    Args:
        family: class of the statement: query, info, dml, ddl, …
        on_closed: called once with the error that ended the statement, or None; its session is free then.
    """

    def __init__(
        self,
        result: Result,
        *,
        rest: FlinkRest,
        limits: Limits,
        metrics: EngineMetrics,
        family: str,
        on_closed: OnClosed,
    ) -> None:
        self._metrics, self._is_counted = metrics, False
        me = weakref.ref(self)  # the feed's thread must not keep a stream alive that nobody reads

        def closed(error: Exception | None) -> None:
            try:
                stream = me()
                # A thread that is done before its feed has a name was not stopped by anybody.
                feed: Feed | None = getattr(stream, "_feed", None)
                reason: EndReason | None = feed.reason if feed else "eos" if stream else "cancelled"
                _report(metrics, family, error, reason, feed)
            finally:
                on_closed(error)

        super().__init__(result, rest=rest, limits=limits, on_closed=closed)

    @property
    def settled(self) -> threading.Event:
        """Set when nothing is left of the statement: neither its operation nor, as far as is known, its job."""
        return self._feed.settled

    def wait_closed(self, timeout_s: float) -> bool:
        """Wait until the operation is closed; return whether it is."""
        return self._feed.closed.wait(timeout_s)

    def read(self) -> Change | None:
        """Return the next change, or None at the end, as RowStream does."""
        is_first = self._rows == 0
        change = super().read()
        if change is None:
            self._count()
        elif is_first:
            self._metrics.phase("first_row", self._feed.pages.timing.clock() - self._feed.started_at)
        return change

    def close(self) -> None:
        """Stop and close, as RowStream does."""
        super().close()
        self._count()

    def _count(self) -> None:
        if not self._is_counted:
            self._is_counted = True
            self._metrics.rows(self._rows)


def _report(
    metrics: EngineMetrics, family: str, error: Exception | None, reason: EndReason | None, feed: Feed | None
) -> None:
    """Count a statement whose operation is closed."""
    code = error.code if isinstance(error, MillraceError) else "internal" if error is not None else ""
    outcome = "error" if code else "cancelled" if reason == "cancelled" else "ok"
    metrics.statement(family, outcome, code)
    if feed is not None:
        pages, total_s = feed.pages, feed.pages.timing.clock() - feed.started_at
        if feed.ready_at is not None:
            metrics.phase("ready", feed.ready_at - feed.started_at)
        metrics.phase("total", total_s)
        log_statement(
            code or outcome,
            pages.sql,
            phase="total",
            duration_s=total_s,
            session=pages.session,
            operation=pages.operation,
            job_id=pages.job_id,
        )
