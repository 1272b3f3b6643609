"""Offsets of a topic whose partitions have no leader yet."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from orchestration.broker.offsets import LogRange, try_log_offsets
from orchestration.errors import ProduceError, UnreachableError
from orchestration.settings import Settings


class FakeAdmin:
    """A topic of one empty partition at offset 7 that answers with `code` for its first `times` questions."""

    def __init__(self, code: int, times: int) -> None:
        self._code, self._left = code, times

    def list_topics(self, topic: str, timeout: float) -> object:
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={0: None})})

    def list_offsets(self, wanted: Mapping[TopicPartition, Any], **_: object) -> dict[TopicPartition, Future[object]]:
        answers: dict[TopicPartition, Future[object]] = {}
        for position in wanted:
            future: Future[object] = Future()
            if self._left > 0:
                future.set_exception(KafkaException(KafkaError(self._code)))
            else:
                future.set_result(SimpleNamespace(offset=7))
            answers[position] = future
        self._left -= 1
        return answers


def offsets(code: int, times: int) -> dict[int, LogRange] | None:
    settings = Settings(broker_timeout_s=1)
    return try_log_offsets(settings, "t", cast(AdminClient, FakeAdmin(code, times)))


@pytest.mark.parametrize("code", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE])
def test_a_partition_without_a_leader_is_waited_for(code: int) -> None:
    found = offsets(code, times=2)
    assert found == {0: LogRange(7, 7)}


def test_a_partition_that_gets_no_leader_is_an_unreachable_broker() -> None:
    with pytest.raises(UnreachableError, match="a leader of each partition of t"):
        offsets(KafkaError.NOT_LEADER_FOR_PARTITION, times=10_000)


def test_another_refusal_is_not_repeated() -> None:
    with pytest.raises(ProduceError, match="refused the offsets of t"):
        offsets(KafkaError.TOPIC_AUTHORIZATION_FAILED, times=1)
