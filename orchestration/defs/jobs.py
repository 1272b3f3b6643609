"""The jobs. Steps run in the process of the run: a process for each would cost more than the work in it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from orchestration.defs.failure import failures, say_why
from orchestration.defs.resources import SqlEngineResource
from orchestration.defs.streams import STREAM_JOBS
from orchestration.errors import FlinkError, InputError
from orchestration.naming import BATCH_JOB, MARTS_JOB, RECONCILE_JOB, SILVER_JOB

if TYPE_CHECKING:
    from orchestration.flink.queries.reconcile import Repair

_FROM_SILVER = dg.AssetSelection.groups("silver", "gold")
_ALL = dg.AssetSelection.groups("landing", "bronze", "silver", "gold")

lakehouse_batch = dg.define_asset_job(
    BATCH_JOB,
    selection=_ALL,
    description="Files to topic to bronze to silver to marts, each layer checked before the next. Safe to repeat. "
    "Without a partition it lands all files of DATA_PATH, with one the files of that month.",
    executor_def=dg.in_process_executor,
    hooks={say_why},
    tags={"millrace/job": "batch"},
)

silver_refresh = dg.define_asset_job(
    SILVER_JOB,
    selection=_FROM_SILVER,
    description="Silver from the bronze snapshots that it has not seen, then the marts.",
    executor_def=dg.in_process_executor,
    hooks={say_why},
    tags={"millrace/job": "refresh"},
)


marts_refresh = dg.define_asset_job(
    MARTS_JOB,
    selection=dg.AssetSelection.groups("gold"),
    description="The marts from silver as it is. The sensor silver_changed asks for it.",
    executor_def=dg.in_process_executor,
    hooks={say_why},
    tags={"millrace/job": "marts"},
)


class ReconcileConfig(dg.Config):
    """What a run of the repair can be told."""

    recover: bool = Field(
        default=False,
        description="Also start queries that the cluster forgot, and make records for jobs of ours that have none",
    )


@dg.op(description="Brings the registry of queries and the cluster together, and applies each query's restart policy.")
def reconcile_queries(context: dg.OpExecutionContext, config: ReconcileConfig, sql_engine: SqlEngineResource) -> None:
    """Repair what can be repaired; a repair that fails fails the run after the others were made."""
    with failures(context.retry_number), sql_engine.open() as engine:
        from orchestration.flink.provider import FlinkBacked

        if not isinstance(engine, FlinkBacked):
            raise InputError("this stream engine has no registry to repair", hint="STREAM_ENGINE_PROVIDER=flink has")
        repairs = engine.reconcile(recover=config.recover)
        for repair in repairs:
            say = context.log.info if repair.error is None else context.log.error
            outcome = f"failed: {repair.error}" if repair.error else f"{repair.before} -> {repair.after}"
            say(f"{repair.name}: {repair.action}: {repair.reason}; {outcome}")
        if not repairs:
            context.log.info("nothing to repair")
        raise_failed(repairs)


def raise_failed(repairs: "Sequence[Repair]") -> None:
    """Raise if a repair failed.

    Raises:
        FlinkError: names each of them.
    """
    failed = [f"{repair.name}: {repair.error}" for repair in repairs if repair.error]
    if failed:
        raise FlinkError(
            f"{len(failed)} of {len(repairs)} repairs failed: {'; '.join(failed)}",
            hint="`millrace sql status NAME` says more",
        )


@dg.job(
    name=RECONCILE_JOB,
    description="Repairs persistent queries after a failure, a kill or a restart. Safe to repeat, also at once.",
    executor_def=dg.in_process_executor,
    hooks={say_why},
    tags={"millrace/job": "reconcile"},
)
def query_reconcile() -> None:
    """Run the one repair."""
    reconcile_queries()


JOBS = (lakehouse_batch, silver_refresh, marts_refresh, query_reconcile, *STREAM_JOBS)
