"""Where an interrupted landing goes on: found at the tail of each partition, exact under every interruption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.broker.offsets import LogRange
from orchestration.broker.read import Record
from orchestration.errors import OffsetGapError
from orchestration.generator.encode import Events
from orchestration.generator.resume import CHUNK_ROWS, ResumePoint, leave_out_sent, search_tail

ME = "0123456789abcdef"


class Log:
    """Partitions of one topic: each a list of headers; `kept_from` is the first offset that retention left."""

    def __init__(self, partitions: Mapping[int, list[str]], kept_from: Mapping[int, int] | None = None) -> None:
        self.partitions, self.kept_from = partitions, kept_from or {}
        self.read_records = 0

    @property
    def ranges(self) -> dict[int, LogRange]:
        return {
            partition: LogRange(self.kept_from.get(partition, 0), len(headers))
            for partition, headers in self.partitions.items()
        }

    def read(self, ranges: Mapping[int, tuple[int, int]]) -> Iterable[list[Record]]:
        for partition, (start, end) in ranges.items():
            assert start >= self.kept_from.get(partition, 0)
            self.read_records += end - start
            yield [
                Record(partition, offset, 0, None, b"{}", {"source": self.partitions[partition][offset].encode()})
                for offset in range(start, end)
            ]


def mine(*rows: int) -> list[str]:
    return [f"{ME}/{row}" for row in rows]


def find(log: Log, started_at: Mapping[int, int] | None = None) -> dict[int, ResumePoint]:
    return search_tail("t", ME, started_at or dict.fromkeys(log.partitions, 0), log.ranges, log.read)


def table(rows: list[tuple[int, int]]) -> Events:
    return Events(
        pa.table(
            {
                "row": pa.array([row for row, _ in rows], pa.int64()),
                "partition": pa.array([partition for _, partition in rows], pa.int32()),
            }
        )
    )


def test_nothing_on_the_topic_means_from_the_start() -> None:
    assert find(Log({0: [], 1: ["other/5"] * 10})) == {0: ResumePoint(), 1: ResumePoint()}


def test_rows_of_the_highest_chunk_are_known_one_by_one_and_all_below_it_as_a_whole() -> None:
    log = Log({0: mine(0, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 7)})
    assert find(log) == {0: ResumePoint(CHUNK_ROWS, frozenset({CHUNK_ROWS, CHUNK_ROWS + 7}))}


def test_other_files_and_records_before_the_start_do_not_count() -> None:
    log = Log({0: [*mine(99), "other/3", *mine(1), "garbage", *mine(2), f"{ME}#1/9"]})
    assert find(log, {0: 1}) == {0: ResumePoint(0, frozenset({1, 2}))}


def test_only_the_tail_is_read() -> None:
    log = Log({0: mine(*range(CHUNK_ROWS - 500, CHUNK_ROWS + 500))[-1000:], 1: mine(*range(40 * CHUNK_ROWS))})
    find(log)
    assert log.read_records < 5 * CHUNK_ROWS


def test_a_chunk_that_retention_cut_into_is_refused() -> None:
    with pytest.raises(OffsetGapError, match="what was sent cannot be told any more"):
        find(Log({0: mine(*range(100))}, kept_from={0: 50}))


def test_retention_does_no_harm_where_the_last_chunk_is_seen_whole() -> None:
    rows = range(CHUNK_ROWS - 100, CHUNK_ROWS + 10)
    log = Log({0: mine(*range(CHUNK_ROWS - 200, CHUNK_ROWS - 100), *rows)}, kept_from={0: 100})
    assert find(log)[0].before == CHUNK_ROWS


def test_a_topic_that_was_created_anew_is_refused() -> None:
    with pytest.raises(OffsetGapError, match="created anew"):
        find(Log({0: mine(1)}), {0: 5})


@given(
    order=st.permutations(range(60)),
    acknowledged=st.lists(st.integers(0, 60), min_size=3, max_size=3),
    sorts_chunks=st.booleans(),
)
def test_what_is_there_and_what_is_sent_make_each_row_once(
    monkeypatch_chunk: None, order: list[int], acknowledged: list[int], sorts_chunks: bool
) -> None:
    """Any prefix of each partition may have arrived, in file order or in any order within a chunk."""
    size = 10
    rows = range(60)
    sequence = sorted(rows, key=lambda row: (row // size, order[row])) if sorts_chunks else list(rows)
    partition_of = {row: row * 7 % 3 for row in rows}
    arrived = {
        partition: [row for row in sequence if partition_of[row] == partition][: acknowledged[partition]]
        for partition in range(3)
    }
    points = find(Log({partition: mine(*sent) for partition, sent in arrived.items()}))
    rest = [
        row
        for first in range(0, 60, size)
        for row in leave_out_sent(
            table([(row, partition_of[row]) for row in rows[first : first + size]]), points
        ).table["row"].to_pylist()
    ]  # fmt: skip
    assert sorted([*rest, *(row for sent in arrived.values() for row in sent)]) == list(rows)


@pytest.fixture(scope="module")
def monkeypatch_chunk() -> Iterable[None]:
    """Small chunks, so that hypothesis meets their borders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestration.generator.resume.CHUNK_ROWS", 10)
        yield
