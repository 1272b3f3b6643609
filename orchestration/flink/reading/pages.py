"""Reads the pages of one operation in order: the waits between them, and what a page may say."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestration.errors import FlinkError, MillraceError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.models import ColumnInfo, ResultPage
from orchestration.flink.text.script import Statement, locate_error
from orchestration.redaction import redact
from orchestration.waiting import Backoff, wait_for

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """How long and how often a session looks.

    Args:
        ready_timeout_s: until the first page. Above 60 s: with the cluster down the gateway gives up by itself after
            60.2 s, and its error is the better one.
        idle_timeout_s: without any new row while `Result.rows` reads.
        heartbeat_s: the gateway's idle timeout is 600 s by default.
        sleep, clock: replaced in tests.
    """

    ready_timeout_s: float = 90.0
    idle_timeout_s: float = 600.0
    heartbeat_s: float = 60.0
    poll: Backoff = field(default_factory=lambda: Backoff(first_s=0.05, most_s=1.0, jitter=0.2))
    sleep: Callable[[float], None] | None = None
    clock: Callable[[], float] = time.monotonic


NORMAL_TIMING = Timing()


class InterruptedReadError(Exception):
    """`Pages.interrupt` was called while a page was waited for."""


class Pages:
    """The pages of one operation. One thread reads; any thread may interrupt and close.

    Args:
        sql: the statement, for error texts.

    Attributes:
        origin: where the statement stands in a script; errors then name the script's lines. None: it stands alone.
    """

    def __init__(self, gateway: GatewayClient, session: str, operation: str, sql: str, timing: Timing) -> None:
        self.session, self.operation, self.sql, self.timing = session, operation, sql, timing
        self.columns: tuple[ColumnInfo, ...] = ()
        self.job_id: str | None = None
        self.is_query = False
        self.origin: Statement | None = None
        self._gateway = gateway
        self._interrupted = threading.Event()
        self._closing = threading.Lock()
        self._is_closed = False
        self._pid = os.getpid()

    def first(self, timeout_s: float) -> ResultPage:
        """Return the first page: it carries the columns, the job id or the statement's error, and maybe no row.

        Raises:
            StatementError, FlinkError, UnreachableError: Flink refused the statement, or does not answer.
            WaitTimeoutError: no page in time.
            InterruptedReadError: see `interrupt`.
        """
        try:
            return self._wait(None, timeout_s, "the first page")
        except MillraceError as error:
            if self.origin is None:
                raise
            raise locate_error(error, self.origin) from error

    def after(self, uri: str, timeout_s: float) -> ResultPage:
        """Return the next page that holds rows or the end.

        Args:
            uri: `next_uri` of the page before.

        Raises:
            JobFailedError: the query failed while it ran; the operation's status says FINISHED all the same.
            FlinkError: code `result_token_lost`, the gateway no longer has this page.
            WaitTimeoutError, InterruptedReadError, UnreachableError: as `first`.
        """
        return self._wait(uri, timeout_s, "the next rows")

    def interrupt(self) -> None:
        """Make the thread that waits for a page raise InterruptedReadError, now or when it next waits."""
        self._interrupted.set()

    def close(self) -> None:
        """Free the operation. Idempotent; an error on the way is logged only, since the session's end frees it too.

        A forked child leaves it to its parent.
        """
        with self._closing:
            if self._is_closed or self._pid != os.getpid():
                return
            self._is_closed = True
        try:
            self._gateway.close_operation(self.session, self.operation)
        except (MillraceError, RuntimeError) as error:  # RuntimeError: the client was closed first
            _log.debug("closing operation %s failed: %s", self.operation, error)

    def _wait(self, uri: str | None, timeout_s: float, what: str) -> ResultPage:
        """Return the next page that says something: rows, the first columns, a job id or the end.

        NOT_READY repeats its token. A streaming query that idles gives empty PAYLOAD pages at once, each with a new
        token: both are waited out with the same backoff. The client repeats a fetch whose answer was lost, which is
        safe: the gateway serves the current token and the one before it.
        """
        is_first = uri is None

        def look() -> tuple[ResultPage | None, object]:
            nonlocal uri
            if self._interrupted.is_set():
                raise InterruptedReadError
            if uri is None:
                page = self._gateway.fetch_result(self.session, self.operation)
            else:
                page = self._gateway.fetch_next(uri)
            match page.result_type:
                case "NOT_READY":
                    return None, page.result_type
                case "PAYLOAD" | "EOS":
                    self._remember(page)
                    if page.result_type == "EOS" or page.results.data or is_first:
                        return page, page.result_type
                    uri = page.next_uri
                    return (page if uri is None else None), "an empty page"
                case unknown:
                    raise FlinkError(f"the gateway sent a page of type {unknown!r}, which Millrace does not know")

        timing = self.timing
        try:
            return wait_for(
                look,
                what=f"{what} of: {shorten_sql(self.sql)}",
                timeout_s=timeout_s,
                backoff=timing.poll,
                sleep=self._pause,
                clock=timing.clock,
            )
        except MillraceError as error:
            error.context = self._where() | error.context
            raise

    def _where(self) -> dict[str, str]:
        """Return what an error of this statement tells machines."""
        known = {"session": self.session, "operation": self.operation, "statement": redact(self.sql)[:2000]}
        return known if self.job_id is None else {**known, "job_id": self.job_id}

    def _remember(self, page: ResultPage) -> None:
        is_insert = [info.name for info in page.results.columns] == ["job id"]
        self.columns = self.columns or page.results.columns
        self.is_query = self.is_query or (page.is_query is True and not is_insert)
        self.job_id = self.job_id or page.job_id
        if self.job_id is None and is_insert and page.results.data:
            self.job_id = str(page.results.data[0].fields[0])

    def _pause(self, seconds: float) -> None:
        if self.timing.sleep is not None:
            self.timing.sleep(seconds)
        else:
            self._interrupted.wait(seconds)


def is_last(page: ResultPage) -> bool:
    """Whether no page follows."""
    return page.result_type == "EOS" or page.next_uri is None


def shorten_sql(sql: str) -> str:
    """Return the start of a statement on one line. Secrets go first: a cut literal would no longer be recognised."""
    text = " ".join(redact(sql).split())
    return text if len(text) <= 200 else text[:199] + "…"
