"""A table of many small commits, and what can happen to it meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
)
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot, Summary, update_snapshot_summaries
from pyiceberg.table.update import AddSnapshotUpdate

from orchestration.catalog.files import Manifests
from orchestration.catalog.manifests import _writer, write_list
from orchestration.catalog.replace import head_update

SCHEMA = pa.schema([("day", pa.int32()), ("id", pa.int64()), ("note", pa.string())])
NAME = "silver.many"


def make_table(catalog: Catalog, *, commits: int = 12, **properties: str) -> Table:
    """Return a table of two partitions with one small file of each a commit."""
    table = catalog.create_table(NAME, schema=SCHEMA, properties=properties)
    with table.update_spec() as spec:
        spec.add_identity("day")
    for number in range(commits):
        add(table, number)
    return table


def add(table: Table, number: int) -> None:
    """Append two rows, one of each partition."""
    rows = [{"day": day, "id": number, "note": f"{number}/{day}"} for day in range(2)]
    table.append(pa.Table.from_pylist(rows, schema=SCHEMA))


def rows(table: Table) -> list[tuple[int, int, str]]:
    """Return the rows of the current snapshot, sorted."""
    table.refresh()
    return sorted((row["day"], row["id"], row["note"]) for row in table.scan().to_arrow().to_pylist())


def data_files(table: Table) -> list[str]:
    """Return the paths of the live data files."""
    table.refresh()
    return [task.file.file_path for task in table.scan().plan_files()]


def stored(table: Table) -> set[Path]:
    """Return all files below the table's folder."""
    root = Path(table.location().removeprefix("file://"))
    return {path for path in root.rglob("*") if path.is_file()}


def delete_positions(table: Table, target: str, *positions: int, content: int = 1) -> None:
    """Delete rows of a data file as a merge-on-read writer does: by a file of positions, in a commit of its own."""
    table.refresh()
    [entry] = [task.file for task in table.scan().plan_files() if task.file.file_path == target]
    location = f"{table.location()}/data/{uuid.uuid4()}-deletes.parquet"
    path = location.removeprefix("file://")
    pq.write_table(pa.table({"file_path": [target] * len(positions), "pos": pa.array(positions, pa.int64())}), path)
    file = DataFile.from_args(
        content=DataFileContent(content),
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=entry.partition,
        record_count=len(positions),
        file_size_in_bytes=Path(path).stat().st_size,
    )
    file.spec_id = entry.spec_id
    parent, snapshot_id = table.current_snapshot(), table.metadata.new_snapshot_id()
    assert parent is not None
    kind = (entry.spec_id, ManifestContent.DELETES)
    with _writer(table, kind, f"{table.location()}/metadata/{uuid.uuid4()}-m0.avro", snapshot_id) as writer:
        writer.add(ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, data_file=file, sequence_number=None))
    listed = [*Manifests(table.io).of(parent), writer.to_manifest_file()]
    snap = f"{table.location()}/metadata/snap-{snapshot_id}.avro"
    write_list(table, parent, snapshot_id, snap, listed)
    counts = {"added-delete-files": "1", "added-position-deletes": str(len(positions))}
    summary = update_snapshot_summaries(Summary(Operation.DELETE, **counts), parent.summary)
    snapshot = Snapshot(
        snapshot_id=snapshot_id,
        parent_snapshot_id=parent.snapshot_id,
        manifest_list=snap,
        sequence_number=table.metadata.next_sequence_number(),
        summary=summary,
        schema_id=table.metadata.current_schema_id,
    )
    table.catalog.commit_table(table, (), (AddSnapshotUpdate(snapshot=snapshot), head_update(table, snapshot_id)[0]))
    table.refresh()


@contextmanager
def meanwhile(table: Table, happens: Callable[[], Any], times: int = 1) -> Iterator[None]:
    """Let something happen between the look and the commit, as a concurrent writer does."""
    left, commit = times, table.catalog.commit_table

    def commit_later(*arguments: Any) -> Any:
        nonlocal left
        if left:
            # What happens commits too, and nothing happens meanwhile.
            left, after = 0, left - 1
            happens()
            left = after
        return commit(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table.catalog, "commit_table", commit_later)
        yield
