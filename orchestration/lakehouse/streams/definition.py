"""What the stream of a dataset is: its SQL from the contract, as the definition of a persistent query. Pure."""

from __future__ import annotations

from datetime import timedelta

from orchestration.broker_security import flink_broker_options
from orchestration.contracts import DatasetContract
from orchestration.flink.queries.names import safe_name
from orchestration.flink.queries.spec import STREAM, QuerySpec, RestartPolicy
from orchestration.lakehouse.statements import (
    JUDGED,
    create_group_source,
    create_judged_stream,
    statement_set,
    store_rejected,
    stream_bronze,
    stream_silver,
)
from orchestration.naming import stream_name
from orchestration.settings import Settings

_EXECUTION = {
    # All three tables commit by checkpoint; silver_refresh relies on that a checkpoint cuts them at the same event.
    # Unaligned checkpoints would keep events on their way to one sink while another one has them.
    "execution.checkpointing.mode": "EXACTLY_ONCE",
    "execution.checkpointing.unaligned.enabled": "false",
    "execution.checkpointing.timeout": "5 min",
    "execution.checkpointing.tolerable-failed-checkpoints": "3",
    "state.backend.type": "rocksdb",
    "execution.checkpointing.incremental": "true",
    # A stream lives for months. A server that is down for some minutes is borne: the tries are five minutes together.
    # What comes back at once each time ends the stream after them. The pauses stay short, because a job that waits for
    # a TaskManager fails again and again meanwhile, and sits out the pause when the TaskManager is there.
    "restart-strategy.type": "exponential-delay",
    "restart-strategy.exponential-delay.initial-backoff": "1 s",
    "restart-strategy.exponential-delay.backoff-multiplier": "1.5",
    "restart-strategy.exponential-delay.max-backoff": "3 s",
    "restart-strategy.exponential-delay.jitter-factor": "0.1",
    "restart-strategy.exponential-delay.reset-backoff-threshold": "2 min",
    "restart-strategy.exponential-delay.attempts-before-reset-backoff": "100",
}


def safe_stream_name(dataset: str) -> str:
    """Return the part of its jobs' names that says whose they are."""
    return safe_name(stream_name(dataset))


def consumer_group(dataset: str) -> str:
    """Return the consumer group of a dataset's stream, and of nothing else."""
    return f"millrace-{dataset}-stream"


def stream_spec(settings: Settings, contract: DatasetContract) -> QuerySpec:
    """Return the definition of the stream.

    Where it starts is not part of it: the source begins at the offsets that its consumer group committed. So the same
    contract gives the same definition, whatever the tables hold.
    """
    source = create_group_source(
        contract, flink_broker_options(settings, is_stored=True), group=consumer_group(contract.name)
    )
    inserts = [stream_bronze(contract), stream_silver(contract), store_rejected(contract, skip_stored=False)]
    return QuerySpec(
        name=stream_name(contract.name),
        description=f"{contract.topic} into {contract.tables.bronze}, {contract.tables.silver} and "
        f"{contract.tables.rejected}; {JUDGED} events first",
        query=statement_set(inserts),
        inputs=(source, create_judged_stream(contract)),
        execution=dict(_EXECUTION),
        parallelism=settings.flink_parallelism,
        checkpoint_interval=timedelta(milliseconds=settings.checkpoint_interval_ms),
        state_ttl=timedelta(hours=contract.stream.remember_keys_h),
        restart_policy=RestartPolicy(kind="owner"),
        labels={"owner": contract.owner, "dataset": contract.name, "kind": STREAM},
    )
