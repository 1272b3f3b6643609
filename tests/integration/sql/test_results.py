"""Results of real queries: values, changelogs, pages, and jobs that end with their readers."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

import pytest

from orchestration.errors import FlinkError, JobFailedError, StatementError
from orchestration.exact_json import json_text
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.models import ResultPage
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.engine import SqlEngine
from orchestration.flink.reading.async_results import AsyncRowStream
from orchestration.flink.reading.encodings import Encoding, encode
from orchestration.flink.reading.feed import NO_LIMITS, Limits
from orchestration.flink.reading.rows import Change, Column
from orchestration.flink.reading.stream import QUERY_DEFAULTS, RowStream
from orchestration.flink.sessions.session import Session, open_session
from orchestration.settings import Settings

pytestmark = pytest.mark.usefixtures("stack")

CANCELED_WITHIN_S = 10.0
NAMES = "SELECT name, COUNT(*) AS n FROM (VALUES ('a'), ('b'), ('a')) AS t (name) GROUP BY name"


class CountingGateway(GatewayClient):
    """Notes the rows of each page that it fetched."""

    fetched: list[int]

    def fetch_next(self, next_uri: str) -> ResultPage:
        page = super().fetch_next(next_uri)
        self.fetched.append(len(page.results.data))
        return page


@dataclass
class Watched:
    """One session, and what its queries asked and started."""

    session: Session
    gateway: CountingGateway
    rest: FlinkRest
    job_name: str
    operations: list[str] = field(default_factory=list)

    def query(self, sql: str, limits: Limits = NO_LIMITS) -> RowStream:
        result = self.session.submit(sql, {**QUERY_DEFAULTS, "pipeline.name": self.job_name})
        self.operations.append(result.operation)
        return RowStream(result, rest=self.rest, limits=limits)

    def states(self) -> list[str]:
        """States of the jobs that the queries started."""
        return [job.state for job in self.rest.jobs_overview() if job.name == self.job_name]

    def states_after_cancel(self) -> list[str]:
        """The states as soon as no job lives any more, or when it has had its time to end."""
        deadline = time.monotonic() + CANCELED_WITHIN_S
        while (states := self.states()) != ["CANCELED"] and time.monotonic() < deadline:
            threading.Event().wait(0.2)
        return states


def open_watched(settings: Settings, mode: Literal["batch", "streaming"], *init: str) -> Iterator[Watched]:
    with CountingGateway(settings.flink_sql_gateway_url) as gateway, FlinkRest(settings.flink_rest_url) as rest:
        gateway.fetched = []
        zone = {"table.local-time-zone": "UTC", "parallelism.default": "1"}
        with open_session(gateway, mode=mode, properties=zone, init=init, name="test-results") as session:
            yield Watched(session, gateway, rest, f"test.results.{uuid.uuid4().hex[:8]}")


@pytest.fixture
def batch(settings: Settings) -> Iterator[Watched]:
    yield from open_watched(settings, "batch", sequence(20_000))


@pytest.fixture
def streaming(settings: Settings) -> Iterator[Watched]:
    yield from open_watched(settings, "streaming", ticks(50))


def sequence(rows: int) -> str:
    return (
        "CREATE TEMPORARY TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10000000', "
        f"'number-of-rows' = '{rows}', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{rows}')"
    )


def ticks(per_second: int) -> str:
    return (
        "CREATE TEMPORARY TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', "
        f"'rows-per-second' = '{per_second}', 'fields.n.kind' = 'random')"
    )


def records(stream: RowStream, encoding: Encoding) -> list[str]:
    return [json_text(record) for record in encode(stream, encoding)]


# --- values -----------------------------------------------------------------------------------------------------------


def test_one_row_with_its_columns_and_its_end(streaming: Watched) -> None:
    stream = streaming.query("SELECT 1 AS a, 'x' AS b")
    assert stream.columns == (Column("a", "INT", False), Column("b", "CHAR(1)", False))
    assert records(stream, "array") == ['[1, "x"]']
    assert stream.end is not None
    assert (stream.end.reason, stream.end.rows) == ("eos", 1)
    assert streaming.states() == ["FINISHED"]


def test_nested_values_come_typed(batch: Watched) -> None:
    sql = """
        SELECT
            CAST(ROW(ROW(TIMESTAMP '2024-01-02 03:04:05', x'01'), DATE '0001-01-01')
                 AS ROW<a ROW<b TIMESTAMP(3), c BYTES>, d DATE>) AS r,
            ARRAY[CAST(1.50 AS DECIMAL(10, 3)), NULL] AS arr,
            MAP['k', ARRAY[ROW(1, 'x')]] AS m,
            CAST('12345678901234567890.123456789012345678' AS DECIMAL(38, 18)) AS exact,
            CAST(150.5 AS DECIMAL(10, 2)) AS price,
            CAST(TIMESTAMP '2024-01-02 03:04:05.678' AS TIMESTAMP_LTZ(3)) AS ltz,
            CAST('2024-01-02 03:04:05.123456789' AS TIMESTAMP(9)) AS nanos,
            CAST(x'01' AS BINARY(4)) AS bin,
            INTERVAL '-1 02:03:04.567' DAY TO SECOND(3) AS span,
            INTERVAL '-1-2' YEAR TO MONTH AS months
    """
    stream = batch.query(sql)
    types = {column.name: column.type for column in stream.columns}
    (change,) = stream.to_list()
    assert dict(zip(types, change.values, strict=True)) == {
        "r": {"a": {"b": datetime(2024, 1, 2, 3, 4, 5), "c": b"\x01"}, "d": date(1, 1, 1)},
        "arr": [Decimal("1.500"), None],
        "m": {"k": [{"EXPR$0": 1, "EXPR$1": "x"}]},
        "exact": Decimal("12345678901234567890.123456789012345678"),
        "price": Decimal("150.50"),
        "ltz": datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        "nanos": "2024-01-02T03:04:05.123456789",
        "bin": b"\x01\x00\x00\x00",
        "span": -timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=567),
        "months": -14,
    }
    assert types["r"] == "ROW<`a` ROW<`b` TIMESTAMP(3), `c` BYTES>, `d` DATE>"
    assert types["m"] == "MAP<CHAR(1), ARRAY<ROW<`EXPR$0` INT, `EXPR$1` CHAR(1)>>>"
    assert str(change.values[4]) == "150.50"


def test_a_multiset_and_numbers_that_json_does_not_have(batch: Watched) -> None:
    multiset = batch.query("SELECT COLLECT(v) AS ms FROM (VALUES ('a'), ('b'), ('a')) AS t (v)")
    assert multiset.columns[0].type == "MULTISET<CHAR(1)>"
    assert multiset.to_list() == [Change("INSERT", ({"a": 2, "b": 1},))]
    sql = "SELECT SQRT(x), 1 / (x + 1), MAP['m', -1 / (x + 1)] FROM (VALUES (-1.0E0), (4.0E0)) AS t (x)"
    assert records(batch.query(sql), "array") == [
        '["NaN", "Infinity", {"m": "-Infinity"}]',
        '[2.0, 0.2, {"m": -0.2}]',
    ]


def test_a_type_that_the_gateway_cannot_send_is_explained(batch: Watched) -> None:
    with pytest.raises(StatementError, match="CAST the column to STRING"):
        batch.query("SELECT MAP[1, 'a'] AS m").to_list()
    assert records(batch.query("SELECT CAST(MAP[1, 'a'] AS STRING) AS m"), "array") == ['["{1=a}"]']


# --- changelogs -------------------------------------------------------------------------------------------------------


def test_counting_in_streaming_shows_each_change(streaming: Watched) -> None:
    assert records(streaming.query(NAMES), "changelog") == [
        '{"op": "+I", "name": "a", "n": 1}',
        '{"op": "+I", "name": "b", "n": 1}',
        '{"op": "-U", "name": "a", "n": 1}',
        '{"op": "+U", "name": "a", "n": 2}',
    ]


def test_counting_in_streaming_folds_to_the_last_state(streaming: Watched) -> None:
    assert records(streaming.query(NAMES), "fold") == ['["a", 2]', '["b", 1]']


def test_counting_in_batch_only_adds(batch: Watched) -> None:
    assert sorted(records(batch.query(NAMES), "changelog")) == [
        '{"op": "+I", "name": "a", "n": 2}',
        '{"op": "+I", "name": "b", "n": 1}',
    ]


def test_rows_that_are_taken_back_are_warned_of(streaming: Watched) -> None:
    warnings: list[str] = []
    assert list(encode(streaming.query(NAMES), "array", warnings.append)) == [["a", 1], ["b", 1], ["a", 2]]
    assert len(warnings) == 1


# --- pages ------------------------------------------------------------------------------------------------------------


def test_twenty_thousand_rows_in_pages_of_which_two_are_held(batch: Watched) -> None:
    seen, most_held = set[object](), 0
    for taken, change in enumerate(batch.query("SELECT n FROM numbers")):
        most_held = max(most_held, sum(batch.gateway.fetched) - taken)
        seen.add(change.values[0])
    assert seen == set(range(1, 20_001))
    assert sum(batch.gateway.fetched) == 20_000
    assert max(batch.gateway.fetched) <= 5_000
    assert most_held <= 10_000


def test_a_cast_that_fails_at_run_time_is_the_querys_error(batch: Watched) -> None:
    stream = batch.query("SELECT CAST(v AS INT) FROM (VALUES ('1'), ('abc')) AS t (v)")
    assert [column.type for column in stream.columns] == ["INT"]
    with pytest.raises(JobFailedError, match="For input string: 'abc'") as caught:
        stream.to_list()
    assert caught.value.code == "statement_failed"
    assert stream.end is not None
    assert stream.end.reason == "error"
    assert stream.wait_settled()
    assert batch.states() == ["FAILED"]


# --- jobs end with their readers --------------------------------------------------------------------------------------


def test_max_rows_of_an_endless_query(streaming: Watched) -> None:
    with streaming.query("SELECT n FROM ticks", Limits(max_rows=25)) as stream:
        assert len(list(stream)) == 25
    assert stream.end is not None
    assert stream.end.reason == "max_rows"
    assert stream.wait_settled(CANCELED_WITHIN_S)
    assert streaming.states() == ["CANCELED"]


def test_a_reader_that_cancels(streaming: Watched) -> None:
    with streaming.query("SELECT n FROM ticks") as stream:
        threading.Timer(1.5, stream.cancel).start()
        rows = sum(1 for _ in stream)
    assert rows > 25
    assert stream.end is not None
    assert (stream.end.reason, stream.end.rows) == ("cancelled", rows)
    assert streaming.states_after_cancel() == ["CANCELED"]
    assert_no_operation(streaming)


def test_an_asynchronous_reader_that_cancels(streaming: Watched) -> None:
    async def main() -> int:
        async with AsyncRowStream(streaming.query("SELECT n FROM ticks")) as stream:
            asyncio.get_running_loop().call_later(1.5, stream.cancel)
            rows = 0
            async for _ in stream:
                rows += 1
            assert stream.end is not None
            assert (stream.end.reason, stream.end.rows) == ("cancelled", rows)
            return rows

    assert asyncio.run(main()) > 25
    assert streaming.states_after_cancel() == ["CANCELED"]
    assert_no_operation(streaming)


def test_an_asynchronous_reader_that_is_dropped(streaming: Watched) -> None:
    async def main() -> None:
        async for _ in AsyncRowStream(streaming.query("SELECT n FROM ticks")):
            return

    asyncio.run(main())
    assert streaming.states_after_cancel() == ["CANCELED"]


def test_a_reader_that_stops_iterating_leaves_no_job_after_its_time(streaming: Watched) -> None:
    stream = streaming.query("SELECT n FROM ticks", Limits(fetch_timeout_s=1.0))
    next(stream)
    assert streaming.states_after_cancel() == ["CANCELED"]
    assert next(stream, None) is None
    assert stream.end is not None
    assert (stream.end.reason, stream.end.rows) == ("timeout", 1)


def test_a_reader_that_forgets_its_stream_leaves_no_job(streaming: Watched) -> None:
    next(streaming.query("SELECT n FROM ticks"))
    assert streaming.states_after_cancel() == ["CANCELED"]


def assert_no_operation(watched: Watched) -> None:
    for operation in watched.operations:
        with pytest.raises(FlinkError) as caught:
            watched.gateway.operation_status(watched.session.handle, operation)
        assert caught.value.code == "operation_lost"


def test_a_limit_over_an_endless_source_with_a_watermark_ends_the_query(engine: SqlEngine) -> None:
    with engine.execute("SELECT order_id FROM demo_orders LIMIT 3") as stream:
        assert len(list(stream)) == 3
    assert stream.end is not None
    assert (stream.end.reason, stream.end.rows) == ("eos", 3)
    assert stream.wait_settled(CANCELED_WITHIN_S)
    assert engine.rest.job(stream.job_id or "").state == "CANCELED"
