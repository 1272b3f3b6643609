"""Where a landing that was interrupted goes on: read from the tail of each partition.

What makes it exact: the partition of a row is a pure function of the row; the idempotent producer keeps the order of a
partition and lets no later batch overtake a lost one; rows are sent chunk by chunk (CHUNK_ROWS, aligned in the file;
within a chunk realtime mode sorts by event time). So on one partition all rows of the chunks below the highest one that
is found there are there, and of that chunk exactly the rows that are found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

import pyarrow.compute as pc

from orchestration.broker.client import open_admin
from orchestration.broker.offsets import LogRange, log_offsets
from orchestration.broker.read import Record, read_records
from orchestration.errors import OffsetGapError
from orchestration.generator.encode import Events
from orchestration.generator.identity import SOURCE_HEADER, parse_source
from orchestration.settings import Settings
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

CHUNK_ROWS = 32_768
"""Rows that are encoded, and in realtime mode sorted, together; a file's chunks start at multiples of it.

Part of the resume protocol: a change of it must not meet a half-landed file.
"""

_FIRST_LOOK = 2_000
_GROWTH = 4
_STABLE_LOOKS = 4

ReadRecords = Callable[[Mapping[int, tuple[int, int]]], Iterable[list[Record]]]


@dataclass(frozen=True)
class ResumePoint:
    """What of a file is on one partition: every row below `before`, and of the others those in `seen`."""

    before: int = 0
    seen: frozenset[int] = frozenset()


@dataclass
class _Search:
    """The look back over one partition; `low` is the lowest offset read so far."""

    floor: int
    low: int
    is_cut: bool
    rows: set[int] = field(default_factory=set)

    @property
    def is_done(self) -> bool:
        return self.low <= self.floor or self._sees_whole_chunk

    @property
    def _sees_whole_chunk(self) -> bool:
        return bool(self.rows) and min(self.rows) // CHUNK_ROWS < max(self.rows) // CHUNK_ROWS

    def point(self) -> ResumePoint | None:
        """Return the resume point, None if retention hides what was sent."""
        if self.is_cut and not self._sees_whole_chunk:
            return None
        if not self.rows:
            return ResumePoint()
        before = max(self.rows) // CHUNK_ROWS * CHUNK_ROWS
        return ResumePoint(before, frozenset(row for row in self.rows if row >= before))


def find_resume_points(
    settings: Settings, topic: str, identity: str, started_at: Mapping[int, int]
) -> dict[int, ResumePoint]:
    """Return what of a file is on each partition of a topic.

    Args:
        identity: as in the header of its events.
        started_at: end of each partition's log before the file's first event.

    Raises:
        OffsetGapError: retention removed events of the file, or the topic was created anew, before it was complete.
    """

    return search_tail(
        topic,
        identity,
        started_at,
        log_offsets(settings, topic),
        lambda ranges: read_records(settings, topic, ranges),
    )


def search_tail(
    topic: str, identity: str, started_at: Mapping[int, int], logs: Mapping[int, LogRange], read: ReadRecords
) -> dict[int, ResumePoint]:
    """Return what `find_resume_points` does, reading growing pieces backwards from the ends with `read`."""
    searches: dict[int, _Search] = {}
    for partition, log in logs.items():
        start = started_at.get(partition, 0)
        if log.end < start:
            raise OffsetGapError(
                f"topic {topic} was created anew: partition {partition} ends at {log.end}, "
                f"the landing had started at {start}",
                hint="use --again to send the whole file anew",
            )
        searches[partition] = _Search(max(start, log.start), log.end, is_cut=log.start > start)
    window = _FIRST_LOOK
    while pending := {partition: search for partition, search in searches.items() if not search.is_done}:
        ranges = {
            partition: (max(search.floor, logs[partition].end - window), search.low)
            for partition, search in pending.items()
        }
        for record in chain.from_iterable(read(ranges)):
            source = parse_source(record.headers.get(SOURCE_HEADER))
            if source is not None and source[0] == identity:
                searches[record.partition].rows.add(source[1])
        for partition, (low, _) in ranges.items():
            searches[partition].low = low
        window *= _GROWTH
    points: dict[int, ResumePoint] = {}
    for partition, search in searches.items():
        point = search.point()
        if point is None:
            raise OffsetGapError(
                f"partition {partition} of topic {topic} starts at {logs[partition].start}, behind the start "
                f"{started_at.get(partition, 0)} of the interrupted landing: what was sent cannot be told any more",
                hint="use --again to send the whole file anew; rows that were loaded before arrive twice in bronze "
                "and are removed as duplicates in silver",
            )
        points[partition] = point
    return points


def leave_out_sent(events: Events, points: Mapping[int, ResumePoint]) -> Events:
    """Return the events that are not on their partition yet."""
    row, partition = pc.field("row"), pc.field("partition")
    is_there = row.isin(sorted({seen for point in points.values() for seen in point.seen}))
    for number, point in points.items():
        is_there = is_there | ((partition == number) & (row < point.before))
    # A row has one partition, so the rows seen on all of them can be looked up together.
    return Events(events.table.filter(~is_there)) if points and len(events) else events


def wait_until_quiet(settings: Settings, topics: list[str]) -> None:
    """Return when the ends of the topics' logs stand still for a second, at the latest after ten.

    Requests of a killed producer may still lie in the broker's socket when the next run starts. Another program that
    keeps writing to the topic must not block the run: after ten seconds the dead one has nothing under way any more.
    """
    looks: list[dict[str, dict[int, LogRange]]] = []
    admin = open_admin(settings)

    def look() -> tuple[bool | None, object]:
        looks.append({topic: log_offsets(settings, topic, admin) for topic in topics})
        last = looks[-_STABLE_LOOKS:]
        return (True if len(last) == _STABLE_LOOKS and all(ends == last[0] for ends in last) else None), last[-1]

    with suppress(WaitTimeoutError):
        wait_for(look, what="the ends of the log to stand still", timeout_s=10, backoff=Backoff(0.33, 0.33))
