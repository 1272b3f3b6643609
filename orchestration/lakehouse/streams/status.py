"""How the stream of a dataset stands: job, checkpoints, lag, and what its tables hold of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from orchestration.broker.offsets import Lag, consumer_lag
from orchestration.catalog import open_catalog
from orchestration.contracts import DatasetContract
from orchestration.errors import InputError
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.models import Checkpoint
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.queries.states import QueryState
from orchestration.lakehouse.streams.definition import consumer_group, stream_name, stream_spec
from orchestration.lakehouse.streams.owner import find_stream
from orchestration.lakehouse.streams.start import read_histories
from orchestration.settings import Settings


@dataclass(frozen=True)
class StreamStatus:
    """A stream as it is now.

    Attributes:
        state: of the query (`QueryState`), `ABSENT` if it was never deployed.
        desired: RUNNING or STOPPED; None if it was never deployed.
        owns_tables: batch runs are refused while it does.
        is_current: it runs the definition that contract and settings give today; None without a record.
        job_state, restarts: None when the cluster knows no job. Restarts are Flink's own, over the life of the job.
        checkpoint_age_s: since the newest completed checkpoint was begun; None without one.
        committed: table to the newest checkpoint of the stream that it holds.
        lag_records: records behind the offsets of the last checkpoint; None: none was made yet.
    """

    name: str
    state: str
    desired: str | None
    owns_tables: bool
    is_current: bool | None
    job_id: str | None
    job_name: str | None
    job_state: str | None
    url: str | None
    generation: int | None
    restarts: int | None
    checkpoint_id: int | None
    checkpoint_age_s: float | None
    failed_checkpoints: int | None
    committed: dict[str, int | None]
    group: str
    lag: tuple[Lag, ...]
    lag_records: int | None
    savepoint_path: str | None
    error: str | None


def read_status(settings: Settings, contract: DatasetContract) -> StreamStatus:
    """Read the status of a dataset's stream.

    Raises:
        ConflictError: two of its jobs are alive.
        UnreachableError: broker, catalog or cluster do not answer.
    """
    with open_engine(settings) as engine:
        presence = find_stream(settings, contract, engine.registry, engine.rest)
        record, job = presence.record, presence.job
        view = engine.status(record.id) if record is not None else None
        job_id = job.id if job is not None else (record.job_id if record is not None else None)
        newest, failed = _checkpoints(engine, job_id)
    lag = _lag(settings, contract)
    behind = [one.lag_records for one in lag]
    state = view.state if view is not None else (QueryState.RUNNING if job is not None else None)
    return StreamStatus(
        name=stream_name(contract.name),
        state=state.value if state is not None else "ABSENT",
        desired=record.desired.value if record is not None else None,
        owns_tables=presence.owns_tables,
        is_current=record.spec_hash == stream_spec(settings, contract).spec_hash if record is not None else None,
        job_id=job_id,
        job_name=record.job_name if record is not None else None,
        job_state=view.job_state if view is not None else None,
        url=view.url if view is not None else None,
        generation=record.generation if record is not None else None,
        restarts=view.restarts if view is not None else None,
        checkpoint_id=newest.id if newest is not None else None,
        checkpoint_age_s=_age_s(newest),
        failed_checkpoints=failed,
        committed={
            history.table: history.last.checkpoint_id if history.last is not None else None
            for history in read_histories(open_catalog(settings), contract)
        },
        group=consumer_group(contract.name),
        lag=lag,
        lag_records=None if not lag or None in behind else sum(filter(None, behind)),
        savepoint_path=record.savepoint_path if record is not None else None,
        error=record.error_text if record is not None else None,
    )


def _checkpoints(engine: SqlEngine, job_id: str | None) -> tuple[Checkpoint | None, int | None]:
    if job_id is None:
        return None, None
    try:
        checkpoints = engine.rest.checkpoints(job_id)
    except JobNotFoundError:
        return None, None
    found = [one for one in (checkpoints.latest.completed, checkpoints.latest.savepoint) if one is not None]
    return max(found, key=lambda one: one.id, default=None), checkpoints.counts.failed


def _age_s(checkpoint: Checkpoint | None) -> float | None:
    if checkpoint is None or checkpoint.trigger_time is None:
        return None
    return round((datetime.now(UTC) - checkpoint.trigger_time).total_seconds(), 1)


def _lag(settings: Settings, contract: DatasetContract) -> tuple[Lag, ...]:
    try:
        return tuple(consumer_lag(settings, consumer_group(contract.name), contract.topic))
    except InputError:
        return ()  # no topic yet
