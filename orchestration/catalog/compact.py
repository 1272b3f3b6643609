"""Compaction of one table: small files merged, deletes folded in, manifests merged. The rows stay the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from pyiceberg.manifest import DataFile, ManifestEntry
from pyiceberg.table import Table

from orchestration.catalog.compaction import FileFacts, SizePolicy, batches, plan_groups, plan_manifests
from orchestration.catalog.files import Head, Manifests, has_equality_deletes, read_head, read_position_deletes
from orchestration.catalog.journal import Journal
from orchestration.catalog.locations import normalize
from orchestration.catalog.manifests import manifest_facts, manifest_target
from orchestration.catalog.replace import Replaced, Replacement, Swap
from orchestration.catalog.rewrite import merged_name, write_merged

_COMMIT_BYTES = 4 * 1024**3
"""Data that one commit replaces: a kill costs at most its work, and a writer loses the race for a commit rarely."""
_ROUNDS = 3
"""A merged file can be so much smaller than its parts that it is small again."""

Guard = Callable[[], AbstractContextManager[None]]
"""Opened around each commit."""


@dataclass(frozen=True)
class CompactionPlan:
    """What compaction would do to a table now.

    Attributes:
        skipped: why the table cannot be compacted; None if it can.
        groups: files that become one.
        dangling: delete files that no live row needs.
        manifests: how many would be merged.
        files, size_bytes, delete_files: of the table now.
    """

    skipped: str | None = None
    groups: tuple[tuple[FileFacts, ...], ...] = ()
    dangling: int = 0
    manifests: int = 0
    files: int = 0
    size_bytes: int = 0
    delete_files: int = 0

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.groups or self.dangling or self.manifests)

    @property
    def input_files(self) -> int:
        """Files that would be replaced."""
        return sum(len(group) for group in self.groups)

    @property
    def input_bytes(self) -> int:
        """Bytes of them."""
        return sum(file.size_bytes for group in self.groups for file in group)


@dataclass(frozen=True)
class Compacted:
    """What compaction did.

    Attributes:
        files_before, files_after: data files of the whole table; bytes likewise.
        removed, added: data files that were replaced, and that replaced them.
        deletes_removed: delete files that were folded in or that no row needed any more.
        conflicts: groups that were written in vain, because a writer changed their files meanwhile.
        snapshot_ids: the commits.
    """

    skipped: str | None = None
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    manifests_before: int = 0
    manifests_after: int = 0
    removed: int = 0
    added: int = 0
    deletes_removed: int = 0
    conflicts: int = 0
    snapshot_ids: tuple[int, ...] = ()


def plan_compaction(table: Table, policy: SizePolicy) -> CompactionPlan:
    """Return what compaction would do; reads manifests and, where there are any, delete files."""
    return _Look(table, policy, Manifests(table.io)).plan


def compact_table(table: Table, policy: SizePolicy, journal: Journal, guard: Guard = nullcontext) -> Compacted:
    """Compact a table beside its writers. Idempotent: a second run finds nothing to do.

    Args:
        journal: learns each file before it is written. The caller cleans up what an earlier run left in it before.
        guard: opened around each commit, such as the lock that keeps batch runs of ours apart from it.

    Raises:
        CatalogError: files hold other rows than their metadata says, or the commit was not possible.
    """
    manifests = Manifests(table.io)
    first = look = _Look(table, policy, manifests)
    # An empty lot commits what needs no rewrite: manifests to merge, delete files that nothing needs.
    lots = batches(first.plan.groups, _COMMIT_BYTES) or ([[]] if first.plan.is_needed else [])
    done: list[Replaced] = []
    conflicts = 0
    for _ in range(_ROUNDS):
        for lot in lots:
            swaps = [look.rewrite(group, journal) for group in lot]
            with guard():
                replaced = Replacement(table, swaps, look.deletes, journal, manifests).commit()
            journal.clear()
            done.append(replaced)
            conflicts += len(swaps) - len(replaced.applied)
        table.refresh()
        look = _Look(table, policy, manifests)
        # Not what a writer added meanwhile: to run after it would be to race it for every commit.
        made = {swap.added.file_path for one in done for swap in one.applied if swap.added is not None}
        small_again = [group for group in look.plan.groups if all(file.path in made for file in group)]
        lots = batches(small_again, _COMMIT_BYTES)
        if not lots:
            break
    commits = [one for one in done if one.snapshot_id is not None]
    applied = [swap for one in commits for swap in one.applied]
    return Compacted(
        skipped=first.plan.skipped,
        files_before=first.plan.files,
        files_after=look.plan.files,
        bytes_before=first.plan.size_bytes,
        bytes_after=look.plan.size_bytes,
        manifests_before=first.manifests,
        manifests_after=look.manifests,
        removed=sum(len(swap.removed) for swap in applied),
        added=sum(swap.added is not None for swap in applied),
        deletes_removed=sum(one.deletes_removed for one in commits),
        conflicts=conflicts,
        snapshot_ids=tuple(one.snapshot_id for one in commits if one.snapshot_id is not None),
    )


class _Look:
    """A table's head, and what the policy says of it."""

    def __init__(self, table: Table, policy: SizePolicy, manifests: Manifests) -> None:
        self._table = table
        self._head = read_head(table, manifests)
        self.manifests = len(self._head.manifests) if self._head else 0
        self.deletes: Mapping[str, Mapping[str, frozenset[int]]] = {}
        self._applying: dict[str, list[ManifestEntry]] = {}
        self.plan = self._plan(self._head, policy) if self._head else CompactionPlan()

    def _plan(self, head: Head, policy: SizePolicy) -> CompactionPlan:
        now = CompactionPlan(files=len(head.data), size_bytes=head.size_bytes, delete_files=len(head.deletes))
        if self._table.format_version != 2:
            return replace(now, skipped=f"format version {self._table.format_version}: only version 2 is compacted")
        if has_equality_deletes(head.deletes):
            return replace(now, skipped="it has deletes by value, which PyIceberg cannot apply")
        self.deletes = read_position_deletes(self._table.io, head.deletes)
        deleted = self._apply_deletes(head)
        facts = [
            FileFacts(
                path=entry.data_file.file_path,
                partition=(entry.data_file.spec_id, entry.data_file.partition),
                size_bytes=entry.data_file.file_size_in_bytes,
                rows=entry.data_file.record_count,
                sequence=entry.sequence_number or 0,
                deleted_rows=deleted.get(entry.data_file.file_path, 0),
            )
            for entry in head.data
            # Rows of an older partition spec would have to be parted anew.
            if entry.data_file.spec_id == self._table.metadata.default_spec_id
        ]
        groups = tuple(plan_groups(facts, policy))
        in_use = {entry.data_file.file_path for entries in self._applying.values() for entry in entries}
        merged = plan_manifests(manifest_facts(head), manifest_target(self._table))
        return replace(
            now,
            groups=groups,
            dangling=sum(entry.data_file.file_path not in in_use for entry in head.deletes),
            manifests=sum(len(group) for group in merged),
        )

    def _apply_deletes(self, head: Head) -> dict[str, int]:
        """Return data file to the number of its deleted rows, and remember which delete files apply to it."""
        by_location = {normalize(entry.data_file.file_path): entry for entry in head.data}
        positions: dict[str, set[int]] = {}
        for delete in head.deletes:
            for target, deleted in self.deletes[delete.data_file.file_path].items():
                data = by_location.get(normalize(target))
                if data is None or (delete.sequence_number or 0) < (data.sequence_number or 0):
                    continue
                path = data.data_file.file_path
                positions.setdefault(path, set()).update(deleted)
                self._applying.setdefault(path, []).append(delete)
        return {path: len(deleted) for path, deleted in positions.items()}

    def rewrite(self, group: Sequence[FileFacts], journal: Journal) -> Swap:
        """Write the file that takes the place of a group."""
        assert self._head is not None
        entries = {entry.data_file.file_path: entry.data_file for entry in self._head.data}
        files: list[tuple[DataFile, list[DataFile]]] = [
            (entries[file.path], [delete.data_file for delete in self._applying.get(file.path, [])]) for file in group
        ]
        location = merged_name(self._table, files[0][0], f"compact-{uuid.uuid4()}.parquet")
        journal.add([location])
        rows = sum(file.rows - file.deleted_rows for file in group)
        merged = write_merged(self._table, files, location, rows=rows)
        return Swap(tuple(file.path for file in group), merged, self._head.snapshot.sequence_number or 0)
