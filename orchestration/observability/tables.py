"""What the Iceberg tables are, by the summaries of their snapshots: no data file and no manifest is read."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.metrics_core import Metric
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from orchestration.catalog import open_catalog
from orchestration.lakehouse.freshness import data_commits
from orchestration.lakehouse.maintenance.tables import load_tables, name_of
from orchestration.observability.families import counter, gauge
from orchestration.settings import Settings

MAX_TABLES = 200
_SUMMARY = {
    "millrace_table_rows": ("total-records", "Rows in the data files of the current snapshot, deleted ones included"),
    "millrace_table_data_files": ("total-data-files", "Data files of the current snapshot"),
    "millrace_table_delete_files": ("total-delete-files", "Delete files of the current snapshot"),
    "millrace_table_position_deletes": ("total-position-deletes", "Rows that position deletes take away"),
    "millrace_table_size_bytes": ("total-files-size", "Size of the files of the current snapshot"),
}
_LABELS = ("table",)


def collect_tables(settings: Settings) -> list[Metric]:
    """Return the figures of every table of the catalog, whoever made it.

    Raises:
        UnreachableError, CatalogError: the catalog does not answer or refuses.
    """
    return table_families(load_tables(open_catalog(settings)))


def table_families(tables: Sequence[Table]) -> list[Metric]:
    """Return the figures of tables, of MAX_TABLES by name at most. A table that was never written has 0 rows."""
    shown = {(name_of(table),): table for table in tables[:MAX_TABLES]}
    newest = {key: data_commits(table) for key, table in shown.items()}
    return [
        *(
            gauge(name, text, _LABELS, {key: total(table.current_snapshot(), field) for key, table in shown.items()})
            for name, (field, text) in _SUMMARY.items()
        ),
        gauge(
            "millrace_table_snapshots",
            "Snapshots that the table keeps",
            _LABELS,
            {key: len(table.metadata.snapshots) for key, table in shown.items()},
        ),
        counter(
            "millrace_table_commits",
            "Commits since the table was made, by its sequence number; format 1 counts none",
            _LABELS,
            {key: getattr(table.metadata, "last_sequence_number", None) for key, table in shown.items()},
        ),
        gauge(
            "millrace_table_last_commit_timestamp_seconds",
            "When data was last written; maintenance does not count",
            _LABELS,
            {key: times[0].timestamp() if times else None for key, times in newest.items()},
        ),
        gauge(
            "millrace_tables_left_out",
            "Tables that are not shown, because there are too many",
            (),
            {(): max(len(tables) - MAX_TABLES, 0)},
        ),
    ]


def total(snapshot: Snapshot | None, field: str) -> float | None:
    """Return a total of a snapshot's summary; 0 without a snapshot, None if its writer did not tell."""
    if snapshot is None:
        return 0.0
    value = snapshot.summary.get(field) if snapshot.summary is not None else None
    return float(value) if value is not None else None
