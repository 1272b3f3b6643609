"""The snapshots of a table: who made them, what they changed, and who holds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pyiceberg.table.snapshots import Snapshot

from orchestration.catalog import open_catalog
from orchestration.catalog.progress import marked_snapshots
from orchestration.catalog.replace import MAINTENANCE
from orchestration.catalog.snapshots import ancestry, current_id
from orchestration.lakehouse.maintenance.tables import load_tables, pick_table
from orchestration.settings import Settings


@dataclass(frozen=True)
class SnapshotView:
    """One snapshot.

    Attributes:
        operation: append, overwrite, delete, or replace (other files, the same rows).
        added_rows, deleted_rows: of its data files; total_rows: None if the writer did not say.
        writer: the engine, and for Flink the job; `millrace compact` for maintenance.
        is_current: what readers see. is_ancestor: it or a forebear of it; others were rolled back.
        held_by: branches, tags and progress marks that name it.
    """

    id: int
    parent_id: int | None
    at: datetime
    operation: str
    added_rows: int
    deleted_rows: int
    total_rows: int | None
    total_files: int | None
    writer: str
    is_current: bool
    is_ancestor: bool
    held_by: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the view for machines; ids as text, since JSON numbers lose their last digits in many programs."""
        parent = str(self.parent_id) if self.parent_id is not None else None
        return asdict(self) | {"id": str(self.id), "parent_id": parent, "at": self.at.isoformat()}


def list_snapshots(settings: Settings, name: str) -> list[SnapshotView]:
    """Return the snapshots of a table, newest first.

    Raises:
        NotFoundError: there is no such table.
        UnreachableError, CatalogError: the catalog does not answer or refuses.
    """
    tables = load_tables(open_catalog(settings))
    table = pick_table(tables, name)
    holders: dict[int, list[str]] = {}
    for ref, held in table.metadata.refs.items():
        holders.setdefault(held.snapshot_id, []).append(f"{held.snapshot_ref_type.value} {ref}")
    for other in tables:
        for snapshot_id, holder in marked_snapshots(other).items():
            holders.setdefault(snapshot_id, []).append(holder)
    current, ancestors = current_id(table), {one.snapshot_id for one in ancestry(table)}
    # Of two commits in one millisecond the later one has the higher sequence number.
    ordered = sorted(table.metadata.snapshots, key=lambda one: (one.timestamp_ms, one.sequence_number or 0))
    return [
        view_of(
            snapshot,
            is_current=snapshot.snapshot_id == current,
            is_ancestor=snapshot.snapshot_id in ancestors,
            held_by=tuple(holders.get(snapshot.snapshot_id, ())),
        )
        for snapshot in reversed(ordered)
    ]


def view_of(snapshot: Snapshot, *, is_current: bool, is_ancestor: bool, held_by: tuple[str, ...]) -> SnapshotView:
    """Return what is shown of a snapshot."""
    summary = snapshot.summary.additional_properties if snapshot.summary is not None else {}
    return SnapshotView(
        id=snapshot.snapshot_id,
        parent_id=snapshot.parent_snapshot_id,
        at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
        operation=snapshot.summary.operation.value if snapshot.summary is not None else "unknown",
        added_rows=int(summary.get("added-records", 0)),
        deleted_rows=int(summary.get("deleted-records", 0)),
        total_rows=_whole(summary.get("total-records")),
        total_files=_whole(summary.get("total-data-files")),
        writer=writer_of(summary),
        is_current=is_current,
        is_ancestor=is_ancestor,
        held_by=held_by,
    )


def writer_of(summary: dict[str, str]) -> str:
    """Return who made a snapshot, by its summary."""
    if MAINTENANCE in summary:
        return f"millrace {summary[MAINTENANCE]}"
    engine = summary.get("engine-name", "")
    if "flink.job-id" in summary:
        return f"{engine or 'flink'} job {summary['flink.job-id']}"
    return engine


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None else None
