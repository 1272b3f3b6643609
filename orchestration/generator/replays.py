"""The memory of replays: a small append-only Iceberg table that outlives the retention of both topics.

A replay is written down as `started`, with the ends of the main topic, before its first event, and as `done`, with
the dead letters that it sent, after the last acknowledgement. One that is only started was killed: what it sent is on
the topic behind those ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa
from pyiceberg.catalog import Catalog

from orchestration.broker.offsets import LogRange
from orchestration.generator.append_only import AppendOnlyTable
from orchestration.naming import REPLAY_TABLE

Place = tuple[int, int]
"""Partition and offset of a dead letter."""

SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("dlq_topic", pa.string(), nullable=False),
        pa.field("dlq_id", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("letters", pa.string(), nullable=False),
        pa.field("events", pa.int64(), nullable=False),
        pa.field("records", pa.int64(), nullable=False),
        pa.field("start_offsets", pa.string(), nullable=False),
        pa.field("recorded_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)


@dataclass(frozen=True)
class Topics:
    """Where a replay reads and writes.

    Attributes:
        dlq_id: the broker's id of the dead letter topic; one that is created anew has other letters at its offsets.
    """

    dataset: str
    topic: str
    dlq_topic: str
    dlq_id: str


@dataclass(frozen=True)
class ReplayEntry:
    """One row of the memory.

    Attributes:
        letters: the dead letters that were sent; empty for `started`.
        records: of them, those that had been records of the topic; the others were rows of files.
        start_offsets: end of each partition of the main topic before the first event.
    """

    topics: Topics
    run_id: str
    status: Literal["started", "done"]
    start_offsets: Mapping[int, int]
    letters: Set[Place] = frozenset()
    records: int = 0
    recorded_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Replayed:
    """All that was replayed so far.

    Attributes:
        letters: the dead letters that are on the main topic once more, by what is written down.
        records: of them, those that had been records of the topic.
        open: replays that were started and not ended, oldest first.
    """

    letters: Set[Place]
    records: int
    open: tuple[ReplayEntry, ...]


class ReplayLog:
    """The memory in a catalog; the table is created by the first write."""

    def __init__(self, catalog: Catalog, table_name: str = REPLAY_TABLE) -> None:
        self._table = AppendOnlyTable(catalog, table_name, SCHEMA)

    def append(self, entry: ReplayEntry) -> None:
        """Write one entry; raises CatalogError if other writers kept winning."""
        self._table.append(_to_row(entry))

    def read(self, topics: Topics) -> Replayed:
        """Return what was replayed from this dead letter topic to this topic."""
        rows = self._table.read(
            dataset=topics.dataset, topic=topics.topic, dlq_topic=topics.dlq_topic, dlq_id=topics.dlq_id
        )
        entries = sorted((_from_row(row) for row in rows), key=lambda entry: entry.recorded_at)
        done = {entry.run_id: entry for entry in entries if entry.status == "done"}
        return Replayed(
            letters=frozenset(place for entry in done.values() for place in entry.letters),
            records=sum(entry.records for entry in done.values()),
            open=tuple(entry for entry in entries if entry.run_id not in done),
        )


def _to_row(entry: ReplayEntry) -> dict[str, object]:
    return {
        "dataset": entry.topics.dataset,
        "topic": entry.topics.topic,
        "dlq_topic": entry.topics.dlq_topic,
        "dlq_id": entry.topics.dlq_id,
        "run_id": entry.run_id,
        "status": entry.status,
        "letters": json.dumps(_to_runs(entry.letters)),
        "events": len(entry.letters),
        "records": entry.records,
        "start_offsets": json.dumps(dict(entry.start_offsets), sort_keys=True),
        "recorded_at": entry.recorded_at,
    }


def _from_row(row: Mapping[str, Any]) -> ReplayEntry:
    return ReplayEntry(
        topics=Topics(row["dataset"], row["topic"], row["dlq_topic"], row["dlq_id"]),
        run_id=row["run_id"],
        status=row["status"],
        start_offsets={int(partition): offset for partition, offset in json.loads(row["start_offsets"]).items()},
        letters=_from_runs(json.loads(row["letters"])),
        records=row["records"],
        recorded_at=row["recorded_at"],
    )


def _to_runs(letters: Iterable[Place]) -> dict[int, list[tuple[int, int]]]:
    """Return partition to [start, end) of neighbours: a dead letter topic is mostly replayed as a whole."""
    runs: dict[int, list[LogRange]] = {}
    for partition, offset in sorted(letters):
        known = runs.setdefault(partition, [])
        if known and known[-1].end == offset:
            known[-1] = LogRange(known[-1].start, offset + 1)
        else:
            known.append(LogRange(offset, offset + 1))
    return {partition: [(run.start, run.end) for run in known] for partition, known in runs.items()}


def _from_runs(runs: Mapping[str, Iterable[tuple[int, int]]]) -> frozenset[Place]:
    return frozenset(
        (int(partition), offset)
        for partition, known in runs.items()
        for start, end in known
        for offset in range(start, end)
    )
