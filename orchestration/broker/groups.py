"""The committed offsets of a consumer group, set from outside."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from orchestration.broker.client import broker_errors, open_admin, unreachable
from orchestration.settings import Settings
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

_TRY_S = 3.0
"""The first question about a group makes a new broker create the topic of offsets, and may never be answered."""
_NOT_YET = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)


def set_group_offsets(
    settings: Settings, group: str, topic: str, offsets: Mapping[int, int], admin: AdminClient | None = None
) -> None:
    """Set where a group goes on reading, for each partition, and see that it holds. No member of it may be active.

    Args:
        admin: None: one is opened.

    Raises:
        ProduceError: the broker refuses, for example because the group has members.
        UnreachableError: it does not answer, or does not hold the offsets in time.
    """
    client = admin or open_admin(settings)
    positions = [TopicPartition(topic, partition, offset) for partition, offset in sorted(offsets.items())]

    def look() -> tuple[bool | None, object]:
        try:
            wanted = ConsumerGroupTopicPartitions(group, positions)
            client.alter_consumer_group_offsets([wanted], request_timeout=_TRY_S)[group].result()
            asked = ConsumerGroupTopicPartitions(group)
            answer = client.list_consumer_group_offsets([asked], request_timeout=_TRY_S)[group].result()
        except KafkaException as exception:
            error = exception.args[0]
            if error.code() in _NOT_YET:
                return None, error.str()
            raise
        # The call succeeds as a whole also where a single partition was refused.
        held = {place.partition: place.offset for place in answer.topic_partitions if place.topic == topic}
        return (True if dict(offsets).items() <= held.items() else None), f"it holds {held}"

    what = f"the offsets of group {group}"
    try:
        with broker_errors(settings, f"setting {what}"):
            wait_for(look, what=what, timeout_s=settings.broker_timeout_s, backoff=Backoff(0.1, 1.0))
    except WaitTimeoutError as error:
        raise unreachable(settings, str(error)) from error
