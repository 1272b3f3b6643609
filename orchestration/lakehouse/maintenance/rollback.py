"""Rolling a table back, so that the layers above and the next runs agree with what it holds then.

No mark of the table itself is touched: bronze and silver compare their mark with the table's history, find that its
snapshot is gone from it, and read from the table what it holds. What cannot be seen in that way is the mark of another
table, which is cleared here, before the table moves: a kill in between costs a rebuild, and no row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyiceberg.table import Table

from orchestration.catalog import open_catalog
from orchestration.catalog.progress import SilverMark, clear_mark, marked_snapshots, read_mark
from orchestration.catalog.rollback import set_head
from orchestration.catalog.snapshots import current_id, snapshots_after, total_rows
from orchestration.errors import BusyError, CatalogError, ConflictError, NotFoundError
from orchestration.lakehouse.maintenance.needed import find_writers, look_around, writer_lock
from orchestration.lakehouse.maintenance.tables import load_tables, name_of, pick_table
from orchestration.locking import hold
from orchestration.settings import Settings


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did.

    Attributes:
        before, after: current snapshots; equal if the table stood there already.
        rows_before, rows_after: rows of the table.
        consequences: what the next runs do about it, one sentence each.
    """

    table: str
    before: int | None
    after: int
    rows_before: int
    rows_after: int
    consequences: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines; ids as text, since JSON numbers lose their last digits in many programs."""
        return {
            "table": self.table,
            "did_something": self.before != self.after,
            "before": str(self.before) if self.before is not None else None,
            "after": str(self.after),
            "rows_before": self.rows_before,
            "rows_after": self.rows_after,
            "consequences": list(self.consequences),
        }


def roll_back(settings: Settings, name: str, snapshot_id: int, *, is_forced: bool = False) -> RolledBack:
    """Make a snapshot of a table the current one; any that the table still has, so a rollback can be undone.

    Args:
        is_forced: also while somebody writes the table. What that writer commits next builds on the chosen snapshot.

    Raises:
        NotFoundError: no such table, or it has no such snapshot (any more).
        ConflictError: a live job or run writes the table, or it got a new snapshot meanwhile; nothing was changed.
        UnreachableError, CatalogError: the catalog does not answer or refuses.
    """
    settings.require_writable_catalog()
    tables = load_tables(open_catalog(settings))
    table = pick_table(tables, name)
    if table.snapshot_by_id(snapshot_id) is None:
        raise NotFoundError(
            f"{name} has no snapshot {snapshot_id}", hint=f"`millrace snapshots {name}` lists those that it has"
        )
    before, rows_before = current_id(table), total_rows(table)
    if before == snapshot_id:
        return RolledBack(name, before, snapshot_id, rows_before, rows_before)
    with _no_writer(settings, table, is_forced=is_forced):
        table.refresh()
        if current_id(table) != before:
            raise ConflictError(
                f"{name} got a new snapshot meanwhile; nothing was rolled back",
                hint=f"look at `millrace snapshots {name}` again",
            )
        consequences = _clear_foreign_marks(table, snapshot_id, tables)
        set_head(table, snapshot_id)
    return RolledBack(
        name,
        before,
        snapshot_id,
        rows_before,
        total_rows(table),
        (*consequences, *_own_consequences(table), *_readers(table, tables)),
    )


@contextmanager
def _no_writer(settings: Settings, table: Table, *, is_forced: bool) -> Iterator[None]:
    """Keep batch runs of this instance away for the block, and refuse while anybody else writes."""
    if is_forced:
        yield
        return
    name = name_of(table)
    hint = "stop it first, or give --force: what it commits next then builds on the chosen snapshot"
    writers = find_writers(settings, table, look_around(settings))
    if writers:
        raise ConflictError(f"{name} may be written now, by {'; '.join(writers)}", hint=hint)
    try:
        with hold(settings.instance_dir / "locks", writer_lock(settings, name), wait_s=0):
            yield
    except BusyError as error:
        raise ConflictError(f"{name} is written now: {error.message}", hint=hint) from error


def _clear_foreign_marks(table: Table, target: int, tables: Sequence[Table]) -> list[str]:
    """Clear silver's mark if it counts on rejected rows that go: nobody would read them from bronze again."""
    done: list[str] = []
    for other in tables:
        mark = _silver_mark(other)
        if mark is None or mark.rejected_snapshot_id is None:
            continue
        if table.snapshot_by_id(mark.rejected_snapshot_id) is not None and target != mark.rejected_snapshot_id:
            clear_mark(other)
            done.append(f"the next refresh rebuilds {name_of(other)} and {name_of(table)} from bronze")
    return done


def _own_consequences(table: Table) -> list[str]:
    """Return what the next run does about the table itself, by its mark."""
    own = marked_snapshots(table)
    if not own:
        return []
    mark = _silver_mark(table)
    if mark is not None:
        is_behind = mark.snapshot_id is not None and snapshots_after(table, mark.snapshot_id) is None
        return [f"the next refresh rebuilds {name_of(table)} from bronze"] if is_behind else []
    if any(snapshots_after(table, one) is None for one in own):
        return [f"the next run loads the records again that {name_of(table)} does not hold any more"]
    return []


def _readers(table: Table, tables: Sequence[Table]) -> list[str]:
    """Return what happens to tables that were built from this one."""
    found: list[str] = []
    for other in tables:
        mark = _silver_mark(other)
        if mark is None or table.snapshot_by_id(mark.bronze_snapshot_id) is None:
            continue
        if snapshots_after(table, mark.bronze_snapshot_id) is None:
            found.append(f"the next refresh rebuilds {name_of(other)}, which was built from later rows")
    return found


def _silver_mark(table: Table) -> SilverMark | None:
    try:
        return read_mark(table, SilverMark)
    except CatalogError:
        return None
