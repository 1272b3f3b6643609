"""What the sinks of a stream committed, and whether a saved state of its job still fits the tables. Pure decisions.

Iceberg's Flink sink writes the job's id and the highest checkpoint that is in the table into each snapshot
(`flink.job-id`, `flink.max-committed-checkpoint-id`). A job that is restored compares its own checkpoints with that,
and skips every commit whose number is not above it, without a word (Iceberg issue 10892).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot

from orchestration.catalog.snapshots import ancestry
from orchestration.errors import NotFoundError

_JOB, _CHECKPOINT = "flink.job-id", "flink.max-committed-checkpoint-id"
_BATCH = 2**63 - 1
"""What a batch job writes for its checkpoint: Long.MAX_VALUE (IcebergFilesCommitter.endInput)."""
_MAGIC = 0x4960672D
"""Opens the `_metadata` file of a checkpoint or savepoint (Flink's Checkpoints.HEADER_MAGIC_NUMBER)."""
_RETAINED = re.compile(r"/(?P<job>[0-9a-f]{32})/chk-(?P<id>\d+)/?$")
_SAVEPOINT = re.compile(r"/savepoint-(?P<job>[0-9a-f]{6})-[0-9a-f]+/?$")


@dataclass(frozen=True)
class Commit:
    """One snapshot that a streaming job committed."""

    snapshot_id: int
    job_id: str
    checkpoint_id: int


@dataclass(frozen=True)
class SavedState:
    """A checkpoint or savepoint.

    Attributes:
        checkpoint_id: its number; savepoints are counted with the checkpoints.
        job: id of the job that made it, or its first six digits.
    """

    path: str
    checkpoint_id: int
    job: str


@dataclass(frozen=True)
class History:
    """Of one table, what decides on a restore.

    Attributes:
        commits: of streaming jobs, in the current history, oldest first.
        loaded_since: a batch job appended after the last of them.
        rolled_back: commits of streaming jobs that the table once had and has no more.
    """

    table: str
    commits: tuple[Commit, ...] = ()
    loaded_since: bool = False
    rolled_back: tuple[Commit, ...] = ()

    @property
    def last(self) -> Commit | None:
        """The newest commit of a stream."""
        return self.commits[-1] if self.commits else None


def as_commit(snapshot: Snapshot) -> Commit | None:
    """Return what a streaming job committed with this snapshot; None: it is the work of somebody else."""
    summary = snapshot.summary
    job, checkpoint = (summary.get(_JOB), summary.get(_CHECKPOINT)) if summary is not None else (None, None)
    if job is None or checkpoint is None or int(checkpoint) == _BATCH:
        return None
    return Commit(snapshot.snapshot_id, job, int(checkpoint))


def read_history(name: str, table: Table | None) -> History:
    """Return the history of a table; an empty one if it does not exist."""
    if table is None:
        return History(name)
    chain = ancestry(table)
    kept = {snapshot.snapshot_id for snapshot in chain}
    loaded_since = False
    for snapshot in chain:
        if as_commit(snapshot) is not None:
            break
        if snapshot.summary is not None and snapshot.summary.operation is Operation.APPEND:
            loaded_since = True
    return History(
        name,
        commits=_commits(reversed(chain)),
        loaded_since=loaded_since,
        rolled_back=_commits(one for one in table.snapshots() if one.snapshot_id not in kept),
    )


def _commits(snapshots: Iterable[Snapshot]) -> tuple[Commit, ...]:
    return tuple(commit for commit in map(as_commit, snapshots) if commit is not None)


def why_not(
    state: SavedState, histories: Sequence[History], *, newest_job: str | None, refreshed: Commit | None = None
) -> str | None:
    """Return why a job must not be restored from `state`, or None: it may.

    Args:
        histories: of bronze first, then of the other tables that the stream writes.
        newest_job: the stream's latest job, which may have left a state without having committed a row.
        refreshed: the newest commit to bronze that a refresh brought into the other tables.
    """
    bronze = histories[0]
    if bronze.loaded_since:
        return f"{bronze.table} was loaded by other means since: the stream would append those records again"
    for history in histories:
        gone = [one for one in history.rolled_back if _made(state, one.job_id) and _is_lost(one, history, state)]
        if gone:
            return (
                f"{history.table} was rolled back to before checkpoint {gone[0].checkpoint_id}, which the state at "
                f"checkpoint {state.checkpoint_id} takes for committed: its rows would be missing"
            )
        last = history.last
        if last is None:
            continue
        if not _made(state, last.job_id) and not (newest_job and _made(state, newest_job)):
            return f"{history.table} was written by another job of the stream since ({last.job_id[:6]}…)"
        if state.checkpoint_id < last.checkpoint_id:
            return (
                f"it is of checkpoint {state.checkpoint_id}, and {history.table} holds the stream up to checkpoint "
                f"{last.checkpoint_id}: the Iceberg sink would skip commits silently until it has caught up"
            )
    return _why_not_after(refreshed, state, histories[1:])


def _why_not_after(refreshed: Commit | None, state: SavedState, others: Sequence[History]) -> str | None:
    """A job that died may have left rows in its last checkpoint that it did not commit; a refresh then added them."""
    if refreshed is None or not _RETAINED.search(state.path) or not _made(state, refreshed.job_id):
        return None
    behind = [one.table for one in others if one.last is None or one.last.checkpoint_id < state.checkpoint_id]
    if refreshed.checkpoint_id < state.checkpoint_id or not behind:
        return None
    return f"{behind[0]} was refreshed since: rows that the state has not committed yet would stand there twice"


def _made(state: SavedState, job_id: str) -> bool:
    return bool(state.job) and job_id.startswith(state.job)


def _is_lost(commit: Commit, history: History, state: SavedState) -> bool:
    last = history.last
    held = last.checkpoint_id if last is not None and _made(state, last.job_id) else 0
    return held < commit.checkpoint_id <= state.checkpoint_id


def read_state(path: str, local: Path | None) -> SavedState:
    """Return the number and the job of a checkpoint or savepoint.

    Args:
        path: as Flink names it. local: the same on this machine; None: it lies elsewhere.

    Raises:
        NotFoundError: nothing there tells its number.
    """
    retained = _RETAINED.search(path)
    if retained is not None:
        return SavedState(path, int(retained["id"]), retained["job"])
    named = _SAVEPOINT.search(path)
    metadata = local / "_metadata" if local is not None else None
    if metadata is None or not metadata.is_file():
        raise NotFoundError(f"the number of the savepoint {path} cannot be read: it has no _metadata on this machine")
    with metadata.open("rb") as file:
        head = file.read(16)
    # Since version 2 the number of the checkpoint follows magic number and version (MetadataV2V3SerializerBase).
    magic, _, checkpoint_id = struct.unpack(">IIq", head) if len(head) == 16 else (0, 0, 0)
    if magic != _MAGIC:
        raise NotFoundError(f"{path} is no checkpoint or savepoint of Flink")
    return SavedState(path, checkpoint_id, named["job"] if named is not None else "")
