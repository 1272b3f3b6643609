"""Topics of a dataset: created once, checked ever after."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from orchestration.broker.client import broker_errors, open_admin
from orchestration.contracts import DatasetContract
from orchestration.errors import ConfigError, InputError, MillraceError
from orchestration.settings import Settings

CONSUMER_GROUP = "millrace-flink"
"""Group id of every Flink source."""


@dataclass(frozen=True)
class Topic:
    """A topic as it should be.

    Attributes:
        partitions: wanted number; should match the wanted parallelism of the readers.
        retention_ms: age at which the broker deletes records; -1: never.
    """

    name: str
    partitions: int
    retention_ms: int

    @property
    def config(self) -> dict[str, str]:
        """Topic-level configuration; the broker's own clock stamps records, so a producer's clock cannot date them."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "message.timestamp.type": "LogAppendTime",
        }


@dataclass(frozen=True)
class TopicState:
    """A topic as it is. `was_created` tells whether this call made it."""

    name: str
    partitions: int
    was_created: bool


def wanted_topics(settings: Settings, contract: DatasetContract) -> tuple[Topic, Topic]:
    """Return (main topic, dead letter topic) as settings and contract want them."""
    main = Topic(contract.topic, settings.topic_partitions, settings.topic_retention_ms)
    dead = Topic(contract.dlq_topic, settings.dlq_partitions, settings.dlq_retention_ms)
    return main, dead


def count_partitions(admin: AdminClient, name: str, timeout_s: float) -> int | None:
    """Return the number of partitions of a topic, None if it does not exist."""
    metadata = admin.list_topics(topic=name, timeout=timeout_s).topics.get(name)
    if metadata is None or (metadata.error is not None and metadata.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
        return None
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    return len(metadata.partitions)


def ensure_topics(settings: Settings, contract: DatasetContract) -> list[TopicState]:
    """Create the dataset's topics where they are missing; running it again changes nothing.

    Raises:
        ConfigError: a topic exists with another number of partitions. It is left as it is: more partitions would
            move keys, fewer are not possible.
        UnreachableError: the broker does not answer.
    """
    admin = open_admin(settings)
    return [_ensure(settings, admin, topic) for topic in wanted_topics(settings, contract)]


def _ensure(settings: Settings, admin: AdminClient, topic: Topic) -> TopicState:
    was_created = False
    with broker_errors(settings, f"topic {topic.name}"):
        partitions = count_partitions(admin, topic.name, settings.broker_timeout_s)
        if partitions is None:
            was_created = _create(settings, admin, topic)
            partitions = (
                topic.partitions if was_created else count_partitions(admin, topic.name, settings.broker_timeout_s)
            )
    if partitions is None:
        raise MillraceError(
            f"topic {topic.name} was created by another program and is not visible yet", hint="run again"
        )
    if partitions != topic.partitions:
        raise ConfigError(
            f"topic {topic.name} has {partitions} partitions, the settings say {topic.partitions}",
            hint=f"set TOPIC_PARTITIONS={partitions} (DLQ_PARTITIONS for the dead letters), or use a new topic name",
            context={"topic": topic.name},
        )
    return TopicState(topic.name, partitions, was_created)


def _create(settings: Settings, admin: AdminClient, topic: Topic) -> bool:
    """Create the topic; False if another program was faster."""
    new = NewTopic(topic.name, num_partitions=topic.partitions, replication_factor=-1, config=topic.config)
    future = admin.create_topics([new], operation_timeout=settings.broker_timeout_s)[topic.name]
    try:
        future.result()
    except KafkaException as exception:
        if exception.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise
    return True


def read_topic_id(settings: Settings, name: str) -> str:
    """Return the id that the broker gave a topic when it was created; a topic that is made anew has another one.

    Brokers before Kafka 2.8 give all topics the same.

    Raises:
        InputError: there is no such topic.
    """
    with broker_errors(settings, f"the id of {name}"):
        # Held by a name: an answer that is under way never comes once its client is gone.
        admin = open_admin(settings)
        future = admin.describe_topics(TopicCollection([name]), request_timeout=settings.broker_timeout_s)[name]
        try:
            return str(future.result().topic_id)
        except KafkaException as exception:
            if exception.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise InputError(f"there is no topic {name}", hint="run `./millrace run`, which creates it") from None
            raise
