"""Result of one statement: columns, typed rows page by page, the job id."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from orchestration.errors import FlinkError, JobTimeoutError, MillraceError
from orchestration.flink.gateway import GatewayClient
from orchestration.flink.models import ColumnInfo, ResultPage
from orchestration.flink.types import column_converter, type_text
from orchestration.redaction import redact
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

_log = logging.getLogger(__name__)

Row = tuple[object, ...]


@dataclass(frozen=True)
class Timing:
    """How long and how often a session looks.

    Args:
        ready_timeout_s: until the first page. Above 60 s: with the cluster down the gateway gives up by itself after
            60.2 s, and its error is the better one.
        idle_timeout_s: without any new row while a result is read.
        heartbeat_s: the gateway's idle timeout is 600 s by default.
        sleep, clock: replaced in tests.
    """

    ready_timeout_s: float = 90.0
    idle_timeout_s: float = 600.0
    heartbeat_s: float = 60.0
    poll: Backoff = field(default_factory=lambda: Backoff(first_s=0.05, most_s=1.0))
    sleep: Callable[[float], None] | None = None
    clock: Callable[[], float] = time.monotonic


NORMAL_TIMING = Timing()


@dataclass(frozen=True)
class Column:
    """Name and Flink type of a result column."""

    name: str
    type: str
    is_nullable: bool


class Result:
    """A submitted statement. Context manager: leaving it frees the operation, and cancels the job of a SELECT."""

    def __init__(self, gateway: GatewayClient, session: str, operation: str, sql: str, timing: Timing) -> None:
        self.operation = operation
        self._gateway, self._session, self._sql, self._timing = gateway, session, sql, timing
        self._page: ResultPage | None = None
        self._columns: tuple[ColumnInfo, ...] = ()
        self._job_id: str | None = None
        self._is_closed = False
        self._is_read = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_ready(self) -> None:
        """Wait for the first page, which carries the columns, the job id or the statement's error.

        Raises:
            StatementError, FlinkError: Flink refused the statement.
            JobTimeoutError: no first page within `ready_timeout_s`; the operation was closed.
        """
        if self._page is None:
            self._page = self._fetch(None, self._timing.ready_timeout_s, "the first page")

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns in order."""
        self.wait_ready()
        return tuple(Column(info.name, type_text(info.type), info.type.nullable) for info in self._columns)

    @property
    def job_id(self) -> str | None:
        """Id of the Flink job that the statement started, or None (DDL, SET, SHOW)."""
        self.wait_ready()
        return self._job_id

    def rows(self) -> Iterator[Row]:
        """Yield the rows, typed (see orchestration.flink.types); holds one page at a time and can be read once.

        Stopping early closes the operation, which cancels the query's job.

        Raises:
            JobFailedError: the query failed while it ran.
            FlinkError: the result is a changelog (an updating streaming query), or was read already.
        """
        for kind, row in self._changes():
            if kind != "INSERT":
                raise FlinkError(
                    f"the query changes rows that it gave before ({kind}): {shorten_sql(self._sql)}",
                    hint="run it in a session of mode batch",
                )
            yield row

    def fetch_all(self, limit: int = 100_000) -> list[Row]:
        """Return all rows.

        Raises:
            FlinkError: there are more than `limit`; never a silently cut list.
        """
        rows: list[Row] = []
        with self:
            for row in self.rows():
                if len(rows) == limit:
                    raise FlinkError(
                        f"the query gives more than {limit} rows: {shorten_sql(self._sql)}", hint="add a LIMIT"
                    )
                rows.append(row)
        return rows

    def close(self) -> None:
        """Free the operation. Idempotent; an error on the way is logged only, since the session's end frees it too."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._gateway.close_operation(self._session, self.operation)
        except MillraceError as error:
            _log.debug("closing operation %s failed: %s", self.operation, error)

    def _changes(self) -> Iterator[tuple[str, Row]]:
        if self._is_read:
            raise FlinkError(f"the rows were read already: {shorten_sql(self._sql)}")
        self.wait_ready()
        self._is_read = True
        converters = [column_converter(info) for info in self._columns]
        page = self._page
        try:
            while page is not None:
                for data in page.results.data:
                    values = zip(converters, data.fields, strict=True)
                    yield data.kind, tuple(convert(value) for convert, value in values)
                if page.result_type == "EOS" or not page.next_uri:
                    break
                page = self._fetch(page.next_uri, self._timing.idle_timeout_s, "the next rows")
        finally:
            self._page = ResultPage(resultType="EOS")  # let the last page go
            self.close()

    def _fetch(self, uri: str | None, timeout_s: float, what: str) -> ResultPage:
        """Return the next page that says something: rows, the first columns, a job id or the end.

        NOT_READY repeats its token. A streaming query that idles gives empty PAYLOAD pages at once, each with a new
        token: both are waited out with the same backoff.
        """
        is_first = uri is None

        def look() -> tuple[ResultPage | None, object]:
            nonlocal uri
            if uri is None:
                page = self._gateway.fetch_result(self._session, self.operation)
            else:
                page = self._gateway.fetch_next(uri)
            match page.result_type:
                case "NOT_READY":
                    return None, page.result_type
                case "PAYLOAD" | "EOS":
                    self._columns = self._columns or page.results.columns
                    self._job_id = self._job_id or page.job_id or self._job_id_column(page)
                    if page.result_type == "EOS" or page.results.data or is_first:
                        return page, page.result_type
                    uri = page.next_uri
                    return (page if uri is None else None), "an empty page"
                case unknown:
                    raise FlinkError(f"the gateway sent a page of type {unknown!r}, which Millrace does not know")

        timing = self._timing
        try:
            return wait_for(
                look,
                what=f"{what} of: {shorten_sql(self._sql)}",
                timeout_s=timeout_s,
                backoff=timing.poll,
                sleep=timing.sleep,
                clock=timing.clock,
            )
        except WaitTimeoutError as error:
            self.close()
            hint = "does the cluster have free slots? ./millrace status"
            raise JobTimeoutError(str(error), hint=hint, context={"operation": self.operation}) from error
        except MillraceError:
            self.close()
            raise

    def _job_id_column(self, page: ResultPage) -> str | None:
        if [info.name for info in page.results.columns] != ["job id"] or not page.results.data:
            return None
        return str(page.results.data[0].fields[0])


def shorten_sql(sql: str) -> str:
    """Return the start of a statement on one line. Secrets go first: a cut literal would no longer be recognised."""
    text = " ".join(redact(sql).split())
    return text if len(text) <= 200 else text[:199] + "…"
