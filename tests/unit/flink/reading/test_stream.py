"""Streams of changes: reading ahead, limits, and what becomes of the query's job."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from orchestration.errors import FlinkError, JobFailedError, JobTimeoutError, MillraceError, StatementError
from orchestration.flink.reading.feed import NO_LIMITS, Limits
from orchestration.flink.reading.pages import Timing
from orchestration.flink.reading.result import Result
from orchestration.flink.reading.rows import Change, Column
from orchestration.flink.reading.stream import End, RowStream
from orchestration.waiting import Backoff
from tests.unit.flink.fakes import EOS, NOT_READY, FakeFlink, insert_page, page, server_error

VALIDATION = "org.apache.flink.table.api.ValidationException: Object 'nope' not found\n\tat a.b(C.java:1)"
BOOM = "org.apache.flink.runtime.client.JobExecutionException: Job execution failed.\nCaused by: java.lang.Error: boom"
CLOSE = "DELETE /v1/sessions/s1/operations/op/close"
JOB = "a" * 32
QUICK = Timing(poll=Backoff(first_s=0.005, most_s=0.01))


def submitted(flink: FakeFlink, timing: Timing | None = None) -> Result:
    return Result(flink.gateway(), "s1", "op", "SELECT n FROM t", timing or flink.timing)


def stream(flink: FakeFlink, limits: Limits = NO_LIMITS, timing: Timing | None = None) -> RowStream:
    return RowStream(submitted(flink, timing), rest=flink.rest(), limits=limits)


def numbers(first: int, last: int, token: int | None, job_id: str | None = JOB) -> dict[str, object]:
    return page([[number] for number in range(first, last + 1)], token=token, job_id=job_id)


def endless(flink: FakeFlink, rows: int = 10) -> None:
    """Answer each fetch with `rows` more rows of a query without an end."""
    flink.overrides["GET /v2"] = lambda request: httpx.Response(200, json=numbers(1, rows, token=1))


def idle(flink: FakeFlink) -> None:
    """Answer each fetch with an empty page."""
    flink.overrides["GET /v2"] = lambda request: httpx.Response(200, json=page([], token=1, job_id=JOB))


def values(changes: list[Change]) -> list[object]:
    return [change.values[0] for change in changes]


def eventually(is_true: Callable[[], bool]) -> bool:
    """Wait until a background thread did it, 5 s at most."""
    deadline = time.monotonic() + 5
    while not is_true() and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    return is_true()


# --- RowStream: reading -----------------------------------------------------------------------------------------------


def test_a_stream_hands_out_every_change_and_ends_with_the_result(flink: FakeFlink) -> None:
    flink.pages = [NOT_READY, page([[1]], token=1), page([[2]], token=2, kind="UPDATE_AFTER"), EOS]
    with stream(flink) as rows:
        assert rows.columns == (Column("n", "INT", True),)
        assert rows.end is None
        assert list(rows) == [Change("INSERT", (1,)), Change("UPDATE_AFTER", (2,))]
        assert rows.end == End("eos", 2, pytest.approx(rows.end.elapsed_s), "the result is complete")  # type: ignore[union-attr]
        assert next(rows, None) is None
    assert flink.count(CLOSE) == 1
    assert flink.count("GET /jobs") == 0


def test_empty_pages_and_a_dropped_connection_cost_few_requests_and_no_row(flink: FakeFlink) -> None:
    start, dropped, token = flink.clock.now, [False], [0]

    def answer(request: httpx.Request) -> httpx.Response:
        """A gateway that serves the current token and the one before; the answer with row 1 is lost on its way."""
        asked = int(request.url.path.rpartition("/")[2])
        assert asked in (token[0], token[0] - 1)
        token[0] = asked + 1
        if flink.clock.now < start + 10:
            return httpx.Response(200, json=page([], token=token[0], job_id=JOB))
        first_with_rows.setdefault("token", asked)
        number = asked - first_with_rows["token"]
        if number == 1 and not dropped[0]:
            dropped[0] = True
            raise httpx.ReadError("connection reset", request=request)
        if number == 5:
            return httpx.Response(200, json=EOS)
        return httpx.Response(200, json=page([[number]], token=token[0], job_id=JOB))

    first_with_rows: dict[str, int] = {}
    flink.overrides["GET /v2"] = answer
    assert values(list(stream(flink))) == [0, 1, 2, 3, 4]
    assert dropped == [True]
    assert len(flink.requests) < 40


def test_one_page_is_read_ahead_and_no_more(flink: FakeFlink) -> None:
    flink.pages = [numbers(1, 3, 1), numbers(4, 6, 2), numbers(7, 9, 3), EOS]
    rows = stream(flink)
    assert eventually(lambda: flink.count("GET /v2") == 1)
    for number in range(1, 10):
        assert next(rows).values == (number,)
        expected = (number + 2) // 3 + 1
        assert eventually(lambda count=expected: flink.count("GET /v2") == count)
        threading.Event().wait(0.01)  # time enough to read too far
        assert flink.count("GET /v2") == expected
    assert next(rows, None) is None


def test_full_pages_are_followed_without_a_pause(flink: FakeFlink) -> None:
    flink.pages = [numbers(number, number, number) for number in range(1, 50)] + [EOS]
    assert len(stream(flink).to_list()) == 49
    assert flink.clock.sleeps == []


def test_rows_before_a_failure_are_handed_out_then_the_failure_is_raised_once(flink: FakeFlink) -> None:
    flink.pages = [numbers(1, 2, 1), server_error(BOOM)]
    flink.add_job(JOB, "collect", "FAILED")
    rows, seen = stream(flink), list[Change]()
    with pytest.raises(JobFailedError, match="boom"):
        for change in rows:
            seen.append(change)
    assert values(seen) == [1, 2]
    assert next(rows, None) is None
    assert rows.end is not None
    assert (rows.end.reason, rows.end.rows) == ("error", 2)
    assert rows.end.message == "the query failed while it ran: Error: boom"


def test_a_refused_statement_is_raised_by_whatever_asks_first(flink: FakeFlink) -> None:
    flink.pages = [server_error(VALIDATION)]
    rows = stream(flink)
    with pytest.raises(StatementError, match="'nope'"):
        _ = rows.columns
    assert rows.end is not None
    assert rows.end.reason == "error"


def test_a_value_that_does_not_fit_ends_the_stream(flink: FakeFlink) -> None:
    flink.pages = [page([[1], ["x"]], token=1, job_id=JOB)]
    flink.add_job(JOB, "collect", "CANCELED")
    rows = stream(flink)
    assert next(rows).values == (1,)
    with pytest.raises(FlinkError, match="column 'n'"):
        next(rows)
    assert rows.end is not None
    assert rows.end.reason == "error"
    assert next(rows, None) is None
    assert eventually(lambda: flink.count(CLOSE) == 1)


@pytest.mark.parametrize(
    ("slots", "text"),
    [
        ((0, 4), "no slot is free, 4 are taken"),
        ((3, 4), "3 of 4 slots are free, so it was not for want of slots"),
        (None, "the cluster did not say whether slots are free"),
    ],
    ids=["taken", "free", "unknown"],
)
def test_a_stream_that_never_gets_ready_says_how_long_and_whether_slots_were_free(
    flink: FakeFlink, slots: tuple[int, int] | None, text: str
) -> None:
    flink.pages = [NOT_READY for _ in range(200)]
    if slots is not None:
        overview = {"slots-available": slots[0], "slots-total": slots[1]}
        flink.overrides["GET /overview"] = lambda request: httpx.Response(200, json=overview)
    with pytest.raises(JobTimeoutError, match=r"waited 90\.0 s for the first page") as caught:
        next(stream(flink))
    assert caught.value.code == "ready_timeout"
    assert text in str(caught.value)
    assert flink.count(CLOSE) == 1


# --- RowStream: stopping ----------------------------------------------------------------------------------------------


def test_max_rows_trims_the_page_and_sees_the_job_off(flink: FakeFlink) -> None:
    endless(flink)
    flink.add_job(JOB, "collect", "RUNNING", "RUNNING", "CANCELED")
    with stream(flink, Limits(max_rows=25)) as rows:
        assert len(list(rows)) == 25
        assert flink.count(CLOSE) == 1
        assert flink.count("GET /v2") == 3
        assert rows.wait_settled()
    assert rows.end is not None
    assert (rows.end.reason, rows.end.rows, rows.end.message) == ("max_rows", 25, "stopped after 25 rows")
    assert flink.count("PATCH") == 0


def test_a_limit_that_is_exactly_the_result_is_its_end(flink: FakeFlink) -> None:
    flink.pages = [page([[1], [2]], result_type="EOS")]
    rows = stream(flink, Limits(max_rows=2))
    assert rows.wait_settled(5)
    assert len(list(rows)) == 2
    assert rows.end is not None
    assert rows.end.reason == "eos"


def test_a_job_that_outlives_its_operation_is_canceled(flink: FakeFlink) -> None:
    endless(flink)
    job = flink.add_job(JOB, "collect", "RUNNING")
    with stream(flink, Limits(max_rows=1)) as rows:
        next(rows)
        assert rows.wait_settled(5)
    assert flink.count("PATCH /jobs/" + JOB) == 1
    assert job.states == ["CANCELED"]
    assert 4.0 <= sum(flink.clock.sleeps) < 10.0


def test_a_job_that_does_not_end_is_told(flink: FakeFlink, caplog: pytest.LogCaptureFixture) -> None:
    endless(flink)
    job = flink.add_job(JOB, "collect", "RUNNING")
    job.on_cancel = "CANCELLING"
    with stream(flink, Limits(max_rows=1)) as rows:
        next(rows)
        assert not rows.wait_settled(5)
    assert rows.end is not None
    assert f"stopped after 1 rows; job {JOB} may still run: waited 10.0 s" in rows.end.message
    assert "may still run" in caplog.text


def test_the_job_of_an_insert_is_left_alone(flink: FakeFlink) -> None:
    first = insert_page(JOB) | {"isQueryResult": False}
    flink.pages = [first, EOS]
    flink.add_job(JOB, "insert", "RUNNING")
    with stream(flink, Limits(max_rows=1)) as rows:
        assert rows.job_id == JOB
        next(rows)
        assert rows.wait_settled(5)
    assert flink.count("PATCH") == 0
    assert flink.count("GET /jobs") == 0


@pytest.mark.parametrize("has_rows", [True, False], ids=["rows", "idle"])
def test_the_time_limit_ends_the_stream_without_an_error(flink: FakeFlink, has_rows: bool) -> None:
    (endless if has_rows else idle)(flink)
    flink.add_job(JOB, "collect", "CANCELED")
    overview = {"slots-available": 0, "slots-total": 4}
    flink.overrides["GET /overview"] = lambda request: httpx.Response(200, json=overview)
    with stream(flink, Limits(fetch_timeout_s=3)) as rows:
        for _ in rows:
            flink.clock.now += 0.1
    assert rows.end is not None
    assert rows.end.reason == "timeout"
    assert rows.end.elapsed_s == pytest.approx(3, abs=0.2)
    assert rows.end.message.startswith("stopped after 3 s with ")
    assert ("no slot is free" in rows.end.message) is not has_rows
    assert flink.count(CLOSE) == 1


def test_the_time_limit_holds_when_nobody_reads(flink: FakeFlink) -> None:
    endless(flink)
    flink.add_job(JOB, "collect", "CANCELED")
    rows = stream(flink, Limits(fetch_timeout_s=0.1), QUICK)
    next(rows)
    assert rows.wait_settled(5)
    assert flink.count(CLOSE) == 1
    assert next(rows, None) is None
    assert rows.end is not None
    assert (rows.end.reason, rows.end.rows) == ("timeout", 1)


def test_the_time_limit_holds_when_the_gateway_hangs(flink: FakeFlink) -> None:
    hung = threading.Event()
    flink.pages = [numbers(1, 1, 1)]
    rows = stream(flink, Limits(fetch_timeout_s=0.1), QUICK)
    flink.overrides["GET /v2"] = lambda request: httpx.Response(200, json=EOS) if hung.wait(5) else server_error("x")
    started = time.monotonic()
    assert len(list(iter(rows.read, None))) == 1
    assert time.monotonic() - started < 4
    hung.set()
    assert rows.end is not None
    assert rows.end.reason == "timeout"
    assert eventually(lambda: flink.count(CLOSE) == 1)


@pytest.mark.parametrize("source", [endless, idle], ids=["rows", "idle"])
def test_cancel_from_another_thread_ends_the_iteration(flink: FakeFlink, source: Callable[[FakeFlink], None]) -> None:
    source(flink)
    flink.add_job(JOB, "collect", "CANCELED")
    rows = stream(flink, timing=QUICK)
    timer = threading.Timer(0.1, rows.cancel)
    timer.start()
    for _ in rows:
        pass
    assert rows.end is not None
    assert rows.end.reason == "cancelled"
    assert flink.count(CLOSE) == 1
    assert rows.wait_settled(5)


def test_cancel_before_the_first_page(flink: FakeFlink) -> None:
    flink.overrides["GET /v2"] = lambda request: httpx.Response(200, json=NOT_READY)
    rows = stream(flink, timing=QUICK)
    rows.cancel()
    with pytest.raises(FlinkError) as caught:
        _ = rows.columns
    assert caught.value.code == "cancelled"
    assert list(rows) == []
    assert eventually(lambda: flink.count(CLOSE) == 1)


@pytest.mark.parametrize("how", ["close", "leave", "forget"])
def test_a_reader_that_goes_away_leaves_no_job(flink: FakeFlink, how: str) -> None:
    endless(flink)
    flink.add_job(JOB, "collect", "CANCELED")
    if how == "leave":
        with stream(flink, timing=QUICK) as rows:
            next(rows)
    else:
        rows = stream(flink, timing=QUICK)
        next(rows)
        if how == "close":
            rows.close()
            rows.close()
    feed = rows._feed
    del rows
    gc.collect()
    assert feed.settled.wait(5)
    assert feed.reason == "cancelled"
    assert flink.count(CLOSE) == 1
    assert flink.count(f"GET /jobs/{JOB}") == 1


def test_a_forked_child_leaves_the_stream_to_its_parent(flink: FakeFlink, monkeypatch: pytest.MonkeyPatch) -> None:
    endless(flink)
    flink.add_job(JOB, "collect", "CANCELED")
    rows = stream(flink, timing=QUICK)
    next(rows)
    with monkeypatch.context() as child:
        child.setattr("os.getpid", lambda: -1)
        rows.close()
    assert rows.end is None
    assert flink.count(CLOSE) == 0
    rows.close()
    assert flink.count(CLOSE) == 1


def test_the_owner_of_the_session_is_told_once_when_it_is_free(flink: FakeFlink) -> None:
    told: list[Exception | None] = []
    flink.pages = [numbers(1, 1, 1), EOS]
    with RowStream(submitted(flink), on_closed=told.append) as rows:
        list(rows)
    assert told == [None]
    flink.pages = [server_error(VALIDATION)]
    with pytest.raises(StatementError), RowStream(submitted(flink), on_closed=told.append) as rows:
        next(rows)
    assert [type(error) for error in told] == [type(None), StatementError]


def test_an_owner_that_fails_does_not_hang_the_reader(flink: FakeFlink, caplog: pytest.LogCaptureFixture) -> None:
    def fail(error: Exception | None) -> None:
        raise RuntimeError("pool is closed")

    flink.pages = [numbers(1, 1, 1), EOS]
    assert len(list(RowStream(submitted(flink), on_closed=fail))) == 1
    assert "pool is closed" in caplog.text


# --- to_list ----------------------------------------------------------------------------------------------------------


def test_a_list_longer_than_its_cap_is_an_error(flink: FakeFlink) -> None:
    endless(flink)
    flink.add_job(JOB, "collect", "CANCELED")
    with pytest.raises(FlinkError, match="more than 25 rows") as caught:
        stream(flink).to_list(cap=25)
    assert caught.value.code == "result_too_large"
    assert flink.count(CLOSE) == 1


def test_a_list_of_the_rows_asked_for_is_no_error(flink: FakeFlink) -> None:
    endless(flink)
    flink.add_job(JOB, "collect", "CANCELED")
    assert len(stream(flink, Limits(max_rows=25)).to_list(cap=25)) == 25


def test_a_list_is_never_cut_silently(flink: FakeFlink) -> None:
    idle(flink)
    flink.add_job(JOB, "collect", "CANCELED")
    with pytest.raises(JobTimeoutError) as late:
        stream(flink, Limits(fetch_timeout_s=3)).to_list()
    rows = stream(flink)
    rows.cancel()
    with pytest.raises(MillraceError) as stopped:
        rows.to_list()
    assert (late.value.code, stopped.value.code) == ("fetch_timeout", "cancelled")
