"""The ledger of landed files: a small append-only Iceberg table that outlives the topic's retention.

A file is one (dataset, topic, sha256, attempt). Its rows are written in this order: `started` before the first event,
`partial` when MAX_EVENTS ended a run, `landed` after the last acknowledgement. The last one in time counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa
from pyiceberg.catalog import Catalog

from orchestration.catalog import open_catalog
from orchestration.generator.append_only import AppendOnlyTable
from orchestration.naming import LEDGER_TABLE
from orchestration.settings import Settings

Status = Literal["started", "partial", "landed"]

SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("events", pa.int64(), nullable=False),
        pa.field("dead_lettered", pa.int64(), nullable=False),
        pa.field("partitions", pa.int32(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("options", pa.string(), nullable=False),
        pa.field("start_offsets", pa.string(), nullable=False),
        pa.field("end_offsets", pa.string(), nullable=False),
        pa.field("recorded_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
    ]
)

Offsets = Mapping[str, Mapping[int, int]]
"""Topic to partition to offset."""


@dataclass(frozen=True)
class LedgerEntry:
    """One row of the ledger.

    Attributes:
        attempt: 0, and one more for each `--again`.
        rows: rows of the file. `started`: of the whole file; `partial`: read so far.
        events, dead_lettered: rows of the file that are on the two topics; 0 for `started`.
        partitions: of the main topic.
        options: all that decides where a row goes, and must be the same when the file is resumed.
        start_offsets, end_offsets: ends of the logs before the first event and after the last acknowledgement.
    """

    dataset: str
    topic: str
    sha256: str
    attempt: int
    path: str
    rows: int
    events: int
    dead_lettered: int
    partitions: int
    status: Status
    options: Mapping[str, object]
    start_offsets: Offsets
    end_offsets: Offsets = field(default_factory=dict)
    recorded_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    run_id: str = ""


@dataclass(frozen=True)
class FileHistory:
    """All that the ledger knows of one content: the entries of its latest attempt, oldest first."""

    entries: tuple[LedgerEntry, ...]

    @property
    def latest(self) -> LedgerEntry | None:
        """The entry that counts, None if the content is unknown."""
        return self.entries[-1] if self.entries else None

    @property
    def is_landed(self) -> bool:
        """Whether the latest attempt is complete."""
        return any(entry.status == "landed" for entry in self.entries)

    @property
    def started(self) -> LedgerEntry | None:
        """The first entry of the latest attempt: it has the offsets before the first event."""
        return self.entries[0] if self.entries else None


@dataclass(frozen=True)
class LandedTotals:
    """Sums over all files that were sent, whole or in part."""

    files: int
    rows: int
    events: int
    dead_lettered: int


class Ledger:
    """The ledger in the catalog of the settings; the table is created by the first write."""

    def __init__(self, catalog: Catalog, table_name: str = LEDGER_TABLE) -> None:
        self._table = AppendOnlyTable(catalog, table_name, SCHEMA)

    @classmethod
    def open(cls, settings: Settings) -> Ledger:
        """Return the ledger; raises UnreachableError if the catalog does not answer."""
        return cls(open_catalog(settings))

    def history(self, dataset: str, topic: str, sha256: str) -> FileHistory:
        """Return what is known of a content on a topic."""
        found = self._read(dataset, topic, sha256)
        last = max((entry.attempt for entry in found), default=0)
        return FileHistory(tuple(entry for entry in found if entry.attempt == last))

    def entries(self, dataset: str, topic: str | None = None) -> list[LedgerEntry]:
        """Return all entries of a dataset, oldest first."""
        return self._read(dataset, topic)

    def totals(self, dataset: str, topic: str | None = None) -> LandedTotals:
        """Return the sums over the last entry of every file and attempt that is not only started.

        A file that was killed on its way counts from its previous entry (or not at all) until it is run again.
        """
        last: dict[tuple[str, str, int], LedgerEntry] = {}
        for entry in self._read(dataset, topic):
            if entry.status != "started":
                last[entry.topic, entry.sha256, entry.attempt] = entry
        return LandedTotals(
            files=sum(entry.status == "landed" for entry in last.values()),
            rows=sum(entry.rows for entry in last.values()),
            events=sum(entry.events for entry in last.values()),
            dead_lettered=sum(entry.dead_lettered for entry in last.values()),
        )

    def append(self, entry: LedgerEntry) -> None:
        """Write one entry.

        Raises:
            CatalogError: other writers kept winning.
        """
        self._table.append(_to_row(entry))

    def _read(self, dataset: str, topic: str | None = None, sha256: str | None = None) -> list[LedgerEntry]:
        rows = self._table.read(dataset=dataset, topic=topic, sha256=sha256)
        return sorted(_from_rows(rows), key=_order)


_RANK = {"started": 0, "partial": 1, "landed": 2}


def _order(entry: LedgerEntry) -> tuple[datetime, int]:
    return entry.recorded_at, _RANK[entry.status]


def _to_row(entry: LedgerEntry) -> dict[str, object]:
    row = asdict(entry)
    for name in ("options", "start_offsets", "end_offsets"):
        row[name] = json.dumps(row[name], sort_keys=True)
    return row


def _from_rows(rows: Iterable[dict[str, object]]) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for row in rows:
        fields = dict(row)
        fields["options"] = json.loads(str(row["options"]))
        for name in ("start_offsets", "end_offsets"):
            by_topic = json.loads(str(row[name]))
            fields[name] = {topic: {int(p): o for p, o in of.items()} for topic, of in by_topic.items()}
        entries.append(LedgerEntry(**fields))  # type: ignore[arg-type]
    return entries
