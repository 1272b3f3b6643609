"""Offsets: where the log of each partition starts and ends, and how far a consumer group is behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    OffsetSpec,  # pyright: ignore[reportPrivateImportUsage]
)

from orchestration.broker.admin import count_partitions
from orchestration.broker.client import broker_errors, open_admin, unreachable
from orchestration.errors import InputError
from orchestration.settings import Settings
from orchestration.waiting import WaitTimeoutError, wait_for

_LEADERLESS = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
"""What a broker says of a partition that was made, or moved, a moment ago."""


@dataclass(frozen=True)
class LogRange:
    """Offsets of one partition: `start` is the first that is kept, `end` the one that the next record gets."""

    start: int
    end: int

    @property
    def records(self) -> int:
        """Number of offsets in the range."""
        return self.end - self.start


@dataclass(frozen=True)
class Lag:
    """How far a group is behind on one partition. `committed` is None if the group never committed there."""

    partition: int
    committed: int | None
    end: int

    @property
    def lag_records(self) -> int | None:
        """Records that the group has not read; None if it never committed."""
        return None if self.committed is None else max(self.end - self.committed, 0)


def log_offsets(settings: Settings, topic: str, admin: AdminClient | None = None) -> dict[int, LogRange]:
    """Return start and end of the log of every partition of a topic.

    Args:
        admin: an open client to use; None opens one.

    Raises:
        InputError: there is no such topic.
        UnreachableError: the broker does not answer.
    """
    found = try_log_offsets(settings, topic, admin)
    if found is None:
        raise InputError(f"there is no topic {topic} on {settings.broker_url}", hint="run `./millrace run` first")
    return found


def try_log_offsets(settings: Settings, topic: str, admin: AdminClient | None = None) -> dict[int, LogRange] | None:
    """Return what `log_offsets` does, None if there is no such topic."""
    # By None: an AdminClient has a length, which is 0.
    admin = open_admin(settings) if admin is None else admin
    with broker_errors(settings, f"the offsets of {topic}"):
        partitions = count_partitions(admin, topic, settings.broker_timeout_s)
        if partitions is None:
            return None
        start = _list(settings, admin, topic, partitions, OffsetSpec.earliest())
        end = _list(settings, admin, topic, partitions, OffsetSpec.latest())
    return {partition: LogRange(start[partition], end[partition]) for partition in range(partitions)}


def end_offsets(settings: Settings, topic: str, admin: AdminClient | None = None) -> dict[int, int]:
    """Return the end offset of every partition."""
    return {partition: log.end for partition, log in log_offsets(settings, topic, admin).items()}


def count_messages(settings: Settings, topic: str) -> int:
    """Return the number of records that the topic keeps now; 0 if it does not exist."""
    return sum(log.records for log in (try_log_offsets(settings, topic) or {}).values())


def consumer_lag(settings: Settings, group: str, topic: str) -> list[Lag]:
    """Return the lag of a consumer group on every partition of a topic. An unknown group has committed nothing."""
    admin = open_admin(settings)
    ends = end_offsets(settings, topic, admin)
    with broker_errors(settings, f"the offsets of group {group}"):
        wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition) for partition in ends])
        future = admin.list_consumer_group_offsets([wanted], request_timeout=settings.broker_timeout_s)[group]
        positions = future.result().topic_partitions or []
    committed = {position.partition: position.offset for position in positions if position.offset >= 0}
    return [Lag(partition, committed.get(partition), end) for partition, end in sorted(ends.items())]


def _list(settings: Settings, admin: AdminClient, topic: str, partitions: int, spec: Any) -> dict[int, int]:
    wanted = {TopicPartition(topic, partition): spec for partition in range(partitions)}

    def look() -> tuple[dict[int, int] | None, str]:
        futures = admin.list_offsets(
            wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=settings.broker_timeout_s
        )
        try:
            return {position.partition: future.result().offset for position, future in futures.items()}, ""
        except KafkaException as exception:
            error = exception.args[0] if exception.args else None
            if isinstance(error, KafkaError) and error.code() in _LEADERLESS:
                return None, error.str()
            raise

    try:
        return wait_for(look, what=f"a leader of each partition of {topic}", timeout_s=settings.broker_timeout_s)
    except WaitTimeoutError as error:
        raise unreachable(settings, str(error)) from error
