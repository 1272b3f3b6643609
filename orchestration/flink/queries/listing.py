"""What runs, and how it does: each query's record together with its job on the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from orchestration.flink.models import Checkpoints, ExceptionEntry
from orchestration.flink.queries.states import QueryState

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine


@dataclass(frozen=True)
class QueryView:
    """One query as it is now.

    Args:
        id: None for a job that no record belongs to (`include_foreign`).
        state: what the cluster says; `recorded` is what the registry says until the next `reconcile`.
        desired: RUNNING, STOPPED or DELETED; None for a foreign job.
        restarts: by Flink, over the life of the job; None when the job is over.
        lag_records: records that Kafka sources have not read yet; None: no Kafka source, or not known yet.
        checkpoints, exceptions: filled by `query_status` alone.
    """

    id: str | None
    name: str
    namespace: str | None
    owner: str | None
    state: QueryState
    recorded: QueryState | None
    desired: str | None
    generation: int | None
    job_id: str | None
    job_name: str
    job_state: str | None
    url: str | None
    started_at: datetime | None
    uptime_s: float | None
    restarts: int | None
    last_checkpoint_at: datetime | None
    checkpoint_path: str | None
    savepoint_path: str | None
    lag_records: int | None
    sink: str
    connector: str | None
    topic: str | None
    path: str | None
    error_code: str | None
    error_text: str | None
    updated_at: datetime | None
    checkpoints: Checkpoints | None = None
    exceptions: tuple[ExceptionEntry, ...] = ()


def list_queries(
    engine: SqlEngine, *, state: QueryState | None = None, owner: str | None = None, include_foreign: bool = False
) -> list[QueryView]:
    """Return the queries that are not deleted, by name."""
    raise NotImplementedError


def query_status(engine: SqlEngine, ref: str) -> QueryView:
    """Return one query with its checkpoints and failures; `ref` is an id, name, job id or job name."""
    raise NotImplementedError
