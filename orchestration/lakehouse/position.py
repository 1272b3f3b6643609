"""Where bronze stands: its mark, moved behind the rows of snapshots that came after it."""

from __future__ import annotations

from pyiceberg.table import Table

from orchestration.catalog.progress import BronzeMark, read_mark
from orchestration.catalog.snapshots import read_appended, snapshots_after
from orchestration.lakehouse.flink_run import Say
from orchestration.lakehouse.offsets import advance

LINEAGE = ("_kafka_partition", "_kafka_offset")


def bronze_position(table: Table | None, say: Say) -> tuple[BronzeMark, dict[int, int]]:
    """Return the mark and the next offset to load of each partition."""
    mark = (read_mark(table, BronzeMark) if table is not None else None) or BronzeMark()
    if table is None:
        return mark, {}
    newer = snapshots_after(table, mark.snapshot_id)
    if newer is None:
        # Rolled back behind the mark: what the table holds decides, and the dead letters are counted anew.
        mark = BronzeMark()
        newer = snapshots_after(table, None)
    if not newer:
        return mark, dict(mark.next_offsets)
    say(f"{len(newer)} snapshots came after the last mark: reading their offsets")
    return mark, advance(mark.next_offsets, read_appended(table, LINEAGE, after=mark.snapshot_id))
