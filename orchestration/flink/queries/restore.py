"""Where the state of a lost job lies: its newest completed checkpoint or savepoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from orchestration.errors import NotFoundError
from orchestration.flink.queries.record import QueryRecord

_GONE = -1.0

CHECKPOINT_DIR_KEYS = ("execution.checkpointing.dir", "state.checkpoints.dir")


@dataclass(frozen=True)
class RestorePoint:
    """A checkpoint or savepoint that a job can start from."""

    kind: Literal["checkpoint", "savepoint"]
    path: str


def find_restore_point(record: QueryRecord, checkpoint_dir: str | None) -> RestorePoint | None:
    """Return the newest state of a query, or None if none was ever completed.

    Args:
        checkpoint_dir: the cluster's `execution.checkpointing.dir`, unless the query sets its own; a file system of
            this machine is looked through for checkpoints that were completed after the record's last look.

    Raises:
        NotFoundError: the state that the record names is gone from this machine's disk; starting without it would
            read everything again.
    """
    own = record.spec.execution if record.spec is not None else {}
    checkpoint_dir = next((own[key] for key in CHECKPOINT_DIR_KEYS if key in own), checkpoint_dir)
    points = [RestorePoint("checkpoint", path.as_uri()) for path in _on_disk(record.job_id, checkpoint_dir)]
    # A checkpoint in the record is newer than the savepoint there (Registry.update).
    if record.checkpoint_path:
        points.append(RestorePoint("checkpoint", record.checkpoint_path))
    if record.savepoint_path:
        points.append(RestorePoint("savepoint", record.savepoint_path))
    if not points:
        return None
    times = {point: _completed_at(point.path) for point in points}
    if any(time is None for time in times.values()):  # the cluster alone can tell: the newest by the record
        return next(point for point, time in times.items() if time != _GONE)
    newest = max(points, key=lambda point: times[point] or _GONE)
    if times[newest] != _GONE:
        return newest
    raise NotFoundError(
        f"the last state of query {record.name!r} is gone: {points[0].path}",
        hint="bring it back, or start without it: millrace sql restart --from fresh",
        context={"query_id": record.id, "path": points[0].path},
    )


def local_path(address: str) -> Path | None:
    """Return the path that a `file:` address or a bare path means on this machine; None for other file systems."""
    parts = urlsplit(address)
    return Path(url2pathname(parts.path)) if parts.scheme in ("", "file") else None


def _completed_at(address: str) -> float | None:
    """Return when a checkpoint or savepoint was completed, by its `_metadata`, which is written last.

    None: it does not lie on this machine's disk. The file system of a cluster in containers is not seen either: of
    its folders none is here.
    """
    path = local_path(address)
    if path is None or not any(folder.is_dir() for folder in (path.parent, path.parent.parent) if folder.name):
        return None
    metadata = path / "_metadata"
    return metadata.stat().st_mtime if metadata.is_file() else _GONE


def _on_disk(job_id: str | None, checkpoint_dir: str | None) -> Iterator[Path]:
    root = local_path(checkpoint_dir) if checkpoint_dir else None
    if root is None or job_id is None:
        return
    for metadata in root.joinpath(job_id).glob("chk-*/_metadata"):
        yield metadata.parent
