"""Silver: typed, filtered, deduplicated rows; refused rows with the rule's name beside it.

A refresh reads the bronze snapshots that came after silver's mark and rewrites the touched partitions in one commit; a
rebuild reads all of bronze. Both are safe to repeat: silver's commit gives the same content again, the rejected rows
leave out what a killed run already stored, and the marks are set last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyiceberg.catalog import Catalog
from pyiceberg.expressions import AlwaysTrue, In
from pyiceberg.table import Table

from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.progress import SilverMark, clear_mark, read_mark, write_mark
from orchestration.catalog.snapshots import (
    added_rows,
    current_id,
    holds_rows_of,
    read_appended,
    snapshots_after,
    total_rows,
)
from orchestration.contracts import DatasetContract
from orchestration.errors import CatalogError
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.submit import JobResult
from orchestration.lakehouse.flink_run import Say, be_silent, only_writer, run_insert
from orchestration.lakehouse.quality import touched_dates
from orchestration.lakehouse.silver_result import Kind, SilverResult
from orchestration.lakehouse.statements import (
    create_judged,
    create_rejected,
    create_silver,
    rebuild_rejected,
    rebuild_silver,
    refresh_silver,
    statement_set,
    store_rejected,
)
from orchestration.lakehouse.streams.owner import require_no_stream
from orchestration.lakehouse.streams.refresh import is_streamed, refresh_streamed
from orchestration.naming import silver_job
from orchestration.settings import Settings
from orchestration.sql import split_table

OPEN_PARTITIONS = 45
"""Partitions that one job writes: a month and its stragglers. Iceberg's Flink writers keep a file of each open to the
end of the job, several MB of heap a file and writer; a year at once would need more than the TaskManager has."""


@dataclass(frozen=True)
class SilverPlan:
    """What a run has to do, and why.

    Attributes:
        after: read bronze snapshots after this one; None: all of bronze.
        upto: bronze's snapshot that the run ends at; None: bronze has no data.
        bronze_rows: rows that appends between the two added.
    """

    kind: Kind
    reason: str
    after: int | None = None
    upto: int | None = None
    bronze_rows: int = 0


def plan_silver(
    bronze: Table | None, silver: Table | None, mark: SilverMark | None, fingerprint: str, *, full: bool
) -> SilverPlan:
    """Decide between nothing, a refresh and a rebuild."""
    upto = current_id(bronze) if bronze is not None else None
    if bronze is None or upto is None:
        return SilverPlan("up_to_date", "bronze holds no rows")

    def rebuild(reason: str) -> SilverPlan:
        return SilverPlan("rebuild", reason, None, upto, total_rows(bronze))

    if full:
        return rebuild("a full refresh was asked for")
    if silver is None or mark is None:
        return rebuild("silver was not built yet, or a rebuild was cut off")
    if mark.fingerprint != fingerprint:
        return rebuild("the contract or its parameters changed")
    if mark.snapshot_id is not None and snapshots_after(silver, mark.snapshot_id) is None:
        return rebuild("silver was rolled back behind its mark")
    newer = snapshots_after(bronze, mark.bronze_snapshot_id)
    if newer is None:
        return rebuild("the bronze snapshot that silver stands at is gone")
    if added_rows(newer) == 0:
        return SilverPlan("up_to_date", "bronze has no new rows", mark.bronze_snapshot_id, upto)
    return SilverPlan("refresh", f"{len(newer)} new bronze snapshots", mark.bronze_snapshot_id, upto, added_rows(newer))


def refresh_silver_table(
    settings: Settings, contract: DatasetContract, *, full_refresh: bool = False, say: Say = be_silent
) -> SilverResult:
    """Bring silver and its rejected rows up to bronze's current snapshot. Idempotent.

    What a stream wrote since the last refresh is mended by key, also while it runs (streams/refresh.py).

    Args:
        full_refresh: rebuild from all of bronze.

    Raises:
        BusyError: another run refreshes the same table.
        ConflictError: silver has to be rebuilt and the stream writes it, or the stream is down.
        JobFailedError, UnreachableError, CatalogError: as they say; readers keep the content of before.
    """
    settings.require_writable_catalog()
    if is_streamed(settings, contract, full=full_refresh):
        return refresh_streamed(settings, contract, say)
    with only_writer(settings, contract.tables.silver, silver_job(contract.name), say) as rest:
        require_no_stream(settings, contract, "the rebuild of silver")
        return _Refresh(settings, contract, rest, open_catalog(settings), say).run(full_refresh)


class _Refresh:
    """One run under the lock."""

    def __init__(
        self, settings: Settings, contract: DatasetContract, rest: FlinkRest, catalog: Catalog, say: Say
    ) -> None:
        self._settings, self._contract, self._rest, self._catalog, self._say = settings, contract, rest, catalog, say

    def run(self, full: bool) -> SilverResult:
        tables = self._contract.tables
        bronze, silver, rejected = (
            find_table(self._catalog, name) for name in (tables.bronze, tables.silver, tables.rejected)
        )
        mark = read_mark(silver, SilverMark) if silver is not None else None
        plan = plan_silver(bronze, silver, mark, self._contract.fingerprint(), full=full)
        self._say(f"{tables.silver}: {plan.kind.replace('_', ' ')}, {plan.reason}")
        before = total_rows(silver), total_rows(rejected)
        current_silver = current_id(silver) if silver is not None else None
        touched: Sequence[date] = ()
        rejected_by: Mapping[str, int] = {}
        jobs: tuple[JobResult, ...] = ()
        if plan.kind != "up_to_date" and bronze is not None and plan.upto is not None:
            if plan.kind == "rebuild" and silver is not None:
                # A rebuild that is cut off then starts anew.
                clear_mark(silver)
            touched = touched_dates(self._contract, bronze, after=plan.after, upto=plan.upto)
            stored = current_id(rejected) if rejected is not None else None
            jobs = self._write(plan, touched, silver, rejected, mark)
            silver, rejected = self._must_find(tables.silver), self._must_find(tables.rejected)
            if plan.kind == "rebuild":
                self._drop_stale(silver, before=current_silver)
                rejected = self._drop_stale_rejected(rejected, before=stored)
            rejected_by = _count_by_rule(rejected, after=stored if plan.kind == "refresh" else None)
        if silver is not None and plan.upto is not None:
            write_mark(
                silver,
                SilverMark(
                    bronze_snapshot_id=plan.upto,
                    snapshot_id=current_id(silver),
                    rejected_snapshot_id=current_id(rejected) if rejected is not None else None,
                    fingerprint=self._contract.fingerprint(),
                ),
            )
        return SilverResult(
            kind=plan.kind,
            reason=plan.reason,
            rows=total_rows(silver) - before[0],
            total_rows=total_rows(silver),
            rejected=total_rows(rejected) - before[1],
            total_rejected=total_rows(rejected),
            bronze_rows_read=sum(job.records_read(split_table(tables.bronze)[1]) for job in jobs),
            bronze_snapshot_id=plan.upto,
            snapshot_id=current_id(silver) if silver is not None else None,
            rejected_snapshot_id=current_id(rejected) if rejected is not None else None,
            touched=touched,
            rejected_by=rejected_by,
            jobs=jobs,
        )

    def _write(
        self,
        plan: SilverPlan,
        touched: Sequence[date],
        silver: Table | None,
        rejected: Table | None,
        mark: SilverMark | None,
    ) -> tuple[JobResult, ...]:
        """Run one job, or one for each group of partitions; the first one writes the rejected rows as well."""
        contract = self._contract
        assert plan.upto is not None
        is_rebuild = plan.kind == "rebuild"
        # Snapshots after the mark are of a run that was killed between its commit and its mark.
        marked = mark.rejected_snapshot_id if mark is not None else None
        was_cut_off = rejected is not None and not holds_rows_of(rejected, marked)
        refused = rebuild_rejected(contract) if is_rebuild else store_rejected(contract, skip_stored=was_cut_off)
        groups = [touched[first : first + OPEN_PARTITIONS] for first in range(0, len(touched), OPEN_PARTITIONS)]
        jobs: list[JobResult] = []
        for number, days in enumerate(groups or [()]):
            within = (days[0], days[-1]) if len(groups) > 1 else None
            inserts: list[str] = []
            if days:
                inserts.append(
                    rebuild_silver(contract, within) if is_rebuild else refresh_silver(contract, days, within)
                )
            if number == 0:
                inserts.append(refused)
            part = f", part {number + 1} of {len(groups)}" if within else ""
            self._say(f"reading {plan.bronze_rows:,} bronze rows, writing {len(days)} partitions{part}")
            jobs.append(
                run_insert(
                    self._settings,
                    contract,
                    self._rest,
                    name=silver_job(contract.name),
                    tables={
                        "silver": create_silver(contract),
                        "rejected": create_rejected(contract),
                        "judged": create_judged(contract, after=plan.after, upto=plan.upto),
                    },
                    insert=statement_set(inserts),
                    state=f"{_version(silver)}|{_version(rejected)}|{plan.kind}|{plan.after}|{contract.fingerprint()}"
                    f"|{within}",
                )
            )
        return tuple(jobs)

    def _drop_stale(self, silver: Table, before: int | None) -> None:
        """Delete the partitions that this rebuild gave no row: an overwrite replaces only those that get some.

        Args:
            before: silver's snapshot when the rebuild began.
        """
        name = self._contract.partition.name
        newer = snapshots_after(silver, before)
        if newer is None:
            raise CatalogError(
                f"{self._contract.tables.silver} was rolled back while it was rebuilt",
                hint="run again: the rebuild starts anew",
            )
        written = {snapshot.snapshot_id for snapshot in newer}
        partitions = silver.inspect.partitions().select(["partition", "last_updated_snapshot_id"]).to_pylist()
        stale = {row["partition"][name] for row in partitions if row["last_updated_snapshot_id"] not in written}
        if stale:
            self._say(f"dropping {len(stale)} partitions that hold no valid row any more")
            silver.delete(In(name, stale))  # pyright: ignore[reportCallIssue]  # built by a metaclass

    def _drop_stale_rejected(self, rejected: Table, before: int | None) -> Table:
        """Delete the rejected rows of before if this rebuild refused none: an overwrite without rows replaces none."""
        if current_id(rejected) != before or not total_rows(rejected):
            return rejected
        rejected.delete(AlwaysTrue())
        return self._must_find(self._contract.tables.rejected)

    def _must_find(self, name: str) -> Table:
        table = find_table(self._catalog, name)
        if table is None:
            raise CatalogError(f"{name} does not exist although the job that makes it finished")
        return table


def _version(table: Table | None) -> str:
    return f"{table.metadata.table_uuid}@{current_id(table)}" if table is not None else "none"


def _count_by_rule(rejected: Table, after: int | None) -> dict[str, int]:
    if current_id(rejected) == after:
        return {}
    stored = read_appended(rejected, ("rejected_by",), after=after).read_all()
    counts = stored.group_by("rejected_by").aggregate([("rejected_by", "count")]).to_pylist()
    return {row["rejected_by"]: row["rejected_by_count"] for row in counts}
