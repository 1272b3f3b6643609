"""Expiring snapshots: out of the metadata first, then the files that only they needed.

PyIceberg 0.12 does the first half and leaves the files. Ours also asks the catalog to refuse if a branch or tag moved
meanwhile: somebody may just have rolled back to a snapshot that is about to go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID, RemoveSnapshotsUpdate

from orchestration.catalog.commits import commit_beside_writers
from orchestration.catalog.files import Manifests, reachable
from orchestration.catalog.journal import Journal
from orchestration.catalog.locations import Store, is_below, normalize
from orchestration.catalog.retention import ExpiryPlan, Needed, RefFacts, Retention, SnapshotFacts, plan_expiry
from orchestration.waiting import Backoff


@dataclass(frozen=True)
class Expired:
    """What expiry did, or with a dry run would do.

    Attributes:
        skipped: why the table is left alone; None if it is not.
        snapshots, kept: how many expired and how many are left.
        files: files deleted because only expired snapshots needed them.
        held: old snapshots that are kept, with the reason.
    """

    skipped: str | None = None
    snapshots: int = 0
    kept: int = 0
    files: int = 0
    held: dict[int, str] = field(default_factory=dict[int, str])


def plan_table(table: Table, retention: Retention, needed: Needed, now: datetime) -> ExpiryPlan:
    """Return which snapshots of a table expire. Its properties `history.expire.*` go before `retention`."""
    properties = table.properties
    own = Retention(
        max_age_ms=int(properties.get("history.expire.max-snapshot-age-ms", retention.max_age_ms)),
        retain_last=int(properties.get("history.expire.min-snapshots-to-keep", retention.retain_last)),
    )
    refs = [
        RefFacts(
            name,
            ref.snapshot_id,
            ref.snapshot_ref_type is SnapshotRefType.BRANCH,
            ref.min_snapshots_to_keep,
            ref.max_snapshot_age_ms,
        )
        for name, ref in table.metadata.refs.items()
    ]
    facts = [facts_of(snapshot) for snapshot in table.metadata.snapshots]
    return plan_expiry(facts, refs, own, needed, int(now.timestamp() * 1000))


def facts_of(snapshot: Snapshot) -> SnapshotFacts:
    """Return what decisions need to know of a snapshot."""
    summary = snapshot.summary.additional_properties if snapshot.summary is not None else {}
    checkpoint = summary.get("flink.max-committed-checkpoint-id")
    return SnapshotFacts(
        id=snapshot.snapshot_id,
        parent_id=snapshot.parent_snapshot_id,
        at_ms=snapshot.timestamp_ms,
        job_id=summary.get("flink.job-id"),
        checkpoint_id=int(checkpoint) if checkpoint is not None else None,
    )


def collects_garbage(table: Table) -> bool:
    """Whether the table lets its files be deleted (`gc.enabled`): false where other tables share them."""
    return table.properties.get("gc.enabled", "true").lower() != "false"


def expire_table(
    table: Table,
    retention: Retention,
    needed: Callable[[], Needed],
    journal: Journal,
    now: datetime,
    *,
    is_dry_run: bool = False,
) -> Expired:
    """Expire old snapshots of a table and delete the files that only they needed. Idempotent.

    Args:
        needed: asked once the table is known to have old snapshots.
        journal: learns the files before the commit. The caller cleans up what an earlier run left in it before.

    Raises:
        OvertakenError: the table did not stand still for a minute.
        CatalogError: it cannot be known whether the commit arrived.
    """
    if not collects_garbage(table):
        return Expired("its property gc.enabled is false", kept=len(table.metadata.snapshots))
    attempt = _Attempt(table, retention, needed, journal, now, is_dry_run)
    done = commit_beside_writers(table, attempt.run, doing="the expiry", backoff=Backoff(0.02, 0.5, jitter=0.5))
    if not is_dry_run and done.snapshots:
        table.refresh()
        clean_up(table, journal, attempt.manifests)
    return done


class _Attempt:
    """Expiry in the making. What takes long is done once, so that a try takes no longer than a writer's commit."""

    def __init__(
        self,
        table: Table,
        retention: Retention,
        needed: Callable[[], Needed],
        journal: Journal,
        now: datetime,
        is_dry_run: bool,
    ) -> None:
        self._table, self._retention, self._ask, self._journal = table, retention, needed, journal
        self._now, self._is_dry_run = now, is_dry_run
        self.manifests = Manifests(table.io)
        self._needed = Needed(jobs=())
        self._plan = ExpiryPlan()
        self._files: set[str] = set()

    def run(self) -> tuple[Expired | None, object]:
        """Try once; None while somebody is faster."""
        table = self._table
        table.refresh()
        total = len(table.metadata.snapshots)
        # What would go now must still include all that is to go: a rollback may have brought some of it back.
        if not self._plan.expired or not set(self._plan.expired) <= set(self._look().expired):
            if not self._prepare():
                return Expired(kept=total, held=dict(self._plan.held)), "nothing to expire"
            if not self._is_dry_run:
                return None, "planned"
        gone = len(self._plan.expired)
        done = Expired(None, gone, total - gone, len(self._files), dict(self._plan.held))
        if self._is_dry_run:
            return done, "planned"
        try:
            _commit(table, self._plan)
        except CommitFailedException as error:
            return None, error
        return done, "done"

    def _look(self) -> ExpiryPlan:
        return plan_table(self._table, self._retention, self._needed, self._now)

    def _prepare(self) -> bool:
        """Plan, and write down which files go; False if nothing does."""
        self._needed = Needed(jobs=())
        self._plan = ExpiryPlan()
        if not self._look().expired:
            # Asking who needs what takes a look at every table of the catalog.
            return False
        self._needed = self._ask()
        self._plan = self._look()
        if not self._plan.expired:
            return False
        self._files = _only_of(self._table, self._plan, self.manifests)
        if not self._is_dry_run:
            self._journal.add(self._files)
        return True


def clean_up(table: Table, journal: Journal, manifests: Manifests | None = None) -> int:
    """Delete the files of a journal that no snapshot of the table needs, and clear it; return how many there were."""
    # Only below the table: a table of the same name may have stood elsewhere when the journal was written.
    listed = {one for one in journal.locations() if is_below(one, table.location())}
    if not listed:
        journal.clear()
        return 0
    store = Store(table.io, table.location())
    needed = reachable(table, manifests)
    deleted = store.delete({normalize(one) for one in listed} - needed)
    journal.clear()
    return deleted


def _only_of(table: Table, plan: ExpiryPlan, manifests: Manifests) -> set[str]:
    if not plan.expired:
        return set()
    gone = set(plan.expired)
    by_fate: dict[bool, list[Snapshot]] = {True: [], False: []}
    for snapshot in table.metadata.snapshots:
        by_fate[snapshot.snapshot_id in gone].append(snapshot)
    only = manifests.reach(by_fate[True]) - manifests.reach(by_fate[False])
    return {location for location in only if is_below(location, table.location())}


def _commit(table: Table, plan: ExpiryPlan) -> None:
    requirements = [
        AssertRefSnapshotId.model_validate({"ref": name, "snapshot-id": ref.snapshot_id})
        for name, ref in table.metadata.refs.items()
    ]
    table.catalog.commit_table(
        table,
        (AssertTableUUID(uuid=table.metadata.table_uuid), *requirements),
        (RemoveSnapshotsUpdate.model_validate({"snapshot-ids": list(plan.expired)}),),
    )
