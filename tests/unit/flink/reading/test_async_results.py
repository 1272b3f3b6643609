"""The asynchronous stream ends, limits and cancels as the other one does."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine
from typing import TypeVar

import httpx
import pytest

from orchestration.errors import FlinkError, JobFailedError, JobTimeoutError
from orchestration.flink.reading.async_results import AsyncRowStream
from orchestration.flink.reading.feed import NO_LIMITS, Limits
from orchestration.flink.reading.pages import Timing
from orchestration.flink.reading.result import Result
from orchestration.flink.reading.rows import Change, Column
from orchestration.flink.reading.stream import RowStream
from orchestration.waiting import Backoff
from tests.unit.flink.fakes import EOS, NOT_READY, FakeFlink, page, server_error

BOOM = "org.apache.flink.runtime.client.JobExecutionException: Job execution failed.\nCaused by: java.lang.Error: boom"
CLOSE = "DELETE /v1/sessions/s1/operations/op/close"
JOB = "a" * 32
QUICK = Timing(poll=Backoff(first_s=0.005, most_s=0.01))
T = TypeVar("T")


def run(main: Coroutine[object, object, T]) -> T:
    """Run to the end, 10 s at most."""
    return asyncio.run(asyncio.wait_for(main, 10))


def opened(flink: FakeFlink, limits: Limits = NO_LIMITS) -> AsyncRowStream:
    flink.add_job(JOB, "collect", "CANCELED")
    result = Result(flink.gateway(), "s1", "op", "SELECT n FROM t", QUICK)
    return AsyncRowStream(RowStream(result, rest=flink.rest(), limits=limits))


def endless(flink: FakeFlink, rows: int) -> None:
    """Answer each fetch with `rows` more rows, or with an empty page."""
    answer = page([[number] for number in range(rows)], token=1, job_id=JOB)
    flink.overrides["GET /v2"] = lambda request: httpx.Response(200, json=answer)


def test_rows_of_all_pages_come_in_order_and_the_end_closes_the_operation(flink: FakeFlink) -> None:
    flink.pages = [NOT_READY, page([[1]], token=1), page([], token=2), page([[2]], token=3, kind="DELETE"), EOS]

    async def main() -> None:
        async with opened(flink) as rows:
            assert await rows.columns() == (Column("n", "INT", True),)
            assert await rows.job_id() is None
            assert rows.end is None
            assert [change async for change in rows] == [Change("INSERT", (1,)), Change("DELETE", (2,))]
            assert rows.end is not None
            assert (rows.end.reason, rows.end.rows) == ("eos", 2)
        assert flink.count(CLOSE) == 1

    run(main())


def test_max_rows_ends_an_endless_query(flink: FakeFlink) -> None:
    endless(flink, 1000)

    async def main() -> None:
        rows = opened(flink, Limits(max_rows=2500))
        assert len([change async for change in rows]) == 2500
        assert rows.end is not None
        assert rows.end.reason == "max_rows"
        assert flink.count(CLOSE) == 1

    run(main())


@pytest.mark.parametrize("rows_a_page", [0, 10], ids=["idle", "rows"])
def test_the_time_limit_ends_the_iteration(flink: FakeFlink, rows_a_page: int) -> None:
    endless(flink, rows_a_page)

    async def main() -> None:
        rows = opened(flink, Limits(fetch_timeout_s=0.2))
        async for _ in rows:
            pass
        assert rows.end is not None
        assert rows.end.reason == "timeout"

    run(main())


def test_the_time_limit_holds_when_the_gateway_hangs(flink: FakeFlink) -> None:
    hung = threading.Event()
    flink.pages = [page([[1]], token=1)]

    async def main() -> None:
        rows = opened(flink, Limits(fetch_timeout_s=0.1))
        await rows.columns()
        flink.overrides["GET /v2"] = lambda request: httpx.Response(200, json=EOS) if hung.wait(5) else server_error("")
        asyncio.get_running_loop().call_later(1.0, hung.set)
        assert len([change async for change in rows]) == 1
        assert rows.end is not None
        assert (rows.end.reason, rows.end.elapsed_s < 0.9) == ("timeout", True)

    run(main())


@pytest.mark.parametrize("rows_a_page", [0, 10], ids=["idle", "rows"])
def test_another_task_cancels(flink: FakeFlink, rows_a_page: int) -> None:
    endless(flink, rows_a_page)

    async def main() -> None:
        rows = opened(flink)
        asyncio.get_running_loop().call_later(0.1, rows.cancel)
        async for _ in rows:
            pass
        assert rows.end is not None
        assert rows.end.reason == "cancelled"
        assert flink.count(CLOSE) == 1

    run(main())


def test_a_task_that_is_cancelled_while_it_waits_loses_no_row(flink: FakeFlink) -> None:
    arrived = threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=page([[7]] if arrived.is_set() else [], token=1, job_id=JOB))

    flink.overrides["GET /v2"] = answer

    async def main() -> None:
        async with opened(flink) as rows:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(rows), 0.05)
            arrived.set()
            assert (await anext(rows)).values == (7,)

    run(main())


@pytest.mark.parametrize("how", ["aclose", "dropped"])
def test_a_stream_that_is_left_closes_its_operation(flink: FakeFlink, how: str) -> None:
    endless(flink, 10)

    async def main() -> None:
        rows = opened(flink)
        async for _ in rows:
            break
        if how == "aclose":
            await rows.aclose()
        del rows
        gc.collect()
        while not flink.count(CLOSE):
            await asyncio.sleep(0.005)

    run(main())


def test_other_tasks_get_their_turn_between_rows_that_are_there(flink: FakeFlink) -> None:
    endless(flink, 5000)
    turns: list[int] = []

    async def main() -> None:
        seen = 0

        async def other() -> None:
            while True:
                turns.append(seen)
                await asyncio.sleep(0)

        async with opened(flink, Limits(max_rows=5000)) as rows:
            await rows.columns()
            task = asyncio.create_task(other())
            async for _ in rows:
                seen += 1
            task.cancel()

    run(main())
    assert len({turn for turn in turns if 0 < turn < 5000}) >= 10


def test_a_failure_is_raised_in_the_task(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1), server_error(BOOM)]

    async def main() -> None:
        with pytest.raises(JobFailedError, match="boom"):
            async for _ in opened(flink):
                pass

    run(main())


def test_a_list_is_as_strict_as_the_other_one(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1), EOS]

    async def main() -> None:
        assert await opened(flink).to_list() == [Change("INSERT", (1,))]
        endless(flink, 0)
        with pytest.raises(JobTimeoutError):
            await opened(flink, Limits(fetch_timeout_s=0.05)).to_list()
        endless(flink, 10)
        with pytest.raises(FlinkError, match="more than 25 rows"):
            await opened(flink).to_list(cap=25)

    run(main())


def test_a_closed_loop_does_not_disturb_the_end_of_the_query(flink: FakeFlink) -> None:
    endless(flink, 10)

    async def main() -> AsyncRowStream:
        rows = opened(flink)
        await anext(rows)
        return rows

    rows = run(main())
    rows.cancel()
    assert rows._stream.wait_settled(5)
    assert flink.count(CLOSE) == 1
