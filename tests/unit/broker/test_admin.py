"""Topics as settings and contract want them."""

from __future__ import annotations

from orchestration.broker.admin import Topic, wanted_topics
from orchestration.settings import Settings
from tests.unit.tiny import tiny_contract


def test_names_come_from_the_contract_and_sizes_from_the_settings() -> None:
    settings = Settings(topic_partitions=6, dlq_partitions=2, topic_retention_ms=1000, dlq_retention_ms=2000)
    assert wanted_topics(settings, tiny_contract()) == (Topic("rides.raw", 6, 1000), Topic("rides.dlq", 2, 2000))


def test_the_broker_stamps_and_deletes_by_age() -> None:
    assert Topic("t", 1, 5).config == {
        "cleanup.policy": "delete",
        "retention.ms": "5",
        "message.timestamp.type": "LogAppendTime",
    }
