"""Which files a table has: those of its head with their statistics, and all that any snapshot can reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFileContent, ManifestContent, ManifestEntry, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from orchestration.catalog.locations import normalize


class Manifests:
    """Reads manifests and manifest lists, each once: they never change."""

    def __init__(self, io: FileIO) -> None:
        self._io = io
        self._lists: dict[str, tuple[ManifestFile, ...]] = {}
        self._entries: dict[str, tuple[ManifestEntry, ...]] = {}

    def of(self, snapshot: Snapshot) -> tuple[ManifestFile, ...]:
        """Return the manifests of a snapshot that list a live file."""
        if snapshot.manifest_list not in self._lists:
            found = (m for m in snapshot.manifests(self._io) if m.has_added_files() or m.has_existing_files())
            self._lists[snapshot.manifest_list] = tuple(found)
        return self._lists[snapshot.manifest_list]

    def entries(self, manifest: ManifestFile) -> tuple[ManifestEntry, ...]:
        """Return the live files that a manifest lists."""
        path = manifest.manifest_path
        if path not in self._entries:
            self._entries[path] = tuple(manifest.fetch_manifest_entry(self._io, discard_deleted=True))
        return self._entries[path]

    def reach(self, snapshots: Iterable[Snapshot]) -> set[str]:
        """Return the normalized locations of all files that these snapshots need: lists, manifests, data, deletes."""
        found: set[str] = set()
        manifests: dict[str, ManifestFile] = {}
        for snapshot in snapshots:
            found.add(normalize(snapshot.manifest_list))
            # All of the list, not only manifests with live files: a reader of the history opens them too.
            for manifest in snapshot.manifests(self._io):
                manifests[manifest.manifest_path] = manifest
        for path, manifest in manifests.items():
            found.add(normalize(path))
            found.update(normalize(entry.data_file.file_path) for entry in self.entries(manifest))
        return found


def reachable(table: Table, manifests: Manifests | None = None) -> set[str]:
    """Return the normalized locations of all files that the table's metadata knows, in any snapshot."""
    metadata = table.metadata
    found = (manifests or Manifests(table.io)).reach(metadata.snapshots)
    found.update(normalize(path) for path in _beside_snapshots(metadata))
    found.add(normalize(table.metadata_location))
    return found


def _beside_snapshots(metadata: TableMetadata) -> Iterable[str]:
    yield from (entry.metadata_file for entry in metadata.metadata_log)
    yield from (file.statistics_path for file in metadata.statistics)
    yield from (file.statistics_path for file in metadata.partition_statistics)
    # Tables of a hadoop catalog name their newest metadata in it.
    yield f"{metadata.location.rstrip('/')}/metadata/version-hint.text"


@dataclass(frozen=True)
class Head:
    """The live files of a table's current snapshot, as its manifests list them.

    Attributes:
        data, deletes: entries with the sequence numbers that they inherit.
    """

    snapshot: Snapshot
    manifests: tuple[ManifestFile, ...]
    data: tuple[ManifestEntry, ...]
    deletes: tuple[ManifestEntry, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of the data files."""
        return sum(entry.data_file.file_size_in_bytes for entry in self.data)


def read_head(table: Table, manifests: Manifests | None = None) -> Head | None:
    """Return the live files of the current snapshot; None for a table that was never written."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        return None
    reader = manifests or Manifests(table.io)
    listed = reader.of(snapshot)
    by_content: dict[ManifestContent, list[ManifestEntry]] = {ManifestContent.DATA: [], ManifestContent.DELETES: []}
    for manifest in listed:
        by_content[manifest.content] += reader.entries(manifest)
    return Head(snapshot, listed, tuple(by_content[ManifestContent.DATA]), tuple(by_content[ManifestContent.DELETES]))


def has_equality_deletes(entries: Iterable[ManifestEntry]) -> bool:
    """Whether one of the delete files names rows by their values: PyIceberg 0.12 cannot apply those."""
    return any(entry.data_file.content is DataFileContent.EQUALITY_DELETES for entry in entries)


def read_position_deletes(io: FileIO, entries: Iterable[ManifestEntry]) -> Mapping[str, Mapping[str, frozenset[int]]]:
    """Return delete file to data file to the positions that it deletes there, both by their own spelling.

    The files are read: the bounds that DuckDB 1.5 writes beside them carry the wrong field ids, and without bounds
    each delete file of a partition would count for all its data files.
    """
    found: dict[str, Mapping[str, frozenset[int]]] = {}
    for entry in entries:
        path = entry.data_file.file_path
        with io.new_input(path).open() as stream:
            rows = pq.read_table(stream, columns=["file_path", "pos"])
        targets = rows["file_path"].unique().to_pylist()
        found[path] = {
            target: frozenset(rows.filter(pc.field("file_path") == target)["pos"].to_pylist()) for target in targets
        }
    return found
