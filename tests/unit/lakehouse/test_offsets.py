"""What a bronze run reads, what did not arrive, and what it must not pretend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.broker.offsets import LogRange as R
from orchestration.errors import CatalogError, OffsetGapError
from orchestration.lakehouse.offsets import advance, find_missing, merge_runs, plan_ranges, subtract

SCHEMA = pa.schema([("_kafka_partition", pa.int32()), ("_kafka_offset", pa.int64())])


def landed(*records: tuple[int, int]) -> pa.RecordBatchReader:
    columns = [[record[0] for record in records], [record[1] for record in records]]
    batch = pa.record_batch([pa.array(c, type=f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
    return pa.RecordBatchReader.from_batches(SCHEMA, [batch])


@pytest.mark.parametrize(
    ("next_offsets", "available", "ranges"),
    [
        pytest.param(
            {}, {0: R(0, 5), 1: R(0, 0)}, {0: R(0, 5), 1: R(0, 0)}, id="first load starts where the log starts"
        ),
        pytest.param({}, {0: R(3, 5)}, {0: R(3, 5)}, id="first load after retention"),
        pytest.param({0: 5}, {0: R(0, 9)}, {0: R(5, 9)}, id="continues"),
        pytest.param({0: 5}, {0: R(5, 9)}, {0: R(5, 9)}, id="retention up to the next offset loses nothing"),
        pytest.param({0: 9}, {0: R(0, 9)}, {0: R(9, 9)}, id="nothing new"),
        pytest.param({0: 9}, {0: R(9, 9)}, {0: R(9, 9)}, id="nothing new and the log is empty"),
        pytest.param({0: 4}, {0: R(0, 4), 1: R(0, 2)}, {0: R(4, 4), 1: R(0, 2)}, id="a partition was added"),
        pytest.param({}, {}, {}, id="no partition"),
    ],
)
def test_every_partition_is_read_from_its_next_offset_to_the_end(
    next_offsets: Mapping[int, int], available: Mapping[int, R], ranges: Mapping[int, R]
) -> None:
    assert plan_ranges("rides.raw", next_offsets, available) == ranges


@pytest.mark.parametrize(
    ("next_offsets", "available", "complaint"),
    [
        pytest.param(
            {0: 5},
            {0: R(7, 9)},
            "partition 0 of topic rides.raw: retention removed offsets 5 to 6 before they were loaded",
            id="retention was faster",
        ),
        pytest.param(
            {0: 5},
            {0: R(0, 5), 1: R(1, 2)},
            "partition 1 of topic rides.raw: retention removed offsets 0 to 0",
            id="retention in a partition that was never loaded",
        ),
        pytest.param(
            {0: 5}, {0: R(0, 3)}, "ends at offset 3, but the table already holds it up to 5", id="topic created anew"
        ),
        pytest.param({0: 5, 1: 2}, {0: R(0, 5)}, "topic rides.raw has no partition 1 any more", id="fewer partitions"),
    ],
)
def test_a_gap_is_an_error_that_names_the_offsets(
    next_offsets: Mapping[int, int], available: Mapping[int, R], complaint: str
) -> None:
    with pytest.raises(OffsetGapError) as error:
        plan_ranges("rides.raw", next_offsets, available)
    assert complaint in error.value.message


@pytest.mark.parametrize(
    ("next_offsets", "records", "moved"),
    [
        pytest.param({}, [(0, 4), (0, 2), (1, 0)], {0: 5, 1: 1}, id="from nothing"),
        pytest.param({0: 3, 1: 7}, [(0, 4)], {0: 5, 1: 7}, id="one partition moves"),
        pytest.param({0: 9}, [(0, 4)], {0: 9}, id="never backwards"),
        pytest.param({0: 9}, [], {0: 9}, id="nothing landed"),
    ],
)
def test_the_next_offset_is_behind_the_highest_one_landed(
    next_offsets: dict[int, int], records: Sequence[tuple[int, int]], moved: dict[int, int]
) -> None:
    before = dict(next_offsets)
    assert advance(next_offsets, landed(*records)) == moved
    assert next_offsets == before


@pytest.mark.parametrize(
    ("ranges", "records", "missing"),
    [
        pytest.param({0: R(0, 3)}, [(0, 0), (0, 2), (0, 1)], {}, id="all there"),
        pytest.param({0: R(0, 5)}, [(0, 0), (0, 3)], {0: [1, 2, 4]}, id="holes"),
        pytest.param({0: R(2, 4)}, [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)], {}, id="more than asked for"),
        pytest.param({0: R(2, 4)}, [(0, 0), (0, 1)], {0: [2, 3]}, id="only earlier ones"),
        pytest.param({0: R(0, 1), 1: R(0, 2)}, [(0, 0), (1, 1)], {1: [0]}, id="by partition"),
        pytest.param({0: R(5, 5)}, [], {}, id="empty range"),
        pytest.param({0: R(0, 2)}, [], {0: [0, 1]}, id="nothing landed"),
    ],
)
def test_offsets_that_did_not_arrive_are_found(
    ranges: Mapping[int, R], records: Sequence[tuple[int, int]], missing: dict[int, list[int]]
) -> None:
    assert find_missing("bronze.raw_rides", ranges, landed(*records)) == missing


def test_an_offset_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(CatalogError, match=r"bronze\.raw_rides holds offset 7 of partition 1 more than once"):
        find_missing("bronze.raw_rides", {1: R(7, 8)}, landed((1, 7), (1, 7)))


@pytest.mark.parametrize(
    ("ranges", "known", "rest"),
    [
        pytest.param({0: R(0, 10)}, [], [(0, R(0, 10))], id="nothing known"),
        pytest.param({0: R(0, 10)}, [(0, R(0, 10))], [], id="all known"),
        pytest.param({0: R(0, 10)}, [(0, R(3, 5))], [(0, R(0, 3)), (0, R(5, 10))], id="middle"),
        pytest.param({0: R(4, 10)}, [(0, R(0, 6)), (0, R(8, 20))], [(0, R(6, 8))], id="both ends"),
        pytest.param({0: R(0, 10)}, [(0, R(2, 6)), (0, R(4, 8))], [(0, R(0, 2)), (0, R(8, 10))], id="overlapping"),
        pytest.param({0: R(0, 10)}, [(0, R(5, 7)), (0, R(1, 9))], [(0, R(0, 1)), (0, R(9, 10))], id="one in another"),
        pytest.param({0: R(0, 2), 1: R(0, 2)}, [(1, R(0, 9))], [(0, R(0, 2))], id="another partition"),
        pytest.param({0: R(5, 5)}, [], [], id="empty range"),
        pytest.param({0: R(5, 9)}, [(0, R(0, 5)), (0, R(9, 12))], [(0, R(5, 9))], id="touching"),
    ],
)
def test_what_no_known_range_covers_remains(
    ranges: Mapping[int, R], known: Sequence[tuple[int, R]], rest: Sequence[tuple[int, R]]
) -> None:
    assert subtract(ranges, known) == rest


spans = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda pair: R(min(pair), max(pair)))


@given(spans, st.lists(spans, max_size=5))
def test_subtracting_leaves_exactly_the_uncovered_offsets(whole: R, known: list[R]) -> None:
    rest = subtract({0: whole}, [(0, span) for span in known])
    left = [offset for _, span in rest for offset in range(span.start, span.end)]
    covered = {offset for span in known for offset in range(span.start, span.end)}
    assert left == [offset for offset in range(whole.start, whole.end) if offset not in covered]


@pytest.mark.parametrize(
    ("offsets", "within", "spans"),
    [
        pytest.param([], 10, [], id="none"),
        pytest.param([5], 0, [R(5, 6)], id="one"),
        pytest.param([7, 5, 6], 0, [R(5, 8)], id="neighbours, in any order"),
        pytest.param([5, 7], 0, [R(5, 6), R(7, 8)], id="apart"),
        pytest.param([5, 8, 20], 2, [R(5, 9), R(20, 21)], id="near enough to read through"),
    ],
)
def test_offsets_are_read_in_as_few_ranges_as_pays(offsets: list[int], within: int, spans: list[R]) -> None:
    assert merge_runs(offsets, within) == spans
