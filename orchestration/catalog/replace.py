"""A commit of operation `replace`: other files, the same rows. PyIceberg 0.12 has none, but all the parts of one.

Readers of appends (Flink's incremental source, PyIceberg's scan, our own progress marks) pass over such a snapshot. The
commit is optimistic: if a writer was faster it is made again upon what that one left, and what was rewritten from
files that are gone by then is dropped. A writer never waits for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRef, SnapshotRefType
from pyiceberg.table.snapshots import (
    Operation,
    Snapshot,
    SnapshotSummaryCollector,
    Summary,
    update_snapshot_summaries,
)
from pyiceberg.table.update import AddSnapshotUpdate, AssertRefSnapshotId, AssertTableUUID, SetSnapshotRefUpdate

from orchestration.catalog.commits import UNKNOWN, OvertakenError, commit_beside_writers
from orchestration.catalog.files import Head, Manifests, read_head, read_position_deletes
from orchestration.catalog.journal import Journal
from orchestration.catalog.locations import Store, normalize
from orchestration.catalog.manifests import ManifestPlan, write_list, write_manifests
from orchestration.waiting import Backoff

MAINTENANCE = "millrace.maintenance"
"""Key in a snapshot's summary that says which step of ours made it."""
"""How long a commit is tried while writers are faster; an attempt takes as long as theirs do."""


@dataclass(frozen=True)
class Swap:
    """Data files, and the one that holds their live rows; None if they have none.

    Attributes:
        sequence_number: of the snapshot that the rows were read from. A delete by value that comes later still meets
            the rows, as it would have met them in the old files.
    """

    removed: tuple[str, ...]
    added: DataFile | None
    sequence_number: int


@dataclass(frozen=True)
class Replaced:
    """What a commit did.

    Attributes:
        snapshot_id: None if there was nothing left to do.
        applied: the swaps in it; the others met a concurrent change of their files.
        deletes_removed: delete files that no live row needs any more.
        manifests_before, manifests_after: of the whole table.
    """

    snapshot_id: int | None
    applied: tuple[Swap, ...] = ()
    deletes_removed: int = 0
    manifests_before: int = 0
    manifests_after: int = 0


