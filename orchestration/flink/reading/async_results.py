"""RowStream for asyncio: the same semantics, and no thread waits for rows but the stream's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from orchestration.flink.reading.rows import TO_LIST_ROWS, Change, Column, too_large
from orchestration.flink.reading.stream import End, RowStream

_ROWS_IN_A_ROW = 256
"""Rows that are there already are handed out without a pause; after so many, other tasks get a turn."""


class AsyncRowStream:
    """The changes of a query, as an asynchronous iterator and context manager. Belongs to the running event loop.

    A stream that is dropped, as by leaving an `async for`, ends its query when Python collects it; `async with` and
    `aclose` do so at once. A task that is cancelled while it waits loses no row: iteration may go on.

    Args:
        stream: is taken over.
    """

    def __init__(self, stream: RowStream) -> None:
        self._stream, self._rows = stream, 0
        self._news = news = asyncio.Event()
        loop = asyncio.get_running_loop()
        stream.on_news(lambda: loop.call_soon_threadsafe(news.set) and None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        await self._wait(self._stream.poll)
        self._rows += 1
        if self._rows % _ROWS_IN_A_ROW == 0:
            await asyncio.sleep(0)
        change = self._stream.read()
        if change is None:
            await self.aclose()
            raise StopAsyncIteration
        return change

    async def columns(self) -> tuple[Column, ...]:
        """Return the columns in order, once the first page is there; raises as iterating does."""
        await self._wait(lambda: self._stream.is_ready)
        return self._stream.columns

    async def job_id(self) -> str | None:
        """Return the id of the Flink job that the statement started, or None (DDL, SET, SHOW)."""
        await self._wait(lambda: self._stream.is_ready)
        return self._stream.job_id

    @property
    def end(self) -> End | None:
        """How the stream ended; None while it goes on."""
        return self._stream.end

    def cancel(self) -> None:
        """Stop, from any thread or task: iteration ends with reason `cancelled`. Returns at once."""
        self._stream.cancel()

    async def aclose(self) -> None:
        """Stop if it still goes on, and wait until the operation is closed (5 s at most). Idempotent."""
        self._stream.cancel()
        await asyncio.to_thread(self._stream.close)

    async def to_list(self, cap: int = TO_LIST_ROWS) -> list[Change]:
        """Return all changes, up to `max_rows`, and close; raises as `RowStream.to_list`."""
        changes: list[Change] = []
        async with self:
            async for change in self:
                if len(changes) == cap:
                    raise too_large(self._stream.sql, cap)
                changes.append(change)
        self._stream.require_whole()
        return changes

    async def _wait(self, is_true: Callable[[], bool]) -> None:
        while not is_true():
            self._news.clear()
            if is_true():  # it came between
                return
            try:
                async with asyncio.timeout(self._stream.seconds_left):
                    await self._news.wait()
            except TimeoutError:
                self._stream.expire()
