"""Writing the manifests of a `replace` snapshot: what is added, what is gone, and the rest in few files."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from pyiceberg.avro.codecs import AvroCompressionCodec
from pyiceberg.manifest import (
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.table import Table, TableProperties
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.utils.bin_packing import ListPacker
from pyiceberg.utils.properties import property_as_int

from orchestration.catalog.compaction import ManifestFacts, plan_manifests
from orchestration.catalog.files import Head, Manifests

Kind = tuple[int, ManifestContent]
"""Partition spec and content: what the files of one manifest have in common."""


class _DeletesWriter(ManifestWriterV2):
    """A manifest of delete files: PyIceberg 0.12 writes those of data files only."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


@dataclass(frozen=True)
class ManifestPlan:
    """Which manifests of a head are written anew.

    Attributes:
        sources: groups of manifests of one kind, each of which becomes one.
        rewritten: paths of all of them.
        delete_manifests: paths of the head's manifests of delete files.
        removed, removed_deletes: paths of the data and delete files that leave the table.
        removed_files: both.
    """

    sources: tuple[tuple[Kind, tuple[ManifestFile, ...]], ...]
    rewritten: frozenset[str]
    delete_manifests: frozenset[str]
    removed: frozenset[str]
    removed_deletes: frozenset[str]
    removed_files: tuple[DataFile, ...]

    @classmethod
    def of(
        cls, table: Table, head: Head, manifests: Manifests, removed: Collection[str], dangling: Collection[str]
    ) -> ManifestPlan:
        """Plan the removal of files, and the merging of small manifests where there are many."""
        target = manifest_target(table)
        gone = {*removed, *dangling}
        merged = {path for group in plan_manifests(manifest_facts(head), target) for path in group}
        touched: dict[Kind, list[ManifestFile]] = {}
        files: list[DataFile] = []
        for manifest in head.manifests:
            lost = [e.data_file for e in manifests.entries(manifest) if e.data_file.file_path in gone]
            files += lost
            if lost or manifest.manifest_path in merged:
                touched.setdefault(kind_of(manifest), []).append(manifest)
        packer = ListPacker[ManifestFile](target, lookback=1, largest_bin_first=False)
        sources = [
            (kind, tuple(group))
            for kind, found in touched.items()
            for group in packer.pack(found, lambda one: one.manifest_length)
        ]
        return cls(
            sources=tuple(sources),
            rewritten=frozenset(one.manifest_path for _, group in sources for one in group),
            delete_manifests=_delete_manifests(head),
            removed=frozenset(removed),
            removed_deletes=frozenset(dangling),
            removed_files=tuple(files),
        )

    def fits(self, head: Head) -> bool:
        """Whether a later head still has all that is rewritten, and no delete file that was not looked at."""
        listed = {manifest.manifest_path for manifest in head.manifests}
        return self.rewritten <= listed and _delete_manifests(head) <= self.delete_manifests


def kind_of(manifest: ManifestFile) -> Kind:
    """Return what a manifest must share with another one to be merged with it."""
    return manifest.partition_spec_id, manifest.content


def manifest_facts(head: Head) -> list[ManifestFacts]:
    """Return what the plan of merging needs to know of a head's manifests."""
    return [ManifestFacts(one.manifest_path, kind_of(one), one.manifest_length) for one in head.manifests]


def manifest_target(table: Table) -> int:
    """Return the size in bytes that the table's manifests should have (`commit.manifest.target-size-bytes`)."""
    default = TableProperties.MANIFEST_TARGET_SIZE_BYTES_DEFAULT
    return property_as_int(table.properties, TableProperties.MANIFEST_TARGET_SIZE_BYTES, default) or default


