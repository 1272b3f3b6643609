"""Offsets of a group: set, seen, and set again while a new broker makes its topic of offsets."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, cast

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from orchestration.broker.groups import set_group_offsets
from orchestration.errors import ProduceError, UnreachableError
from orchestration.settings import Settings

OFFSETS = {0: 5, 1: 7}


class FakeAdmin:
    """A coordinator that answers the first calls with errors, and at first takes only some partitions."""

    def __init__(self, errors: list[int], takes: list[set[int]]) -> None:
        self.errors, self.takes = errors, takes
        self.held: dict[int, int] = {}
        self.alters = 0

    def alter_consumer_group_offsets(self, wanted: list[Any], request_timeout: float) -> dict[str, Future[Any]]:
        self.alters += 1
        answer: Future[Any] = Future()
        if self.errors:
            answer.set_exception(KafkaException(KafkaError(self.errors.pop(0), "told to")))
            return {"g": answer}
        taken = self.takes.pop(0) if self.takes else {0, 1}
        self.held |= {one.partition: one.offset for one in wanted[0].topic_partitions if one.partition in taken}
        answer.set_result(wanted[0])
        return {"g": answer}

    def list_consumer_group_offsets(self, asked: list[Any], request_timeout: float) -> dict[str, Future[Any]]:
        answer: Future[Any] = Future()
        places = [TopicPartition("t", partition, offset) for partition, offset in self.held.items()]
        answer.set_result(ConsumerGroupTopicPartitions("g", [*places, TopicPartition("other", 0, 1)]))
        return {"g": answer}


@pytest.mark.parametrize(
    ("errors", "takes", "alters"),
    [
        ([], [], 1),
        ([KafkaError._TIMED_OUT], [], 2),
        ([KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR], [], 3),
        ([], [{1}], 2),
    ],
    ids=["at once", "no answer at first", "no coordinator yet", "one partition at first"],
)
def test_the_offsets_hold_when_it_returns(errors: list[int], takes: list[set[int]], alters: int) -> None:
    admin = FakeAdmin(errors, takes)
    set_group_offsets(Settings(), "g", "t", OFFSETS, cast("AdminClient", admin))
    assert admin.held == OFFSETS
    assert admin.alters == alters


def test_a_refusal_is_not_tried_again() -> None:
    admin = FakeAdmin([KafkaError.NON_EMPTY_GROUP], [])
    with pytest.raises(ProduceError, match="refused setting the offsets of group g"):
        set_group_offsets(Settings(), "g", "t", OFFSETS, cast("AdminClient", admin))
    assert admin.alters == 1


def test_offsets_that_never_hold_are_an_error_that_says_what_does() -> None:
    admin = FakeAdmin([], [{1}] * 1000)
    with pytest.raises(UnreachableError, match=r"it holds \{1: 7\}"):
        set_group_offsets(Settings(broker_timeout_s=1), "g", "t", OFFSETS, cast("AdminClient", admin))
