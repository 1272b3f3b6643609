"""Topics of Kafka sinks: made with the sink's own broker, and never a reason to fail a deploy."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.cimpl import NewTopic

from orchestration.flink.queries import topics
from orchestration.flink.queries.outcome import Steps
from orchestration.flink.tables.sinks import SinkPlan
from orchestration.settings import Settings, load_settings

DDL = (
    "CREATE TABLE t (n INT) WITH ('connector' = 'kafka', 'topic' = 'orders', "
    "'properties.bootstrap.servers' = 'far:9092', 'properties.security.protocol' = 'SSL', 'format' = 'json')"
)


@dataclass
class Admin:
    """Remembers what is asked of it; `error` is what every request ends with."""

    error: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    created: list[NewTopic] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def create_topics(self, new: list[NewTopic], **_: object) -> dict[str, Future[None]]:
        self.created += new
        return {new[0].topic: self._outcome()}

    def delete_topics(self, names: list[str], **_: object) -> dict[str, Future[None]]:
        self.deleted += names
        return {names[0]: self._outcome()}

    def _outcome(self) -> Future[None]:
        future: Future[None] = Future()
        if self.error is None:
            future.set_result(None)
        else:
            future.set_exception(KafkaException(KafkaError(self.error)))
        return future


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environ={"MILLRACE_STATE_DIR": str(tmp_path), "TOPIC_PARTITIONS": "3"})


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    fake = Admin()

    def open_admin(config: dict[str, Any]) -> Admin:
        fake.config = config
        return fake

    monkeypatch.setattr("confluent_kafka.admin.AdminClient", open_admin)
    return fake


def sink(*, compacted: bool = False) -> SinkPlan:
    return SinkPlan("kafka", "kafka", "`t`", DDL, topic="orders", compacted=compacted)


@pytest.mark.parametrize(("compacted", "policy"), [(False, "delete"), (True, "compact")])
def test_a_missing_topic_is_made_on_the_sinks_own_broker(
    settings: Settings, admin: Admin, compacted: bool, policy: str
) -> None:
    assert topics.create_topic(settings, sink(compacted=compacted), Steps())
    (new,) = admin.created
    assert (new.topic, new.num_partitions, new.config["cleanup.policy"]) == ("orders", 3, policy)
    assert (admin.config["bootstrap.servers"], admin.config["security.protocol"]) == ("far:9092", "SSL")


def test_a_topic_that_is_there_is_left_as_it_is(settings: Settings, admin: Admin) -> None:
    admin.error, steps = KafkaError.TOPIC_ALREADY_EXISTS, Steps()
    assert not topics.create_topic(settings, sink(), steps)
    assert steps.warnings == []


def test_a_broker_that_refuses_gives_a_warning(settings: Settings, admin: Admin) -> None:
    admin.error, steps = KafkaError.TOPIC_AUTHORIZATION_FAILED, Steps()
    assert not topics.create_topic(settings, sink(), steps)
    assert "topic orders could not be created" in steps.warnings[0]


def test_a_deleted_topic_may_be_gone_already(settings: Settings, admin: Admin) -> None:
    assert topics.delete_topic(settings, "orders", DDL) is None
    admin.error = KafkaError.UNKNOWN_TOPIC_OR_PART
    assert topics.delete_topic(settings, "orders", DDL) is None
    admin.error = KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert "uthoriz" in (topics.delete_topic(settings, "orders", DDL) or "")
    assert admin.deleted == ["orders"] * 3