class Replacement:
    """One commit in the making.

    Args:
        deletes: delete file to data file to positions, of the head that the swaps were read from.
        journal: learns of each file before it is written.
    """

    def __init__(
        self,
        table: Table,
        swaps: Sequence[Swap],
        deletes: Mapping[str, Mapping[str, frozenset[int]]],
        journal: Journal,
        manifests: Manifests,
    ) -> None:
        self._table, self._swaps, self._journal, self._manifests = table, tuple(swaps), journal, manifests
        self._deletes = dict(deletes)
        self._snapshot_id = table.metadata.new_snapshot_id()
        self._made: set[str] = set()
        self._plan: ManifestPlan | None = None
        self._written: tuple[ManifestFile, ...] = ()
        self._applied: tuple[Swap, ...] = ()

    def commit(self) -> Replaced:
        """Commit, again while others are faster; what is not in the table afterwards is deleted.

        Raises:
            CatalogError: writers were faster for a minute, or it cannot be known whether the commit arrived.
        """
        try:
            done, keep = commit_beside_writers(
                self._table, self._try, doing="maintenance", backoff=Backoff(0.05, 1.0, jitter=0.3)
            )
        except OvertakenError:
            # After any other error the files stay: the commit may still arrive. The journal has them for the next run.
            self._discard(set())
            raise
        self._discard(keep)
        return done

    def _try(self) -> tuple[tuple[Replaced, set[str]] | None, object]:
        self._table.refresh()
        head = read_head(self._table, self._manifests)
        if head is None:
            return (Replaced(None), set()), "an empty table"
        if self._plan is None or not self._plan.fits(head):
            self._prepare(head)
        plan, written = self._plan, self._written
        if plan is None:
            return (Replaced(None), set()), "nothing left to do"
        listed = [*written, *(one for one in head.manifests if one.manifest_path not in plan.rewritten)]
        name = f"snap-{self._snapshot_id}-0-{uuid.uuid4()}.avro"
        location = self._table.location_provider().new_metadata_location(name)
        self._announce([location])
        write_list(self._table, head.snapshot, self._snapshot_id, location, listed)
        try:
            self._send(head.snapshot, location, plan)
        except CommitFailedException as error:
            return None, error
        except UNKNOWN:
            self._table.refresh()
            if self._table.snapshot_by_id(self._snapshot_id) is None:
                raise
        keep = {location, *(one.manifest_path for one in written)}
        keep.update(swap.added.file_path for swap in self._applied if swap.added is not None)
        done = Replaced(self._snapshot_id, self._applied, len(plan.removed_deletes), len(head.manifests), len(listed))
        return (done, {normalize(one) for one in keep}), "done"

    def _prepare(self, head: Head) -> None:
        """Decide what still applies to this head, and write the manifests for it."""
        unknown = [entry for entry in head.deletes if entry.data_file.file_path not in self._deletes]
        later = read_position_deletes(self._table.io, unknown)
        self._deletes.update(later)
        hit = {normalize(target) for targets in later.values() for target in targets}
        live = {entry.data_file.file_path for entry in head.data}
        self._applied = tuple(
            swap
            for swap in self._swaps
            if live.issuperset(swap.removed) and hit.isdisjoint(normalize(path) for path in swap.removed)
        )
        removed = {path for swap in self._applied for path in swap.removed}
        left = {normalize(path) for path in live - removed}
        dangling = {
            path
            for path in (entry.data_file.file_path for entry in head.deletes)
            if left.isdisjoint(normalize(target) for target in self._deletes[path])
        }
        plan = ManifestPlan.of(self._table, head, self._manifests, removed, dangling)
        if not plan.rewritten:
            self._plan = None
            return
        added = [(swap.added, swap.sequence_number) for swap in self._applied if swap.added is not None]
        self._plan = plan
        self._written = write_manifests(self._table, self._manifests, plan, added, self._snapshot_id, self._announce)

    def _send(self, parent: Snapshot, manifest_list: str, plan: ManifestPlan) -> None:
        table, metadata = self._table, self._table.metadata
        snapshot = Snapshot.model_validate(
            {
                "snapshot-id": self._snapshot_id,
                "parent-snapshot-id": parent.snapshot_id,
                "manifest-list": manifest_list,
                "sequence-number": metadata.next_sequence_number(),
                "summary": self._summary(parent, plan),
                "schema-id": metadata.current_schema_id,
            }
        )
        move, expected = head_update(table, self._snapshot_id)
        table.catalog.commit_table(
            table, (AssertTableUUID(uuid=metadata.table_uuid), expected), (AddSnapshotUpdate(snapshot=snapshot), move)
        )

    def _summary(self, parent: Snapshot, plan: ManifestPlan) -> Summary:
        metadata, schema = self._table.metadata, self._table.schema()
        specs, collector = metadata.specs(), SnapshotSummaryCollector()
        for swap in self._applied:
            if swap.added is not None:
                collector.add_file(swap.added, schema, specs[swap.added.spec_id])
        for file in plan.removed_files:
            collector.remove_file(file, schema, specs[file.spec_id])
        # It refuses `replace`, and counts an overwrite in the same way.
        properties: dict[str, Any] = {**collector.build(), MAINTENANCE: "compact"}
        counted = update_snapshot_summaries(
            Summary(Operation.OVERWRITE, **properties), parent.summary if parent.summary is not None else None
        )
        return Summary(Operation.REPLACE, **counted.additional_properties)

    def _announce(self, locations: Iterable[str]) -> None:
        made = list(locations)
        self._journal.add(made)
        self._made.update(normalize(one) for one in made)

    def _discard(self, keep: set[str]) -> None:
        made = self._made | {normalize(swap.added.file_path) for swap in self._swaps if swap.added is not None}
        Store(self._table.io, self._table.location()).delete(made - keep)


def head_update(table: Table, snapshot_id: int) -> tuple[SetSnapshotRefUpdate, AssertRefSnapshotId]:
    """Return the update that makes a snapshot the head of `main`, and the requirement that `main` did not move."""
    ref: SnapshotRef | None = table.metadata.refs.get(MAIN_BRANCH)
    update = SetSnapshotRefUpdate.model_validate(
        {
            "ref-name": MAIN_BRANCH,
            "type": SnapshotRefType.BRANCH,
            "snapshot-id": snapshot_id,
            "max-ref-age-ms": ref.max_ref_age_ms if ref else None,
            "max-snapshot-age-ms": ref.max_snapshot_age_ms if ref else None,
            "min-snapshots-to-keep": ref.min_snapshots_to_keep if ref else None,
        }
    )
    here = ref.snapshot_id if ref else None
    return update, AssertRefSnapshotId.model_validate({"ref": MAIN_BRANCH, "snapshot-id": here})
