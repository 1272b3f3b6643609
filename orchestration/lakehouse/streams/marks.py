"""Whether a stream wrote a table since its progress mark was set."""

from __future__ import annotations

from pyiceberg.table import Table

from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.progress import BronzeMark, SilverMark, read_mark
from orchestration.catalog.snapshots import snapshots_after
from orchestration.contracts import DatasetContract
from orchestration.lakehouse.streams.commits import as_commit
from orchestration.settings import Settings


def streamed_since_mark(settings: Settings, contract: DatasetContract) -> bool:
    """Whether a stream committed to bronze since bronze's mark."""
    bronze = find_table(open_catalog(settings), contract.tables.bronze)
    mark = read_mark(bronze, BronzeMark) if bronze is not None else None
    return bronze is not None and _has_commits(bronze, mark.snapshot_id if mark is not None else None)


def silver_streamed_since(silver: Table, mark: SilverMark | None) -> bool:
    """Whether a stream committed to silver since silver's mark."""
    return _has_commits(silver, mark.snapshot_id if mark is not None else None)


def _has_commits(table: Table, after: int | None) -> bool:
    newer = snapshots_after(table, after)
    return any(as_commit(snapshot) is not None for snapshot in newer or ())
