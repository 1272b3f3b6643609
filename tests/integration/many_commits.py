"""A table with the history of a stream that ran for long: hundreds of snapshots, a hundred in one request.

Each snapshot is what an append of its own leaves: data files, a manifest, a manifest list, the summary. Appending them
one after the other would take minutes, as each commit sends the whole metadata.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.manifest import ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestFile, write_manifest_list
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate

from orchestration.catalog.manifests import _writer
from orchestration.catalog.replace import head_update

SCHEMA = pa.schema([("day", pa.int32()), ("id", pa.int64()), ("fare", pa.float64())])
AT_ONCE = 100


def make_rows(number: int, rows: int = 20) -> pa.Table:
    """Return the rows of commit `number`, half of them in each of two partitions."""
    ids = range(number * rows, (number + 1) * rows)
    return pa.table([[one % 2 for one in ids], list(ids), [one / 4 for one in ids]], schema=SCHEMA)


def make_table(catalog: Catalog, name: str, commits: int) -> Table:
    """Create a partitioned table with so many appends."""
    table = catalog.create_table(name, schema=SCHEMA)
    with table.update_spec() as spec:
        spec.add_identity("day")
    numbers = range(commits)
    for first in range(0, commits, AT_ONCE):
        _append_all(table, [make_rows(number) for number in numbers[first : first + AT_ONCE]])
    return table


def _append_all(table: Table, parts: Sequence[pa.Table]) -> None:
    table.refresh()
    parent = table.current_snapshot()
    listed: list[ManifestFile] = [] if parent is None else list(parent.manifests(table.io))
    parent_id = None if parent is None else parent.snapshot_id
    sequence, rows, files = table.metadata.last_sequence_number, 0, 0
    if parent is not None and parent.summary is not None:
        rows, files = int(parent.summary["total-records"] or 0), int(parent.summary["total-data-files"] or 0)
    updates: list[AddSnapshotUpdate] = []
    for part in parts:
        sequence += 1
        snapshot_id = table.metadata.new_snapshot_id()
        written = list(_dataframe_to_data_files(table.metadata, part, table.io))
        kind = (table.metadata.default_spec_id, ManifestContent.DATA)
        with _writer(table, kind, f"{table.location()}/metadata/{uuid.uuid4()}-m0.avro", snapshot_id) as writer:
            for file in written:
                writer.add(ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, data_file=file))
        manifest = writer.to_manifest_file()
        manifest.sequence_number = manifest.min_sequence_number = sequence
        listed.append(manifest)
        location = f"{table.location()}/metadata/snap-{snapshot_id}-0-{uuid.uuid4()}.avro"
        with write_manifest_list(2, table.io.new_output(location), snapshot_id, parent_id, sequence, "gzip") as output:
            output.add_manifests(listed)
        rows, files = rows + part.num_rows, files + len(written)
        counts = {"added-records": str(part.num_rows), "total-records": str(rows), "total-data-files": str(files)}
        updates.append(
            AddSnapshotUpdate(
                snapshot=Snapshot(
                    snapshot_id=snapshot_id,
                    parent_snapshot_id=parent_id,
                    manifest_list=location,
                    sequence_number=sequence,
                    summary=Summary(Operation.APPEND, **counts),
                    schema_id=table.metadata.current_schema_id,
                )
            )
        )
        parent_id = snapshot_id
    assert parent_id is not None
    move, expected = head_update(table, parent_id)
    table.catalog.commit_table(table, (expected,), (*updates, move))
    table.refresh()


class Appender:
    """Appends to a table without a rest until it is stopped, as a stream does. An append that fails ends it."""

    def __init__(self, catalog: Catalog, name: str, first: int) -> None:
        self._table, self._next = catalog.load_table(name), first
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="appender", daemon=True)
        self.error: Exception | None = None
        self.appended = 0
        self.slowest_s = 0.0

    def __enter__(self) -> Appender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            started = time.monotonic()
            try:
                self._table.append(make_rows(self._next))
            except Exception as error:  # noqa: BLE001  # the test looks at it
                self.error = error
                return
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            self._next, self.appended = self._next + 1, self.appended + 1
