"""The committed offsets of a consumer group, set from outside."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from orchestration.broker.client import broker_errors, open_admin
from orchestration.settings import Settings


def set_group_offsets(settings: Settings, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Set where a group goes on reading, for each partition. No member of the group may be active.

    Raises:
        ProduceError: the broker refuses, for example because the group has members.
        UnreachableError: it does not answer.
    """
    admin = open_admin(settings)
    positions = [TopicPartition(topic, partition, offset) for partition, offset in sorted(offsets.items())]
    with broker_errors(settings, f"setting the offsets of group {group}"):
        wanted = ConsumerGroupTopicPartitions(group, positions)
        admin.alter_consumer_group_offsets([wanted], request_timeout=settings.broker_timeout_s)[group].result()
