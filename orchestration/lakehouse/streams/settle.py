"""Up to where the three tables of a stream agree: every event before is in all of them that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyiceberg.table import Table

from orchestration.broker.offsets import consumer_lag
from orchestration.catalog.snapshots import ancestry
from orchestration.contracts import DatasetContract
from orchestration.errors import JobTimeoutError
from orchestration.flink.engine import SqlEngine
from orchestration.lakehouse.streams.commits import Commit, as_commit
from orchestration.lakehouse.streams.definition import consumer_group
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for


@dataclass(frozen=True)
class Settled:
    """What a live stream has committed for certain.

    Attributes:
        job_id: the job that is alive.
        checkpoint_id: its commits up to this one are in all tables.
        offsets: partition to the offset that it has read up to by then, whether rows came of it or not.
    """

    job_id: str
    checkpoint_id: int
    offsets: Mapping[int, int]


def settle(engine: SqlEngine, contract: DatasetContract, job_id: str, timeout_s: float) -> Settled:
    """Make two checkpoints, and return what is settled by the second.

    The sinks commit a checkpoint when they hear that it is complete, each at its own time. A sink takes part in the
    next checkpoint only after that, so when one is complete the commits of those before are in the tables.

    Raises:
        FlinkError, JobTimeoutError: the job makes no checkpoint.
    """
    engine.rest.trigger_checkpoint(job_id, timeout_s=timeout_s)
    # Flink commits the offsets of a checkpoint after it is complete, so these are of one before the next.
    offsets = {
        lag.partition: lag.committed
        for lag in consumer_lag(engine.settings, consumer_group(contract.name), contract.topic)
        if lag.committed is not None
    }
    second = engine.rest.trigger_checkpoint(job_id, timeout_s=timeout_s)
    return Settled(job_id, second - 1, offsets)


def await_offsets(
    engine: SqlEngine, contract: DatasetContract, job_id: str, ends: Mapping[int, int], timeout_s: float
) -> Settled:
    """Wait until a live stream has committed what lies before `ends`, and return what is settled then.

    Raises:
        JobTimeoutError: it does not get there in time. FlinkError: it makes no checkpoint.
    """

    def look() -> tuple[Settled | None, object]:
        settled = settle(engine, contract, job_id, timeout_s)
        behind = sum(max(end - settled.offsets.get(partition, 0), 0) for partition, end in ends.items())
        return (settled if not behind else None), f"{behind:,} records behind"

    try:
        return wait_for(look, what=f"the stream of {contract.name}", timeout_s=timeout_s, backoff=Backoff(0.5, 2.0))
    except WaitTimeoutError as error:
        raise JobTimeoutError(
            str(error), hint="look at it with `millrace stream status`", context={"job_id": job_id}
        ) from error


def settled_snapshot(table: Table, settled: Settled | None) -> int | None:
    """Return the newest snapshot of a table before the first commit that is not settled; None: there is none.

    Args:
        settled: None: no stream is alive, and all that the table holds counts.
    """
    chain = [(snapshot.snapshot_id, as_commit(snapshot)) for snapshot in reversed(ancestry(table))]
    return newest_settled(chain, settled)


def newest_settled(chain: Sequence[tuple[int, Commit | None]], settled: Settled | None) -> int | None:
    """Return the last id of `chain` (snapshot id, commit of a stream or None; oldest first) that is settled."""
    found: int | None = None
    for snapshot_id, commit in chain:
        if (
            settled is not None
            and commit is not None
            and commit.job_id == settled.job_id
            and commit.checkpoint_id > settled.checkpoint_id
        ):
            break
        found = snapshot_id
    return found
