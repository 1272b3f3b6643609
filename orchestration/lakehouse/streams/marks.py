"""Whether a stream wrote a table since its progress mark was set."""

from __future__ import annotations

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.progress import BronzeMark, SilverMark, read_mark
from orchestration.catalog.snapshots import ancestry, snapshots_after
from orchestration.contracts import DatasetContract
from orchestration.lakehouse.streams.commits import Commit, as_commit
from orchestration.settings import Settings


def streamed_since_mark(settings: Settings, contract: DatasetContract) -> bool:
    """Whether a stream committed to bronze since bronze's mark."""
    bronze = find_table(open_catalog(settings), contract.tables.bronze)
    mark = read_mark(bronze, BronzeMark) if bronze is not None else None
    return bronze is not None and _has_commits(bronze, mark.snapshot_id if mark is not None else None)


def silver_streamed_since(silver: Table, mark: SilverMark | None) -> bool:
    """Whether a stream committed to silver since silver's mark."""
    return _has_commits(silver, mark.snapshot_id if mark is not None else None)


def refreshed_commit(catalog: Catalog, contract: DatasetContract) -> Commit | None:
    """Return the newest commit of a stream to bronze that silver's mark covers; None: there is none."""
    bronze, silver = (find_table(catalog, name) for name in (contract.tables.bronze, contract.tables.silver))
    mark = read_mark(silver, SilverMark) if silver is not None else None
    if bronze is None or mark is None:
        return None
    found: Commit | None = None
    for snapshot in reversed(ancestry(bronze)):
        found = as_commit(snapshot) or found
        if snapshot.snapshot_id == mark.bronze_snapshot_id:
            return found
    return None


def _has_commits(table: Table, after: int | None) -> bool:
    newer = snapshots_after(table, after)
    return any(as_commit(snapshot) is not None for snapshot in newer or ())
