"""Which tables are due for compaction, by their file statistics, looking only at those that changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyiceberg.exceptions import NoSuchTableError

from orchestration.catalog import open_catalog
from orchestration.catalog.compact import plan_compaction
from orchestration.catalog.snapshots import current_id
from orchestration.lakehouse.maintenance.run import size_policy
from orchestration.lakehouse.maintenance.tables import load_tables, name_of
from orchestration.settings import Settings


@dataclass(frozen=True)
class Due:
    """A table that compaction would change.

    Attributes:
        snapshot_id: its current snapshot.
        input_files, groups: files that would be replaced, and by how many.
    """

    table: str
    snapshot_id: int
    input_files: int
    groups: int


@dataclass(frozen=True)
class Found:
    """What a look found. `seen`: table to the snapshot that was looked at."""

    due: tuple[Due, ...]
    seen: dict[str, int]


def find_due(settings: Settings, seen: Mapping[str, int]) -> Found:
    """Return the tables that are due, among those whose snapshot is not the one in `seen`.

    Raises:
        UnreachableError, CatalogError: the catalog does not answer or refuses.
    """
    due: list[Due] = []
    now: dict[str, int] = {}
    for table in load_tables(open_catalog(settings)):
        name, snapshot_id = name_of(table), current_id(table)
        if snapshot_id is None:
            continue
        now[name] = snapshot_id
        if seen.get(name) == snapshot_id:
            continue
        try:
            plan = plan_compaction(table, size_policy(settings, table))
        except (NoSuchTableError, FileNotFoundError):
            # Dropped while it was looked at.
            continue
        if plan.is_needed:
            due.append(Due(name, snapshot_id, plan.input_files, len(plan.groups)))
    return Found(tuple(due), now)
