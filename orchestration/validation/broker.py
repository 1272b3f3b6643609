"""The broker: does it answer, and does the topic still hold what the landings say they sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestration.broker.client import open_admin
from orchestration.broker.offsets import LogRange, try_log_offsets
from orchestration.contracts import DatasetContract
from orchestration.generator.ledger import Ledger, LedgerEntry
from orchestration.settings import Settings
from orchestration.validation.results import Outcome, Result, check


def check_broker(settings: Settings, contract: DatasetContract) -> Result:
    """Check that the broker answers a metadata request, and name the dataset's topics."""

    def look() -> Outcome:
        admin = open_admin(settings)
        metadata = admin.list_topics(timeout=settings.broker_timeout_s)
        found = [
            f"{name}: {len(metadata.topics[name].partitions)} partitions"
            if name in metadata.topics
            else f"{name}: not created yet"
            for name in (contract.topic, contract.dlq_topic)
        ]
        return Outcome(True, f"{len(metadata.brokers)} broker at {settings.broker_url}", "; ".join(found))

    return check("health", "broker answers", settings.broker_timeout_s + 5, look)


def check_ledger(settings: Settings, contract: DatasetContract) -> Result:
    """Check that every range of offsets that a landing reported lies within the topic."""

    def look() -> Outcome:
        entries = Ledger.open(settings).entries(contract.name, contract.topic)
        log = try_log_offsets(settings, contract.topic) or {}
        return compare_ledger(contract.topic, entries, log)

    return check("data", "topic holds what landings sent", settings.iceberg_query_timeout_s, look)


def compare_ledger(topic: str, entries: Iterable[LedgerEntry], log: Mapping[int, LogRange]) -> Outcome:
    """Compare what landings recorded with the ends of the log. Retention may have removed the start; it never moves
    the end back, so a recorded end beyond the log means that the topic was deleted and made anew.
    """
    landed = [entry for entry in entries if entry.status != "started"]
    beyond = [
        f"{entry.path} went up to offset {end} of partition {partition}, which ends at {_end(log, partition)}"
        for entry in landed
        for partition, end in entry.end_offsets.get(topic, {}).items()
        if end > _end(log, partition)
    ]
    sent = sum(log_range.end for log_range in log.values())
    files = sum(entry.status == "landed" for entry in landed)
    if beyond:
        return Outcome(
            False,
            f"{topic} ends before offsets that landings recorded: {beyond[0]}",
            "; ".join(beyond[1:]) or None,
            "the topic was deleted and created anew: use a new TOPIC and land the files with --again",
        )
    return Outcome(True, f"{files:,} files landed; {topic} took {sent:,} records")


def _end(log: Mapping[int, LogRange], partition: int) -> int:
    return log[partition].end if partition in log else 0
