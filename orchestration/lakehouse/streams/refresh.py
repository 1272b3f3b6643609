"""silver_refresh of a dataset that is streamed: audit bronze, then bring silver to the latest arrival by key."""

from __future__ import annotations

from pyiceberg.table import Table

from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.progress import SilverMark, read_mark, write_mark
from orchestration.catalog.snapshots import ancestry, current_id, snapshots_after, total_rows
from orchestration.contracts import DatasetContract
from orchestration.errors import ConflictError
from orchestration.flink.engine import open_engine
from orchestration.lakehouse.bronze import audit_bronze_table
from orchestration.lakehouse.flink_run import Say
from orchestration.lakehouse.silver_result import SilverResult
from orchestration.lakehouse.spilling import open_spilling
from orchestration.lakehouse.streams.marks import silver_streamed_since
from orchestration.lakehouse.streams.owner import find_stream
from orchestration.lakehouse.streams.reconcile import Held, Mended, reconcile_tables
from orchestration.lakehouse.streams.settle import Settled, settle, settled_snapshot
from orchestration.locking import hold
from orchestration.settings import Settings


def is_streamed(settings: Settings, contract: DatasetContract, *, full: bool) -> bool:
    """Whether silver is to be reconciled by key: its stream owns it, or wrote it since the last refresh.

    Raises:
        ConflictError: silver has to be rebuilt, which replaces whole partitions, and the stream owns it.
    """
    silver = find_table(open_catalog(settings), contract.tables.silver)
    mark = read_mark(silver, SilverMark) if silver is not None else None
    with open_engine(settings) as engine:
        owned = find_stream(settings, contract, engine.registry, engine.rest).owns_tables
    has_changed = mark is not None and mark.fingerprint != contract.fingerprint()
    if not (full or has_changed):
        return owned or (silver is not None and silver_streamed_since(silver, mark))
    if owned:
        why = "a full refresh was asked for" if full else "the contract or its parameters changed"
        raise ConflictError(
            f"{contract.tables.silver} cannot be rebuilt while its stream owns it ({why}): the rebuild would take away "
            "what the stream appends meanwhile",
            hint="`millrace stream stop`, refresh silver, then `millrace stream deploy`",
        )
    return False


def refresh_streamed(settings: Settings, contract: DatasetContract, say: Say) -> SilverResult:
    """Bring silver and the rejected rows to what bronze says. Idempotent; the stream goes on meanwhile.

    Raises:
        ConflictError: the stream is meant to run and has no job.
        FlinkError, JobTimeoutError: it makes no checkpoint. Others as `refresh_silver_table`.
    """
    tables, locks, wait_s = contract.tables, settings.instance_dir / "locks", settings.lock_timeout_s
    with (
        # In the order of a deploy.
        hold(locks, tables.bronze, wait_s=wait_s, on_wait=say),
        hold(locks, tables.silver, wait_s=wait_s, on_wait=say),
    ):
        with open_engine(settings) as engine:
            presence = find_stream(settings, contract, engine.registry, engine.rest)
            settled: Settled | None = None
            if presence.owns_tables:
                say(f"making two checkpoints of stream {presence.name}")
                settled = settle(engine, contract, presence.require_job().id, settings.sql_engine_start_timeout_s)
        audit_bronze_table(settings, contract, settled.offsets if settled is not None else {}, say)
        return _refresh(settings, contract, settled, say)


def _refresh(settings: Settings, contract: DatasetContract, settled: Settled | None, say: Say) -> SilverResult:
    catalog, tables = open_catalog(settings), contract.tables
    bronze, silver, rejected = (find_table(catalog, name) for name in (tables.bronze, tables.silver, tables.rejected))
    upto = settled_snapshot(bronze, settled) if bronze is not None else None
    if bronze is None or silver is None or rejected is None or upto is None:
        return _result("nothing was streamed yet", Mended(), None, silver, rejected, (0, 0))
    mark = read_mark(silver, SilverMark)
    after = _start(bronze, silver, mark)
    before = total_rows(silver), total_rows(rejected)
    mended = Mended()
    if after is None or _comes_after(bronze, upto, after):
        held = Held(settled_snapshot(silver, settled), settled_snapshot(rejected, settled))
        with open_spilling(settings.instance_dir / "run" / "tmp", settings.silver_refresh_memory_mb) as connection:
            mended = reconcile_tables(
                connection, contract, bronze, silver, rejected, after=after, upto=upto, held=held, say=say
            )
        silver.refresh()
        rejected.refresh()
        reached = SilverMark(
            bronze_snapshot_id=upto,
            snapshot_id=current_id(silver),
            rejected_snapshot_id=current_id(rejected),
            fingerprint=contract.fingerprint(),
        )
        write_mark(silver, reached)
    reason = f"{mended.keys:,} keys and {mended.rejected:,} rejected rows were mended"
    say(f"{tables.silver}: {reason}")
    return _result(reason, mended, upto, silver, rejected, before)


def _start(bronze: Table, silver: Table, mark: SilverMark | None) -> int | None:
    """Return the bronze snapshot that silver is right up to; None: look at all of bronze."""
    if mark is None or snapshots_after(bronze, mark.bronze_snapshot_id) is None:
        return None
    if mark.snapshot_id is not None and snapshots_after(silver, mark.snapshot_id) is None:
        return None
    return mark.bronze_snapshot_id


def _comes_after(bronze: Table, snapshot_id: int, other: int) -> bool:
    chain = [snapshot.snapshot_id for snapshot in ancestry(bronze)]
    return other not in chain or chain.index(snapshot_id) < chain.index(other)


def _result(
    reason: str, mended: Mended, upto: int | None, silver: Table | None, rejected: Table | None, before: tuple[int, int]
) -> SilverResult:
    return SilverResult(
        kind="reconcile" if mended.bronze_rows else "up_to_date",
        reason=reason,
        rows=total_rows(silver) - before[0],
        total_rows=total_rows(silver),
        rejected=total_rows(rejected) - before[1],
        total_rejected=total_rows(rejected),
        bronze_rows_read=mended.bronze_rows,
        bronze_snapshot_id=upto,
        snapshot_id=current_id(silver) if silver is not None else None,
        rejected_snapshot_id=current_id(rejected) if rejected is not None else None,
        touched=mended.touched,
    )
