"""Bounded reads end exactly, also where records are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from orchestration.broker import read as module
from orchestration.broker.read import RECORD_SCHEMA, Record, read_records, to_batch
from orchestration.errors import OffsetGapError, UnreachableError
from orchestration.settings import Settings
from tests.unit.broker.fakes import FakeConsumer, FakeMessage

SETTINGS = Settings(broker_url="b:1", broker_timeout_s=1)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    """Partition 0 holds offsets 5 to 9; partition 1 lacks offset 2 and ends with a marker; partition 2 is empty."""
    consumer = FakeConsumer({0: [5, 6, 7, 8, 9], 1: [0, 1, 3], 2: []}, {0: 5, 1: 0, 2: 0}, {0: 10, 1: 5, 2: 0})

    @contextmanager
    def give(_: Settings) -> Iterator[FakeConsumer]:
        yield consumer

    monkeypatch.setattr(module, "open_consumer", give)
    return consumer


def read(ranges: dict[int, tuple[int, int]]) -> list[tuple[int, int]]:
    found = [record for records in read_records(SETTINGS, "t", ranges, batch_records=2) for record in records]
    return sorted((record.partition, record.offset) for record in found)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        pytest.param({0: (6, 8)}, [(0, 6), (0, 7)], id="within the log"),
        pytest.param({0: (5, 10), 1: (0, 5), 2: (0, 0)}, [*((0, n) for n in range(5, 10)), (1, 0), (1, 1), (1, 3)],
                     id="all, over a gap and a marker at the end"),
        pytest.param({1: (2, 3)}, [], id="only a missing record"),
        pytest.param({}, [], id="nothing"),
    ],
)  # fmt: skip
def test_a_range_is_read_to_its_end_and_not_beyond(
    topic: FakeConsumer, ranges: dict[int, tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    assert read(ranges) == expected
    assert topic.positions == {}


@pytest.mark.parametrize("span", [(4, 8), (6, 11)], ids=["removed by retention", "beyond the end"])
def test_offsets_that_are_not_in_the_log_are_refused(topic: FakeConsumer, span: tuple[int, int]) -> None:
    with pytest.raises(OffsetGapError, match="partition 0 of topic t holds offsets 5 to 10"):
        read({0: span})


def test_a_broker_that_falls_silent_is_an_error(topic: FakeConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    def silence(count: int, timeout: float) -> list[FakeMessage]:
        return []

    monkeypatch.setattr(topic, "consume", silence)
    monkeypatch.setattr(module.time, "monotonic", iter(range(0, 100, 2)).__next__)
    with pytest.raises(UnreachableError, match=r"no record of t for 1 s; partitions 0 up to offset 10"):
        read({0: (5, 10)})


def test_records_become_an_arrow_batch_with_null_for_a_tombstone() -> None:
    batch = to_batch([Record(1, 7, 5, None, None, {"a": b"x", "b": None}), Record(0, 8, 6, b"k", b"v", {})])
    assert batch.schema == RECORD_SCHEMA
    assert [tuple(row.values()) for row in batch.to_pylist()] == [
        (1, 7, 5, None, None, [("a", b"x"), ("b", None)]),
        (0, 8, 6, b"k", b"v", []),
    ]
    assert to_batch([]).num_rows == 0
