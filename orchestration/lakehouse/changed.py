"""Whether a table's rows changed since a snapshot: maintenance and empty commits are no change."""

from __future__ import annotations

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot

from orchestration.catalog.snapshots import snapshots_after

_CHANGES = ("added-records", "deleted-records", "added-delete-files", "deleted-data-files")


def has_changed(table: Table, since: int | None) -> bool:
    """Whether a snapshot after `since` added, changed or removed rows; None: whether any did.

    A `since` that is no longer in the table's history counts as changed: it was rolled back, or expired long ago.
    """
    newer = snapshots_after(table, since)
    return newer is None or any(changes_rows(snapshot) for snapshot in newer)


def changes_rows(snapshot: Snapshot) -> bool:
    """Whether a snapshot holds other rows than the one before.

    A rewrite of files is a `replace`. Iceberg's Flink sink makes an append without files at each tenth checkpoint in
    which it got no row.
    """
    summary = snapshot.summary
    if summary is None:
        return True
    if summary.operation is Operation.REPLACE:
        return False
    return any(int(summary.get(name) or 0) for name in _CHANGES)
