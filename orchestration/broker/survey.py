"""All topics and consumer groups of a broker at once: where the logs end, and how far each group is behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    OffsetSpec,  # pyright: ignore[reportPrivateImportUsage]
)

from orchestration.broker.client import broker_errors, open_admin
from orchestration.broker.offsets import LogRange
from orchestration.broker.read import read_records
from orchestration.errors import OffsetGapError
from orchestration.settings import Settings

MAX_TOPICS = 200
MAX_GROUPS = 50
MAX_DATED = 32
"""Partitions of which a survey reads the oldest record that a group has not read."""


@dataclass(frozen=True)
class GroupLag:
    """One partition of one group: the first offset that it has not committed, and the end of the log."""

    group: str
    topic: str
    partition: int
    committed: int
    end: int

    @property
    def lag_records(self) -> int:
        """Records that the group has not committed."""
        return max(self.end - self.committed, 0)


@dataclass(frozen=True)
class Survey:
    """What there is on the broker.

    Attributes:
        logs: (topic, partition) to its log; topics of the broker's own are left out.
        left_out: topics and groups beyond the bounds of a survey.
    """

    logs: Mapping[tuple[str, int], LogRange]
    lags: tuple[GroupLag, ...]
    left_out: int


def survey(settings: Settings, first_topics: Sequence[str], first_groups: Sequence[str]) -> Survey:
    """Ask for the logs of all topics and the offsets of all groups, in few requests.

    Args:
        first_topics, first_groups: those that are shown in any case; of the others some, by name, up to the bounds.

    Raises:
        UnreachableError: the broker does not answer.
    """
    admin = open_admin(settings)
    with broker_errors(settings, "listing topics and groups"):
        topics = admin.list_topics(timeout=settings.broker_timeout_s).topics
        listed = admin.list_consumer_groups(request_timeout=settings.broker_timeout_s).result()
        shown = _first(first_topics, (name for name in topics if not name.startswith("__")), MAX_TOPICS)
        groups = _first(first_groups, (group.group_id for group in listed.valid or ()), MAX_GROUPS)
        wanted = [
            TopicPartition(name, partition) for name in shown if name in topics for partition in topics[name].partitions
        ]
        starts = _offsets(settings, admin, wanted, OffsetSpec.earliest())
        ends = _offsets(settings, admin, wanted, OffsetSpec.latest())
    logs = {key: LogRange(starts[key], end) for key, end in ends.items() if key in starts}
    own = sum(not name.startswith("__") for name in topics)
    left_out = max(own - MAX_TOPICS, 0) + max(len(listed.valid or ()) - MAX_GROUPS, 0)
    return Survey(logs, tuple(_lags(settings, admin, groups, logs)), left_out)


def _first(wanted: Sequence[str], known: Iterable[str], most: int) -> list[str]:
    others = sorted(set(known) - set(wanted))
    return [*wanted, *others][:most]


def _offsets(
    settings: Settings, admin: AdminClient, wanted: Sequence[TopicPartition], spec: Any
) -> dict[tuple[str, int], int]:
    if not wanted:
        return {}
    request: dict[TopicPartition, Any] = dict.fromkeys(wanted, spec)
    futures = admin.list_offsets(
        request,
        isolation_level=IsolationLevel.READ_COMMITTED,
        request_timeout=settings.broker_timeout_s,
    )
    found: dict[tuple[str, int], int] = {}
    for position, future in futures.items():
        try:
            found[position.topic, position.partition] = future.result().offset
        except KafkaException:
            # One partition without a leader, or deleted meanwhile: the next survey has it or not.
            continue
    return found


def _lags(
    settings: Settings, admin: AdminClient, groups: Sequence[str], logs: Mapping[tuple[str, int], LogRange]
) -> list[GroupLag]:
    asked = {
        group: admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=settings.broker_timeout_s
        )[group]
        for group in groups
    }
    found: list[GroupLag] = []
    for group, future in asked.items():
        try:
            positions = future.result().topic_partitions or []
        except KafkaException:
            continue
        for position in positions:
            log = logs.get((position.topic, position.partition))
            if log is not None and position.offset >= 0:
                found.append(GroupLag(group, position.topic, position.partition, position.offset, log.end))
    return found


def age_of_lag(settings: Settings, lags: Sequence[GroupLag], now: datetime | None = None) -> dict[GroupLag, float]:
    """Return how long the oldest record waits that a group has not committed, in seconds, by the broker's own times.

    Nothing waits: 0. Left out are partitions beyond MAX_DATED, the longest lags first, and those whose oldest record
    retention has removed.

    Raises:
        UnreachableError: the broker does not answer.
    """
    at = now or datetime.now(UTC)
    ages = {one: 0.0 for one in lags if one.lag_records == 0}
    behind = sorted((one for one in lags if one.lag_records), key=lambda one: -one.lag_records)[:MAX_DATED]
    for key in {(one.group, one.topic): None for one in behind}:
        mine = {one.partition: one for one in behind if (one.group, one.topic) == key}
        ranges = {partition: (one.committed, one.committed + 1) for partition, one in mine.items()}
        try:
            for records in read_records(settings, key[1], ranges, batch_records=len(ranges)):
                for record in records:
                    waits_s = at.timestamp() - record.timestamp_ms / 1000
                    ages[mine[record.partition]] = max(waits_s, 0.0)
        except OffsetGapError:
            continue
    return ages
