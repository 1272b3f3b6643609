"""What happened in a table between two snapshots; reads metadata, and of data files only the named columns."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pyiceberg.expressions import AlwaysFalse
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot


def ancestry(table: Table) -> list[Snapshot]:
    """Return the current snapshot and its ancestors, newest first; empty for a table without data."""
    chain: list[Snapshot] = []
    snapshot = table.current_snapshot()
    while snapshot is not None:
        chain.append(snapshot)
        parent = snapshot.parent_snapshot_id
        snapshot = table.snapshot_by_id(parent) if parent is not None else None
    return chain


def snapshots_after(table: Table, snapshot_id: int | None) -> list[Snapshot] | None:
    """Return the snapshots that came after `snapshot_id`, newest first.

    Returns:
        All of them if `snapshot_id` is None; None if it is no ancestor of the current snapshot and not the parent of
        the oldest one kept (the history between was rolled back or expired).
    """
    chain = ancestry(table)
    if snapshot_id is None:
        return chain
    for position, snapshot in enumerate(chain):
        if snapshot.snapshot_id == snapshot_id:
            return chain[:position]
    # An expired snapshot still is a valid start while the oldest kept one follows it directly.
    return chain if chain and chain[-1].parent_snapshot_id == snapshot_id else None


def holds_rows_of(table: Table, snapshot_id: int | None) -> bool:
    """Whether the table still holds the rows of a snapshot of it: nothing came after, or maintenance alone.

    `snapshot_id` None stands for the table before its first snapshot.
    """
    newer = snapshots_after(table, snapshot_id)
    return newer is not None and all(
        snapshot.summary is not None and snapshot.summary.operation is Operation.REPLACE for snapshot in newer
    )


def added_rows(snapshots: Sequence[Snapshot]) -> int:
    """Return the number of rows that appends among `snapshots` added."""
    return sum(_count(snapshot, "added-records") for snapshot in snapshots if _is_append(snapshot))


def total_rows(table: Table | None) -> int:
    """Return the number of rows of the current snapshot as its summary says; 0 without a table or snapshot."""
    snapshot = table.current_snapshot() if table is not None else None
    return _count(snapshot, "total-records") if snapshot is not None else 0


def current_id(table: Table) -> int | None:
    """Return the id of the current snapshot; None for a table that was never written."""
    snapshot = table.current_snapshot()
    return snapshot.snapshot_id if snapshot is not None else None


def read_appended(
    table: Table, columns: Sequence[str], *, after: int | None, upto: int | None = None
) -> pa.RecordBatchReader:
    """Stream the named columns of the rows that appends in (after, upto] added; `after` None: of all rows at `upto`."""
    if after is None:
        # Not the appends since the first snapshot: those whose snapshots expired would be left out.
        return table.scan(snapshot_id=upto, selected_fields=tuple(columns)).to_arrow_batch_reader()
    if after == (upto if upto is not None else current_id(table)):
        # PyIceberg refuses an empty range.
        return table.scan(row_filter=AlwaysFalse(), selected_fields=tuple(columns)).to_arrow_batch_reader()
    scan = table.incremental_append_scan(
        from_snapshot_id_exclusive=after, to_snapshot_id_inclusive=upto, selected_fields=tuple(columns)
    )
    return scan.to_arrow_batch_reader()


def _is_append(snapshot: Snapshot) -> bool:
    return snapshot.summary is not None and snapshot.summary.operation is Operation.APPEND


def _count(snapshot: Snapshot, key: str) -> int:
    return int((snapshot.summary.get(key) if snapshot.summary is not None else None) or 0)
