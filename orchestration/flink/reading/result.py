"""Result of one statement that ends by itself: columns, typed rows page by page, the job id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from orchestration.errors import FlinkError, JobTimeoutError, MillraceError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.models import ResultPage
from orchestration.flink.reading.feed import ready_timeout_error
from orchestration.flink.reading.pages import Pages, Timing, is_last, shorten_sql
from orchestration.flink.reading.rows import TO_LIST_ROWS, Change, Column, Row, columns_of, read_change, too_large
from orchestration.flink.reading.types import column_converter
from orchestration.waiting import WaitTimeoutError


class Result:
    """A submitted statement. Context manager: leaving it frees the operation, and cancels the job of a SELECT."""

    def __init__(self, gateway: GatewayClient, session: str, operation: str, sql: str, timing: Timing) -> None:
        self.operation = operation
        self.pages = Pages(gateway, session, operation, sql, timing)
        self._sql, self._timing = sql, timing
        self._page: ResultPage | None = None
        self._is_read = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_ready(self) -> None:
        """Wait for the first page, which carries the columns, the job id or the statement's error.

        Raises:
            StatementError, FlinkError: Flink refused the statement.
            JobTimeoutError: code `ready_timeout`, no first page in time; the operation was closed.
        """
        if self._page is not None:
            return
        try:
            self._page = self.pages.first(self._timing.ready_timeout_s)
        except WaitTimeoutError as error:
            self.close()
            raise ready_timeout_error(self.pages, error, None) from error
        except MillraceError:
            self.close()
            raise

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns in order."""
        self.wait_ready()
        return columns_of(self.pages.columns)

    @property
    def job_id(self) -> str | None:
        """Id of the Flink job that the statement started, or None (DDL, SET, SHOW)."""
        self.wait_ready()
        return self.pages.job_id

    def rows(self) -> Iterator[Row]:
        """Yield the rows, typed (see orchestration.flink.reading.types); holds one page at a time and can be read once.

        Stopping early closes the operation, which cancels the query's job.

        Raises:
            JobFailedError: the query failed while it ran.
            JobTimeoutError: code `fetch_timeout`, no new row for `idle_timeout_s`.
            FlinkError: the result is a changelog (an updating streaming query), or was read already.
        """
        if self._is_read:
            raise FlinkError(f"the rows were read already: {shorten_sql(self._sql)}")
        self.wait_ready()
        self._is_read = True
        converters = [column_converter(info) for info in self.pages.columns]
        page = self._page
        try:
            while page is not None:
                for data in page.results.data:
                    yield self._insert(read_change(converters, data))
                page = None if is_last(page) else self._after(page)
        finally:
            self._page = ResultPage(resultType="EOS")  # let the last page go
            self.close()

    def fetch_all(self, limit: int = TO_LIST_ROWS) -> list[Row]:
        """Return all rows.

        Raises:
            FlinkError: code `result_too_large`, there are more than `limit`; never a silently cut list.
        """
        rows: list[Row] = []
        with self:
            for row in self.rows():
                if len(rows) == limit:
                    raise too_large(self._sql, limit)
                rows.append(row)
        return rows

    def close(self) -> None:
        """Free the operation. Idempotent; an error on the way is logged only, since the session's end frees it too."""
        self.pages.close()

    def _insert(self, change: Change) -> Row:
        if change.kind != "INSERT":
            raise FlinkError(
                f"the query changes rows that it gave before ({change.kind}): {shorten_sql(self._sql)}",
                hint="run it in a session of mode batch",
            )
        return change.values

    def _after(self, page: ResultPage) -> ResultPage:
        try:
            return self.pages.after(page.next_uri or "", self._timing.idle_timeout_s)
        except WaitTimeoutError as error:
            context = {"operation": self.operation, "code": "fetch_timeout"}
            raise JobTimeoutError(str(error), hint="no rows came; ./millrace jobs list", context=context) from error