def write_manifests(
    table: Table,
    manifests: Manifests,
    plan: ManifestPlan,
    added: Iterable[tuple[DataFile, int]],
    snapshot_id: int,
    announce: Callable[[Iterable[str]], None],
) -> tuple[ManifestFile, ...]:
    """Write the manifests of a plan for the snapshot `snapshot_id`.

    Args:
        added: new data files with their data sequence numbers.
        announce: told the location of each manifest before it is written.
    """
    made: list[ManifestFile] = []
    gone = plan.removed | plan.removed_deletes

    def write(kind: Kind, entries: Sequence[ManifestEntry], status: ManifestEntryStatus) -> None:
        if not entries:
            return
        location = table.location_provider().new_metadata_location(f"{uuid.uuid4()}-m0.avro")
        announce([location])
        with _writer(table, kind, location, snapshot_id) as writer:
            for entry in entries:
                _WRITE[status](writer, entry)
        made.append(writer.to_manifest_file())

    of_spec: dict[int, list[ManifestEntry]] = {}
    for file, sequence_number in added:
        entry = ManifestEntry.from_args(
            status=ManifestEntryStatus.ADDED, snapshot_id=snapshot_id, sequence_number=sequence_number, data_file=file
        )
        of_spec.setdefault(file.spec_id, []).append(entry)
    for spec_id, entries in of_spec.items():
        write((spec_id, ManifestContent.DATA), entries, ManifestEntryStatus.ADDED)
    for kind, group in plan.sources:
        entries = [entry for manifest in group for entry in manifests.entries(manifest)]
        kept = [entry for entry in entries if entry.data_file.file_path not in gone]
        lost = [entry for entry in entries if entry.data_file.file_path in gone]
        write(kind, kept, ManifestEntryStatus.EXISTING)
        write(kind, [_without_statistics(entry) for entry in lost], ManifestEntryStatus.DELETED)
    return tuple(made)


def write_list(
    table: Table, parent: Snapshot, snapshot_id: int, location: str, manifests: Sequence[ManifestFile]
) -> None:
    """Write the manifest list of a snapshot that follows `parent`."""
    with write_manifest_list(
        format_version=2,
        output_file=table.io.new_output(location),
        snapshot_id=snapshot_id,
        parent_snapshot_id=parent.snapshot_id,
        sequence_number=table.metadata.next_sequence_number(),
        avro_compression=_codec(table),
    ) as writer:
        writer.add_manifests(list(manifests))


def _without_statistics(entry: ManifestEntry) -> ManifestEntry:
    """Return the entry of a file that leaves the table with no more than what names and counts it.

    Nobody plans a scan by the columns of a file that is gone, but each reader of the head opens this manifest: without
    them it is a fifth as large.
    """
    file = entry.data_file
    named = DataFile.from_args(
        content=file.content,
        file_path=file.file_path,
        file_format=file.file_format,
        partition=file.partition,
        record_count=file.record_count,
        file_size_in_bytes=file.file_size_in_bytes,
    )
    named.spec_id = file.spec_id
    return ManifestEntry.from_args(
        status=entry.status,
        snapshot_id=entry.snapshot_id,
        sequence_number=entry.sequence_number,
        file_sequence_number=entry.file_sequence_number,
        data_file=named,
    )


_WRITE: dict[ManifestEntryStatus, Callable[[ManifestWriter, ManifestEntry], ManifestWriter]] = {
    ManifestEntryStatus.ADDED: ManifestWriter.add,
    ManifestEntryStatus.EXISTING: ManifestWriter.existing,
    ManifestEntryStatus.DELETED: ManifestWriter.delete,
}


def _writer(table: Table, kind: Kind, location: str, snapshot_id: int) -> ManifestWriter:
    spec_id, content = kind
    writer = _DeletesWriter if content is ManifestContent.DELETES else ManifestWriterV2
    spec, output = table.metadata.specs()[spec_id], table.io.new_output(location)
    return writer(spec, table.schema(), output, snapshot_id, _codec(table))


def _codec(table: Table) -> AvroCompressionCodec:
    name = table.properties.get(TableProperties.WRITE_AVRO_COMPRESSION, TableProperties.WRITE_AVRO_COMPRESSION_DEFAULT)
    return name  # pyright: ignore[reportReturnType]  # PyIceberg hands the property on as it is, too


def _delete_manifests(head: Head) -> frozenset[str]:
    return frozenset(one.manifest_path for one in head.manifests if one.content is ManifestContent.DELETES)
