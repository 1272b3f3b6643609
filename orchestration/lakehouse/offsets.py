"""Which offsets a bronze run has to read, and which of them did not arrive. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb
import pyarrow as pa

from orchestration.broker.offsets import LogRange
from orchestration.errors import CatalogError, OffsetGapError
from orchestration.generator.ledger import LedgerEntry


def plan_ranges(topic: str, next_offsets: Mapping[int, int], available: Mapping[int, LogRange]) -> dict[int, LogRange]:
    """Return what to read of each partition of the topic: from the next offset to the end of the log.

    Args:
        next_offsets: the first offset of each partition that the table does not account for; empty on the first load,
            which starts where the log starts.
        available: start and end of the log of every partition.

    Raises:
        OffsetGapError: records that were never loaded are gone, or the topic was created anew.
    """
    ranges: dict[int, LogRange] = {}
    for partition, log in sorted(available.items()):
        start = next_offsets.get(partition, log.start if not next_offsets else 0)
        where = f"partition {partition} of topic {topic}"
        if start < log.start:
            raise OffsetGapError(
                f"{where}: retention removed offsets {start} to {log.start - 1} before they were loaded",
                hint="raise TOPIC_RETENTION_MS and land the files again with --again; then rebuild bronze",
            )
        if start > log.end:
            raise OffsetGapError(
                f"{where} ends at offset {log.end}, but the table already holds it up to {start}: "
                "the topic was deleted and created anew",
                hint="use a new TOPIC, or start over with an empty bronze table",
            )
        ranges[partition] = LogRange(start, log.end)
    gone = sorted(set(next_offsets) - set(available))
    if gone:
        raise OffsetGapError(f"topic {topic} has no partition {gone[0]} any more, but the table was loaded from it")
    return ranges


def advance(next_offsets: Mapping[int, int], landed: pa.RecordBatchReader) -> dict[int, int]:
    """Return `next_offsets` moved behind every offset in `landed` (_kafka_partition, _kafka_offset)."""
    with duckdb.connect() as connection:
        connection.register("landed", landed)
        rows = connection.execute(
            "SELECT _kafka_partition, max(_kafka_offset) + 1 FROM landed GROUP BY _kafka_partition"
        ).fetchall()
    moved = dict(next_offsets)
    for partition, following in rows:
        moved[partition] = max(following, moved.get(partition, 0))
    return moved


def find_missing(table: str, ranges: Mapping[int, LogRange], landed: pa.RecordBatchReader) -> dict[int, list[int]]:
    """Return the offsets of each range that are not in `landed` (_kafka_partition, _kafka_offset).

    Raises:
        CatalogError: `landed` holds an offset twice.
    """
    with duckdb.connect() as connection:
        connection.register("arrivals", landed)
        connection.execute("CREATE TABLE landed AS SELECT _kafka_partition AS p, _kafka_offset AS o FROM arrivals")
        twice = connection.execute("SELECT p, o FROM landed GROUP BY p, o HAVING count(*) > 1 LIMIT 1").fetchone()
        if twice:
            raise CatalogError(
                f"{table} holds offset {twice[1]} of partition {twice[0]} more than once",
                hint="another program wrote to the table; roll it back to the snapshot before",
            )
        missing: dict[int, list[int]] = {}
        for partition, span in ranges.items():
            arrived = connection.execute(
                "SELECT count(*) FROM landed WHERE p = ? AND o >= ? AND o < ?", [partition, span.start, span.end]
            ).fetchone()
            if arrived and arrived[0] == span.records:
                continue
            rows = connection.execute(
                "SELECT o FROM range(?, ?) AS wanted(o) ANTI JOIN (SELECT o FROM landed WHERE p = ?) USING (o) "
                "ORDER BY o",
                [span.start, span.end, partition],
            ).fetchall()
            missing[partition] = [row[0] for row in rows]
        return missing


def vouched_ranges(entries: Iterable[LedgerEntry], topic: str) -> list[tuple[int, LogRange]]:
    """Return the offsets that hold nothing but events which the generator checked against the contract.

    An entry vouches for its ranges if they are as long as its events are many: then no other producer wrote between.
    """
    ranges: list[tuple[int, LogRange]] = []
    for entry in entries:
        start, end = entry.start_offsets.get(topic, {}), entry.end_offsets.get(topic, {})
        spans = [(partition, LogRange(start.get(partition, 0), offset)) for partition, offset in end.items()]
        if sum(span.records for _, span in spans) == entry.events:
            ranges += spans
    return ranges


def subtract(ranges: Mapping[int, LogRange], known: Iterable[tuple[int, LogRange]]) -> list[tuple[int, LogRange]]:
    """Return the parts of `ranges` that no range of `known` (partition, range) covers."""
    known_of: dict[int, list[LogRange]] = {}
    for partition, span in known:
        known_of.setdefault(partition, []).append(span)
    rest: list[tuple[int, LogRange]] = []
    for partition, span in sorted(ranges.items()):
        position = span.start
        for cover in sorted(known_of.get(partition, ()), key=lambda item: item.start):
            if cover.end <= position or cover.start >= span.end:
                continue
            if cover.start > position:
                rest.append((partition, LogRange(position, cover.start)))
            position = max(position, cover.end)
        if position < span.end:
            rest.append((partition, LogRange(position, span.end)))
    return rest


def merge_runs(offsets: Iterable[int], within: int) -> list[LogRange]:
    """Return ranges that cover `offsets`; neighbours that are at most `within` apart share one."""
    spans: list[LogRange] = []
    for offset in sorted(offsets):
        if spans and offset - spans[-1].end <= within:
            spans[-1] = LogRange(spans[-1].start, offset + 1)
        else:
            spans.append(LogRange(offset, offset + 1))
    return spans
