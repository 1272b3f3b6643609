"""Where a query's state goes to, and what a query can be started from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.errors import ConflictError, FlinkError, UnreachableError
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.restore import CHECKPOINT_DIR_KEYS, RestorePoint, find_restore_point, local_path

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine

_SAVEPOINT_DIR_KEYS = ("execution.checkpointing.savepoint-dir", "state.savepoints.dir")


def newest_restore_point(rest: FlinkRest, record: QueryRecord) -> RestorePoint | None:
    """Return the newest checkpoint or savepoint of the query's latest job, or None when there is none to be found.

    A job that failed before its first checkpoint left what it was started from. When the cluster has forgotten the
    job, the registry and the disk are asked.

    Raises:
        NotFoundError: the state that the registry names is gone from this machine's disk.
    """
    if record.job_id is not None:
        try:
            left = _left_behind(rest, record.job_id)
        except JobNotFoundError:
            left = {}
        if left:
            return left[max(left)]
    config = _cluster_config(rest)
    return find_restore_point(record, next((config[key] for key in CHECKPOINT_DIR_KEYS if key in config), None))


def saved_restore_point(rest: FlinkRest, record: QueryRecord) -> RestorePoint | None:
    """Return the query's savepoint, or None.

    Raises:
        ConflictError: the sink is Iceberg, and the job went on after the savepoint.
    """
    if record.savepoint_path is None:
        return None
    saved = RestorePoint("savepoint", record.savepoint_path)
    if "iceberg" not in (record.connector or ""):
        return saved
    newest = newest_restore_point(rest, record)
    if newest is None or (local_path(newest.path) or newest.path) == (local_path(saved.path) or saved.path):
        return saved
    # The table remembers the highest checkpoint that a job committed (`flink.max-committed-checkpoint-id`), and
    # Iceberg's committer skips later commits whose number is not above it. A job that goes back counts on from there.
    raise ConflictError(
        f"query {record.name} went on after savepoint {saved.path}, up to {newest.path}: started from the older one,"
        " the Iceberg sink would drop rows until it has caught up, without a word",
        hint="restart it from latest_checkpoint",
        context={"query_id": record.id},
    )


def knows_savepoint_dir(rest: FlinkRest, given: str | None) -> bool:
    """Whether a savepoint has a place to go to: `given`, or the cluster's own folder."""
    return given is not None or any(_cluster_config(rest).get(key) for key in _SAVEPOINT_DIR_KEYS)


def savepoint_target(engine: SqlEngine, record: QueryRecord, given: str | None) -> str | None:
    """Return where savepoints of a query go; None: to the cluster's own folder."""
    of_query = record.spec.savepoint_dir if record.spec is not None else None
    return given or of_query or engine.settings.sql_engine_savepoint_dir


def _cluster_config(rest: FlinkRest) -> dict[str, str]:
    try:
        return rest.jobmanager_config()
    except (FlinkError, UnreachableError):
        return {}


def _left_behind(rest: FlinkRest, job_id: str) -> dict[int, RestorePoint]:
    """Return what a job can be restored from by its number; one that FINISHED discards its checkpoints."""
    has_checkpoints = rest.job(job_id).state != "FINISHED"
    latest = rest.checkpoints(job_id).latest
    found: dict[int, RestorePoint] = {}
    for checkpoint in (latest.restored, latest.savepoint, latest.completed if has_checkpoints else None):
        if checkpoint is not None and checkpoint.path and not checkpoint.is_discarded:
            kind = "savepoint" if checkpoint.is_savepoint else "checkpoint"
            found[checkpoint.id] = RestorePoint(kind, checkpoint.path)
    return found
