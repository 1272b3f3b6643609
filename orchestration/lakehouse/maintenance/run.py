"""One maintenance run over the tables of the catalog, beside their readers and writers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

from orchestration.catalog import open_catalog
from orchestration.catalog.compact import compact_table, plan_compaction
from orchestration.catalog.compaction import SizePolicy
from orchestration.catalog.expiry import clean_up, expire_table
from orchestration.catalog.journal import Journal
from orchestration.catalog.orphans import OrphanPolicy, vacuum_table
from orchestration.catalog.retention import Needed, Retention
from orchestration.errors import MillraceError
from orchestration.lakehouse.flink_run import Say, be_silent
from orchestration.lakehouse.maintenance.needed import look_around, needed_snapshots, writer_lock
from orchestration.lakehouse.maintenance.report import STEPS, MaintenanceReport, Step, TableReport
from orchestration.lakehouse.maintenance.tables import load_tables, name_of, pick_table
from orchestration.locking import hold
from orchestration.settings import Settings

_DAY_MS = 86_400_000


def maintain(
    settings: Settings,
    steps: Collection[Step] = STEPS,
    *,
    table: str | None = None,
    is_dry_run: bool = False,
    say: Say = be_silent,
    now: datetime | None = None,
) -> MaintenanceReport:
    """Compact, expire and vacuum the tables of the catalog. Idempotent; a table that fails does not stop the others.

    Args:
        table: only this one, `schema.table`; None: all.
        is_dry_run: look and report, change nothing.

    Raises:
        UnreachableError, CatalogError: the catalog does not answer or refuses.
        NotFoundError: there is no such table.
    """
    settings.require_writable_catalog()
    catalog = open_catalog(settings)
    tables = load_tables(catalog)
    chosen = tables if table is None else [pick_table(tables, table)]
    run = _Run(settings, catalog, steps, is_dry_run, say, now or datetime.now(UTC))
    return MaintenanceReport(is_dry_run, tuple(run.maintain(one, tables) for one in chosen))


def size_policy(settings: Settings, table: Table) -> SizePolicy:
    """Return how large the files of a table should be; its property `write.target-file-size-bytes` goes first."""
    target = int(table.properties.get("write.target-file-size-bytes", settings.iceberg_target_file_size_bytes))
    return SizePolicy(
        target_bytes=target,
        # A table of small files by choice would otherwise never be done.
        min_bytes=min(settings.iceberg_min_file_size_bytes, target * 3 // 4),
        min_files=settings.iceberg_min_input_files,
    )


class _Run:
    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        steps: Collection[Step],
        is_dry_run: bool,
        say: Say,
        now: datetime,
    ) -> None:
        self._settings, self._catalog, self._steps = settings, catalog, steps
        self._is_dry_run, self._say, self._now = is_dry_run, say, now

    def maintain(self, table: Table, tables: Sequence[Table]) -> TableReport:
        report = TableReport(name_of(table))
        try:
            with self._lock(f"maintain.{report.table}", wait_s=0):
                for step in (self._clean, self._compact, self._expire, self._vacuum):
                    report = step(report, table, tables)
        except NoSuchTableError:
            return replace(report, error="it was dropped meanwhile")
        except MillraceError as error:
            self._say(f"{report.table}: {error.message}")
            return replace(report, error=error.message, hint=error.hint)
        return report

    def _clean(self, report: TableReport, table: Table, _: Sequence[Table]) -> TableReport:
        if self._is_dry_run:
            return report
        return replace(report, left_over=clean_up(table, self._journal(report.table)))

    def _compact(self, report: TableReport, table: Table, _: Sequence[Table]) -> TableReport:
        if "compact" not in self._steps:
            return report
        policy = size_policy(self._settings, table)
        if self._is_dry_run:
            return replace(report, planned=plan_compaction(table, policy))
        done = compact_table(table, policy, self._journal(report.table), self._commit_lock(report.table))
        if done.snapshot_ids:
            self._say(f"{report.table}: {done.files_before} files became {done.files_after}")
        return replace(report, compact=done)

    def _expire(self, report: TableReport, table: Table, _: Sequence[Table]) -> TableReport:
        if "expire" not in self._steps:
            return report
        settings = self._settings
        retention = Retention(
            max_age_ms=round(settings.iceberg_snapshot_max_age_days * _DAY_MS),
            retain_last=settings.iceberg_snapshot_retain_last,
        )

        def needed() -> Needed:
            return needed_snapshots(load_tables(self._catalog), look_around(settings))

        done = expire_table(
            table, retention, needed, self._journal(report.table), self._now, is_dry_run=self._is_dry_run
        )
        if done.snapshots and not self._is_dry_run:
            self._say(f"{report.table}: {done.snapshots} snapshots expired, {done.files} files went with them")
        return replace(report, expire=done)

    def _vacuum(self, report: TableReport, table: Table, tables: Sequence[Table]) -> TableReport:
        if "vacuum" not in self._steps:
            return report
        policy = OrphanPolicy(
            min_age=timedelta(days=self._settings.iceberg_orphan_min_age_days),
            quarantine_age=timedelta(days=self._settings.iceberg_quarantine_days),
        )
        others = [one for one in tables if name_of(one) != report.table]
        done = vacuum_table(table, others, policy, self._now, is_dry_run=self._is_dry_run)
        if done.quarantined and not self._is_dry_run:
            self._say(f"{report.table}: {len(done.quarantined)} orphans moved to quarantine")
        return replace(report, vacuum=done)

    def _journal(self, table: str) -> Journal:
        return Journal(self._settings.instance_dir / "maintenance" / f"{table}.jsonl")

    def _lock(self, name: str, *, wait_s: float) -> AbstractContextManager[None]:
        return hold(self._settings.instance_dir / "locks", name, wait_s=wait_s, on_wait=self._say)

    def _commit_lock(self, table: str) -> Callable[[], AbstractContextManager[None]]:
        """Keep batch runs of ours apart from a commit: a rebuild of silver judges partitions by who wrote them last."""
        name = writer_lock(self._settings, table)
        return lambda: self._lock(name, wait_s=self._settings.lock_timeout_s)
