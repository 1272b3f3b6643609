"""Topics of Kafka sinks: made before the job starts, because the broker makes none by itself.

The sink's own options say which broker: it need not be the one of the project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.flink.queries.outcome import Steps
from orchestration.flink.tables.sinks import SinkPlan
from orchestration.flink.text.tokens import significant, string_value, tokenize

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from orchestration.settings import Settings

_SAME_IN_LIBRDKAFKA = frozenset(
    {"bootstrap.servers", "security.protocol", "sasl.mechanism", "ssl.endpoint.identification.algorithm"}
)
"""Options that the Java client and librdkafka spell alike; a login (JAAS) has to be translated by people."""


def create_topic(settings: Settings, sink: SinkPlan, steps: Steps) -> bool:
    """Create the topic of a sink if it is missing, and say whether this call made it.

    A broker that refuses or cannot be reached from here gives a warning: the topic may be there all the same, and if it
    is not, the job says so.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.cimpl import NewTopic

    topic, timeout_s = sink.topic or "", settings.broker_timeout_s
    config = {"cleanup.policy": "compact" if sink.compacted else "delete"}
    new = NewTopic(topic, num_partitions=settings.topic_partitions, replication_factor=-1, config=config)
    admin = _open_admin(settings, sink.ddl)  # a client that nobody holds ends before its answer comes
    try:
        admin.create_topics([new], request_timeout=timeout_s)[topic].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        steps.warn(f"topic {topic} could not be created ({error.args[0].str()}); it must be there before rows come")
        return False
    return True


def delete_topic(settings: Settings, topic: str, ddl: str) -> str | None:
    """Delete a topic with its records; returns why it could not be done, or None. A missing one is fine.

    Args:
        ddl: CREATE TABLE over the topic, for its broker.
    """
    from confluent_kafka import KafkaError, KafkaException

    admin = _open_admin(settings, ddl)
    try:
        admin.delete_topics([topic], request_timeout=settings.broker_timeout_s)[topic].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        return str(error.args[0].str())
    return None


def _open_admin(settings: Settings, ddl: str) -> AdminClient:
    from confluent_kafka.admin import AdminClient

    tokens = significant(tokenize(ddl))
    options = {
        (string_value(key) or "").removeprefix("properties."): string_value(value) or ""
        for key, equals, value in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if (key.kind, equals.text, value.kind) == ("string", "=", "string")
    }
    same = {key: value for key, value in options.items() if key in _SAME_IN_LIBRDKAFKA}
    return AdminClient({"bootstrap.servers": settings.broker_url, "client.id": "millrace", "log_level": 0, **same})
