"""Which files to write anew together, by their statistics alone. Pure decisions."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from pyiceberg.utils.bin_packing import ListPacker

MANIFESTS_TO_MERGE = 10
"""Small manifests of one kind from which on they are merged: below, reading them costs a scan nothing that shows."""


@dataclass(frozen=True)
class SizePolicy:
    """How large data files should be.

    Attributes:
        target_bytes: of a written file.
        min_bytes: a smaller file is small.
        min_files: so many small files of a partition are worth a rewrite; fewer only if they fill a whole file.
    """

    target_bytes: int = 134_217_728
    min_bytes: int = 33_554_432
    min_files: int = 5


@dataclass(frozen=True)
class FileFacts:
    """What a plan needs to know of a data file.

    Attributes:
        partition: equal for files that may be merged: spec and values.
        sequence: order of arrival.
        deleted_rows: rows that delete files take out of it.
    """

    path: str
    partition: Hashable
    size_bytes: int
    rows: int
    sequence: int
    deleted_rows: int = 0


def plan_groups(files: Iterable[FileFacts], policy: SizePolicy) -> list[tuple[FileFacts, ...]]:
    """Return the groups of files that shall become one file each (or none, if no row is left).

    Small files of a partition are packed in order of arrival, so that rows which came together stay together, into
    groups of at most the target size. A group is worth it if it has many files, or is as large as a file should be, or
    folds in deletes. Files that are large enough and whole are left alone.
    """
    of_partition: dict[Hashable, list[FileFacts]] = {}
    for file in sorted(files, key=lambda one: (one.sequence, one.path)):
        if file.size_bytes < policy.min_bytes or file.deleted_rows:
            of_partition.setdefault(file.partition, []).append(file)
    packer = ListPacker[FileFacts](policy.target_bytes, lookback=1, largest_bin_first=False)
    return [
        tuple(group)
        for candidates in of_partition.values()
        for group in packer.pack(candidates, lambda file: file.size_bytes)
        if _is_worth_it(group, policy)
    ]


def _is_worth_it(group: Sequence[FileFacts], policy: SizePolicy) -> bool:
    if any(file.deleted_rows for file in group) or len(group) >= policy.min_files:
        return True
    # So large that no other small file fitted in.
    is_full = sum(file.size_bytes for file in group) > policy.target_bytes - policy.min_bytes
    return len(group) > 1 and is_full


@dataclass(frozen=True)
class ManifestFacts:
    """What a plan needs to know of a manifest.

    Attributes:
        kind: equal for manifests that may be merged: partition spec and content.
    """

    path: str
    kind: Hashable
    size_bytes: int


def plan_manifests(manifests: Iterable[ManifestFacts], target_bytes: int) -> list[tuple[str, ...]]:
    """Return the groups of manifests, by path, that shall become one manifest each.

    Only small ones, and only if there are many: a commit a minute leaves 1,440 of them a day, and each is a request.
    """
    small: dict[Hashable, list[ManifestFacts]] = {}
    for manifest in manifests:
        if manifest.size_bytes < target_bytes // 2:
            small.setdefault(manifest.kind, []).append(manifest)
    packer = ListPacker[ManifestFacts](target_bytes, lookback=1, largest_bin_first=False)
    return [
        tuple(manifest.path for manifest in group)
        for found in small.values()
        if len(found) >= MANIFESTS_TO_MERGE
        for group in packer.pack(found, lambda manifest: manifest.size_bytes)
        if len(group) > 1
    ]


def batches(groups: Iterable[tuple[FileFacts, ...]], most_bytes: int) -> list[list[tuple[FileFacts, ...]]]:
    """Return the groups in lots of at most `most_bytes`, each of which is one commit."""
    packer = ListPacker[tuple[FileFacts, ...]](most_bytes, lookback=1, largest_bin_first=False)
    return packer.pack(list(groups), lambda group: sum(file.size_bytes for file in group))
