"""The thread behind a RowStream: reads one page ahead, and sees to it that the query ends when its reader does."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from orchestration.errors import FlinkError, JobTimeoutError, MillraceError, UnreachableError
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.models import TERMINAL, ResultPage
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.reading.pages import InterruptedReadError, Pages, is_last, shorten_sql
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

_log = logging.getLogger(__name__)

EndReason = Literal["eos", "max_rows", "timeout", "cancelled", "error"]
OnClosed = Callable[[Exception | None], object]

_JOB_END_S = 10.0
_PATCH_AFTER_S = 4.0
"""Closing the operation cancels a SELECT's job within about 2 s; after that it is asked directly."""

_JOB_POLL = Backoff(first_s=0.2, most_s=1.0)


@dataclass(frozen=True)
class Limits:
    """When a stream ends by itself.

    Args:
        max_rows: changes to hand out; 0: all.
        fetch_timeout_s: seconds from the first page on, whether rows come or not; 0: no limit.
        is_complete: `max_rows` are all rows that the query has, so that reaching them is its end.
    """

    max_rows: int = 0
    fetch_timeout_s: float = 0.0
    is_complete: bool = False


NO_LIMITS = Limits()


class Feed:
    """Owns an operation from its first page to the end of its job, in a daemon thread.

    A page is fetched while its reader works on the one before it, and not earlier: two pages are held at most.

    Args:
        rest: to see that a query's job is over; None: the gateway is trusted to cancel it.
        on_closed: called once when the operation is closed, from the thread, with the error that ended it or None.
    """

    def __init__(self, pages: Pages, rest: FlinkRest | None, limits: Limits, on_closed: OnClosed | None) -> None:
        self.pages, self.limits = pages, limits
        self.reason: EndReason | None = None
        self.error: Exception | None = None
        self.ended_at = self.started_at = pages.timing.clock()
        self.ready_at: float | None = None
        self.unfinished_job = ""
        self.listener: Callable[[], None] | None = None
        self.closed, self.settled = threading.Event(), threading.Event()
        self._rest, self._on_closed = rest, on_closed
        self._changed = threading.Condition()
        self._slot: ResultPage | None = None
        self._is_ready = self._is_drained = False
        self._deadline = math.inf
        threading.Thread(target=self._run, name=f"flink-rows-{pages.operation[:8]}", daemon=True).start()

    # --- the reader's side --------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the first page or the end came."""
        return self._is_ready or self.reason is not None or self._is_drained

    @property
    def has_news(self) -> bool:
        """Whether a page lies ready, or the end is known."""
        return self._slot is not None or self.reason is not None or self._is_drained

    @property
    def is_used_up(self) -> bool:
        """Whether every page was taken and the result came to its natural end."""
        return self._is_drained and self._slot is None and self.error is None

    def wait_ready(self) -> None:
        """Wait for the first page.

        Raises:
            MillraceError: there is none; code `cancelled` when the stream was stopped before.
        """
        self._wait_until(lambda: self.is_ready)
        if self._is_ready:
            return
        if self.error is not None:
            self.stop("error")
            raise self.error
        raise FlinkError(f"stopped before its first page: {shorten_sql(self.pages.sql)}", context={"code": "cancelled"})

    def wait_news(self) -> None:
        """Wait for the next page or the end."""
        self._wait_until(lambda: self.has_news)

    def take(self) -> ResultPage | None:
        """Return the page that `has_news` told of, or None at the end: `reason` says which one."""
        with self._changed:
            if self.reason is None and self._slot is not None:
                page, self._slot = self._slot, None
                self._changed.notify_all()
                return page
        self.stop("error" if self.error is not None else "eos")
        return None

    def stop(self, reason: EndReason) -> None:
        """End the stream; the first reason stays. Returns at once, the thread closes the operation."""
        with self._changed:
            if self.reason is None:
                self.reason, self.ended_at = reason, self.pages.timing.clock()
            self._slot = None
            self.pages.interrupt()
            self._tell()

    def fail(self, error: Exception) -> None:
        """End the stream with an error of the reader's side."""
        with self._changed:
            if self.reason is None:
                self.error = error
            self.stop("error")

    @property
    def seconds_left(self) -> float | None:
        """Until `fetch_timeout_s` ends the stream; None: no limit, or the first page is not there yet."""
        return None if math.isinf(self._deadline) else max(self._deadline - self.pages.timing.clock(), 0.0)

    def _wait_until(self, is_true: Callable[[], bool]) -> None:
        with self._changed:
            if self._changed.wait_for(is_true, self.seconds_left):
                return
        self.stop("timeout")  # the thread hangs in a call to the gateway

    def _tell(self) -> None:
        self._changed.notify_all()
        if self.listener is not None:
            with contextlib.suppress(RuntimeError):  # its event loop is closed: nobody listens any more
                self.listener()

    # --- the thread's side --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        error: Exception | None = None
        try:
            self._read()
        except InterruptedReadError:
            pass
        except Exception as failure:  # noqa: BLE001 - raised in the reader's thread
            error = failure
        self.pages.close()
        self.closed.set()
        self._report_closed(error)
        with self._changed:
            self.error, self._is_drained = self.error or error, True
            self._tell()
        if error is not None or self.reason not in (None, "eos"):
            self._see_job_end()
        self.settled.set()

    def _report_closed(self, error: Exception | None) -> None:
        if self._on_closed is None:
            return
        try:
            self._on_closed(error)
        except Exception:  # noqa: BLE001 - the reader must still be told
            _log.exception("what follows the close of operation %s failed", self.pages.operation)

    def _read(self) -> None:
        page = self._first()
        limit_s, max_rows, rows = self.limits.fetch_timeout_s, self.limits.max_rows, 0
        with self._changed:
            self._is_ready, self.ready_at = True, self.pages.timing.clock()
            if limit_s:
                self._deadline = self.pages.timing.clock() + limit_s
        while self._offer(page):
            rows += len(page.results.data)
            if 0 < max_rows <= rows:
                self._wait_for_reader(lambda: False)
                return
            uri = page.next_uri
            del page  # the reader may have dropped it by now
            if uri is None or not self._wait_for_reader(lambda: self._slot is None):
                return
            try:
                left_s = self.seconds_left
                page = self.pages.after(uri, math.inf if left_s is None else left_s)
            except WaitTimeoutError:
                self.stop("timeout")
                return

    def _first(self) -> ResultPage:
        try:
            return self.pages.first(self.pages.timing.ready_timeout_s)
        except WaitTimeoutError as error:
            raise ready_timeout_error(self.pages, error, self._rest) from error

    def _offer(self, page: ResultPage) -> bool:
        """Lay the page out for the reader; False when none follows or the stream was stopped."""
        with self._changed:
            if self.reason is None:
                self._slot = page
            self._tell()
            return self.reason is None and not is_last(page)

    def _wait_for_reader(self, is_true: Callable[[], bool]) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self.reason is not None or is_true(), self.seconds_left)
            if self.reason is None and not is_true():
                self.stop("timeout")
            return self.reason is None

    def _see_job_end(self) -> None:
        """Watch the query's job until it is over; cancel it when closing the operation did not."""
        job_id, rest = self.pages.job_id, self._rest
        if job_id is None or rest is None or not self.pages.is_query:
            return
        clock = self.pages.timing.clock
        patch_at = clock() + _PATCH_AFTER_S

        def look() -> tuple[str | None, str]:
            nonlocal patch_at
            try:
                state = rest.job(job_id).state
                if state not in TERMINAL and clock() >= patch_at:
                    patch_at = math.inf
                    rest.cancel(job_id)
            except JobNotFoundError:
                return "gone", "gone"
            except UnreachableError as error:
                return None, error.message
            return (state if state in TERMINAL else None), state

        try:
            wait_for(
                look,
                what=f"Flink job {job_id} of a query that was stopped to end",
                timeout_s=_JOB_END_S,
                backoff=_JOB_POLL,
                sleep=self.pages.timing.sleep,
                clock=clock,
            )
        except (WaitTimeoutError, MillraceError, RuntimeError) as error:  # RuntimeError: the client was closed first
            self.unfinished_job = f"job {job_id} may still run: {error}"
            _log.warning("%s", self.unfinished_job)


def ready_timeout_error(pages: Pages, error: WaitTimeoutError, rest: FlinkRest | None) -> JobTimeoutError:
    """Return the error for a statement without a first page: how long, and whether the cluster had free slots."""
    if rest is None:
        slots = "does the cluster have free slots? ./millrace status"
    else:
        slots = slots_text(rest)
    context = {"operation": pages.operation, "session": pages.session, "code": "ready_timeout"}
    return JobTimeoutError(str(error), hint=slots, context=context)


def slots_text(rest: FlinkRest) -> str:
    """Return how many slots of the cluster are free, as a sentence."""
    try:
        overview = rest.overview()
    except MillraceError as error:
        return f"the cluster did not say whether slots are free: {error.message}"
    if overview.slots_available == 0:
        return f"no slot is free, {overview.slots_total} are taken: stop a job, see './millrace jobs list'"
    return f"{overview.slots_available} of {overview.slots_total} slots are free, so it was not for want of slots"
