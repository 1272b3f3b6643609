"""Where a stream starts from: a saved state of its last job, or the offsets that bronze holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyiceberg.catalog import Catalog

from orchestration.broker.admin import ensure_topics
from orchestration.broker.groups import set_group_offsets
from orchestration.broker.offsets import log_offsets
from orchestration.catalog import find_table
from orchestration.contracts import DatasetContract
from orchestration.errors import ConflictError, NotFoundError
from orchestration.flink.engine import SqlEngine
from orchestration.flink.queries.checkpoints import newest_restore_point
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.restore import RestorePoint, local_path
from orchestration.flink.sessions.session import SessionSpec
from orchestration.flink.text.catalog_sql import create_catalog, create_namespace
from orchestration.lakehouse.flink_run import Say
from orchestration.lakehouse.offsets import plan_ranges
from orchestration.lakehouse.position import bronze_position
from orchestration.lakehouse.statements import create_bronze, create_rejected, create_silver
from orchestration.lakehouse.streams.commits import History, SavedState, read_history, read_state, why_not
from orchestration.lakehouse.streams.definition import consumer_group
from orchestration.lakehouse.streams.marks import refreshed_commit
from orchestration.settings import Settings
from orchestration.sql import split_table
from orchestration.storage import flink_catalog_options


@dataclass(frozen=True)
class Start:
    """What a job starts from.

    Attributes:
        restore: None: fresh, from the offsets that bronze holds.
        reason: why a saved state that there is was not taken; None: there was none, or it was.
    """

    restore: RestorePoint | None
    reason: str | None = None


def stream_tables(contract: DatasetContract) -> tuple[str, str, str]:
    """Return the tables that a stream writes, bronze first."""
    return contract.tables.bronze, contract.tables.silver, contract.tables.rejected


def read_histories(catalog: Catalog, contract: DatasetContract) -> list[History]:
    """Return the history of each table of the stream, bronze first."""
    return [read_history(name, find_table(catalog, name)) for name in stream_tables(contract)]


def choose_start(engine: SqlEngine, catalog: Catalog, contract: DatasetContract, record: QueryRecord | None) -> Start:
    """Return the newest state of the last job if it fits the tables, else a fresh start with the reason.

    A fresh start is always exact for bronze: what a job read and did not commit is invisible, and is read again.
    """
    if record is None or record.started_at is None:
        return Start(None)
    try:
        point = newest_restore_point(engine.rest, record)
        if point is None:
            return Start(None, "its last job left no checkpoint")
        state = _read(point.path)
    except NotFoundError as error:
        return Start(None, error.message)
    reason = _why_not(catalog, contract, state, record.job_id)
    return Start(point) if reason is None else Start(None, f"{point.path} does not fit: {reason}")


def require_fitting(catalog: Catalog, contract: DatasetContract, path: str, *, newest_job: str | None) -> RestorePoint:
    """Return a checkpoint or savepoint that somebody named, if the tables stand where it left them.

    Raises:
        ConflictError: they do not; a job restored from it would lose or repeat rows.
        NotFoundError: it is not there.
    """
    state = _read(path)
    reason = _why_not(catalog, contract, state, newest_job)
    if reason is not None:
        raise ConflictError(
            f"the stream of {contract.name} was not started from {path}: {reason}",
            hint="start from the table's own offsets with `millrace stream restart --from fresh`, or roll the tables "
            "back to the snapshots of that checkpoint first",
            context={"savepoint": path},
        )
    return RestorePoint("checkpoint" if "/chk-" in path else "savepoint", path)


def _why_not(catalog: Catalog, contract: DatasetContract, state: SavedState, newest_job: str | None) -> str | None:
    refreshed = refreshed_commit(catalog, contract)
    return why_not(state, read_histories(catalog, contract), newest_job=newest_job, refreshed=refreshed)


def _read(path: str) -> SavedState:
    return read_state(path, local_path(path))


def create_tables(engine: SqlEngine, catalog: Catalog, contract: DatasetContract) -> None:
    """Create the tables of a stream that do not exist yet."""
    ddl = dict(zip(stream_tables(contract), (create_bronze, create_silver, create_rejected), strict=True))
    missing = {name: create(contract) for name, create in ddl.items() if find_table(catalog, name) is None}
    if not missing:
        return
    namespaces = sorted({split_table(name)[0] for name in missing})
    statements: Sequence[str] = (
        create_catalog(flink_catalog_options(engine.settings)),
        *(create_namespace(namespace) for namespace in namespaces),
        *missing.values(),
    )
    with engine.session(SessionSpec(name="stream-tables")) as session:
        for statement in statements:
            session.execute(statement).close()


def set_start_offsets(settings: Settings, catalog: Catalog, contract: DatasetContract, say: Say) -> dict[int, int]:
    """Make the stream's consumer group begin where bronze ends, and return that offset of each partition.

    Raises:
        OffsetGapError: the broker no longer holds records that were never loaded.
    """
    ensure_topics(settings, contract)
    _, next_offsets = bronze_position(find_table(catalog, contract.tables.bronze), say)
    ranges = plan_ranges(contract.topic, next_offsets, log_offsets(settings, contract.topic))
    offsets = {partition: span.start for partition, span in ranges.items()}
    set_group_offsets(settings, consumer_group(contract.name), contract.topic, offsets)
    return offsets
