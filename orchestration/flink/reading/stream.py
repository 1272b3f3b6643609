"""The changes of a query: read ahead, limited, cancelled from anywhere, no job left behind."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from orchestration.errors import FlinkError, JobTimeoutError, MillraceError
from orchestration.flink.client.models import RowData
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.reading.feed import NO_LIMITS, EndReason, Feed, Limits, OnClosed, slots_text
from orchestration.flink.reading.pages import shorten_sql
from orchestration.flink.reading.result import Result
from orchestration.flink.reading.rows import TO_LIST_ROWS, Change, Column, columns_of, read_change, too_large
from orchestration.flink.reading.types import Convert, column_converter

QUERY_DEFAULTS: Mapping[str, str] = {
    "execution.checkpointing.mode": "AT_LEAST_ONCE",
    "execution.checkpointing.interval": "365 d",
    "execution.checkpointing.storage": "jobmanager",
    "restart-strategy.type": "none",
    "parallelism.default": "1",
}
"""Settings of a query whose rows somebody reads, unless the caller gives others.

With checkpoints of mode exactly-once, Flink hands rows out only when a checkpoint is complete
(CheckpointedCollectResultBuffer): at an interval of 10 s the first row takes 10 s. They cannot be switched off for one
statement, so they are put far apart, and kept in memory, since a folder would stay behind for each query. Without
restarts a query that fails says so at once; a restarted one would give its rows again. One slot is enough to show rows.
"""

_CLOSE_S = 5.0


@dataclass(frozen=True)
class End:
    """How a stream ended.

    Args:
        reason: what came first: `eos` the result's own end, a limit, `cancelled` (or nobody reads any more), `error`.
        rows: changes that were handed out.
        elapsed_s: since the statement was sent.
        message: for people; with what is wrong if the query's job did not end.
    """

    reason: EndReason
    rows: int
    elapsed_s: float
    message: str


class RowStream:
    """The changes of a query, as an iterator and a context manager.

    Iteration ends at the first of: the result's end, `limits.max_rows`, `limits.fetch_timeout_s`, `cancel` or `close`;
    `end` says which. Whatever ends it, the operation is closed, and when a query ends before its result does, its job
    is watched for 10 s in the background and cancelled if it lives. A stream that is forgotten is stopped when Python
    collects it. Give it the `Result` of `Session.submit`, not of `execute`: the stream waits for the first page itself.

    Args:
        rest: to look after the query's job, and at free slots when the statement does not get ready.
        on_closed: called once when the operation is closed and the session free for the next statement, from the
            stream's thread, with the error that ended it or None.

    Iterating raises:
        StatementError, FlinkError, UnreachableError: Flink refused the statement, or does not answer.
        JobFailedError: the query failed while it ran; rows that came before were handed out.
        JobTimeoutError: code `ready_timeout`.
        FlinkError: code `result_token_lost`, or a value does not fit its column's type.
    """

    def __init__(
        self,
        result: Result,
        *,
        rest: FlinkRest | None = None,
        limits: Limits = NO_LIMITS,
        on_closed: OnClosed | None = None,
    ) -> None:
        self.sql = result.pages.sql
        self._feed = Feed(result.pages, rest, limits, on_closed)
        self._rest, self._limits = rest, limits
        self._rows, self._page, self._position = 0, tuple[RowData, ...](), 0
        self._converters: list[Convert] = []
        self._is_over = False
        self._pid = os.getpid()
        self._abandoned = weakref.finalize(self, _abandon, self._feed, self._pid)
        self._abandoned.atexit = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        change = self.read()
        if change is None:
            self._feed.closed.wait(_CLOSE_S)
            raise StopIteration
        return change

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns in order; waits for the first page and raises as iterating does."""
        self._feed.wait_ready()
        return columns_of(self._feed.pages.columns)

    @property
    def job_id(self) -> str | None:
        """Id of the Flink job that the statement started, or None (DDL, SET, SHOW); waits as `columns`."""
        self._feed.wait_ready()
        return self._feed.pages.job_id

    @property
    def end(self) -> End | None:
        """How the stream ended; None while it goes on."""
        reason = self._feed.reason
        if reason is None:
            return None
        if reason == "max_rows" and self._limits.is_complete:
            reason = "eos"
        elapsed_s = self._feed.ended_at - self._feed.started_at
        return End(reason, self._rows, elapsed_s, self._message(reason))

    @property
    def is_ready(self) -> bool:
        """Whether `columns` and `job_id` return or raise at once."""
        return self._feed.is_ready

    @property
    def seconds_left(self) -> float | None:
        """Until `fetch_timeout_s` ends the stream; None: no limit, or the first page is not there yet."""
        return self._feed.seconds_left

    def read(self) -> Change | None:
        """Return the next change, waiting for it; None at the end. As iterating, without waiting for the close."""
        while not self.poll():
            self._feed.wait_news()
        return self._hand_out() if self._feed.reason is None else self._finish()

    def poll(self) -> bool:
        """Return whether `read` returns or raises at once."""
        feed = self._feed
        while feed.reason is None and self._position == len(self._page) and feed.has_news:
            self._page, self._position = (), 0
            page = feed.take()
            if page is not None:
                self._page = page.results.data
        return feed.reason is not None or self._position < len(self._page)

    def to_list(self, cap: int = TO_LIST_ROWS) -> list[Change]:
        """Return all changes, up to `max_rows`, and close.

        Raises:
            FlinkError: code `result_too_large`, there are more than `cap`; `cancelled`, somebody called `cancel`.
            JobTimeoutError: code `fetch_timeout`. Never a silently cut list.
        """
        changes: list[Change] = []
        with self:
            for change in self:
                if len(changes) == cap:
                    raise too_large(self.sql, cap)
                changes.append(change)
        self.require_whole()
        return changes

    def require_whole(self) -> None:
        """Return if the stream ended with its result or after the rows asked for.

        Raises:
            JobTimeoutError: code `fetch_timeout`.
            FlinkError: code `cancelled`.
        """
        end = self.end
        if end is not None and end.reason == "timeout":
            raise JobTimeoutError(end.message, hint="raise the limit", context={"code": "fetch_timeout"})
        if end is not None and end.reason == "cancelled":
            raise FlinkError(f"cancelled after {end.rows} rows: {shorten_sql(self.sql)}", context={"code": "cancelled"})

    def cancel(self) -> None:
        """Stop, from any thread: iteration ends with reason `cancelled`, buffered rows are dropped. Returns at once."""
        self._stop("cancelled")

    def expire(self) -> None:
        """Stop with reason `timeout`. Returns at once."""
        self._stop("timeout")

    def close(self) -> None:
        """Stop if it still goes on, and wait until the operation is closed (5 s at most). Idempotent."""
        if self._pid != os.getpid():  # a forked child: the thread and the operation are its parent's
            return
        self.cancel()
        self._feed.closed.wait(_CLOSE_S)

    def wait_settled(self, timeout_s: float = 10.0) -> bool:
        """Wait until the query's job is over too, and say whether it is known to be."""
        return self._feed.settled.wait(timeout_s) and not self._feed.unfinished_job

    def on_news(self, listener: Callable[[], None]) -> None:
        """Call `listener`, from the stream's thread, whenever `poll` may have become true."""
        self._feed.listener = listener

    def _hand_out(self) -> Change:
        if not self._converters:
            self._converters = [column_converter(info) for info in self._feed.pages.columns]
        data = self._page[self._position]
        self._position += 1
        try:
            change = read_change(self._converters, data)
        except FlinkError as error:
            self._is_over = True
            self._feed.fail(error)
            raise
        self._rows += 1
        if self._rows == self._limits.max_rows:
            self._stop("max_rows")
        return change

    def _stop(self, reason: EndReason) -> None:
        is_used_up = self._position == len(self._page) and self._feed.is_used_up
        self._feed.stop("eos" if is_used_up else reason)

    def _finish(self) -> None:
        self._page = ()
        if not self._is_over:
            self._is_over = True
            if self._feed.reason == "error" and self._feed.error is not None:
                raise self._feed.error

    def _message(self, reason: EndReason) -> str:
        match reason:
            case "eos":
                text = "the result is complete"
            case "max_rows":
                text = f"stopped after {self._rows} rows"
            case "timeout":
                text = f"stopped after {self._limits.fetch_timeout_s:g} s with {self._rows} rows"
                if self._rows == 0 and self._rest is not None:
                    text += f"; {slots_text(self._rest)}"
            case "cancelled":
                text = f"cancelled after {self._rows} rows"
            case "error":
                error = self._feed.error
                text = error.message if isinstance(error, MillraceError) else repr(error)
        return "; ".join(filter(None, (text, self._feed.unfinished_job)))


def _abandon(feed: Feed, pid: int) -> None:
    if pid == os.getpid():
        feed.stop("cancelled")
