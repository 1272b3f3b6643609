"""Every event is acknowledged, or the run fails and says how many are not."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError

from orchestration.broker import producer as module
from orchestration.broker.producer import PRODUCER_OPTIONS, EventProducer
from orchestration.errors import ProduceError
from orchestration.settings import Settings
from tests.unit.broker.fakes import FakeProducer


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> tuple[EventProducer, FakeProducer]:
    made: list[FakeProducer] = []

    def make(config: dict[str, Any]) -> FakeProducer:
        made.append(FakeProducer(config))
        return made[-1]

    monkeypatch.setattr(module, "Producer", make)
    return EventProducer(Settings(broker_url="b:1", producer_flush_timeout_s=1)), made[0]


def send(producer: EventProducer, count: int) -> None:
    producer.send("t", [b"v"] * count, [b"k"] * count, [1] * count, [b"f/%d" % row for row in range(count)], "source")


def test_the_producer_is_idempotent_gapless_and_waits_for_all_replicas() -> None:
    wanted = {"enable.idempotence": True, "enable.gapless.guarantee": True, "acks": "all", "compression.type": "lz4"}
    assert wanted.items() <= PRODUCER_OPTIONS.items()


def test_events_carry_key_partition_and_header_in_order(opened: tuple[EventProducer, FakeProducer]) -> None:
    producer, fake = opened
    send(producer, 3)
    producer.finish()
    assert fake.delivered == [("t", b"v", b"k", 1, {"source": b"f/%d" % row}) for row in range(3)]
    assert (producer.sent, producer.failed) == (3, 0)


def test_a_full_queue_is_waited_for_and_no_event_is_lost_or_reordered(
    opened: tuple[EventProducer, FakeProducer],
) -> None:
    producer, fake = opened
    fake.room, fake.delivers = 2, 1
    send(producer, 10)
    producer.finish()
    assert [event[4]["source"] for event in fake.delivered] == [b"f/%d" % row for row in range(10)]


def test_a_failed_delivery_fails_the_run_with_the_count(opened: tuple[EventProducer, FakeProducer]) -> None:
    producer, fake = opened
    send(producer, 5)
    fake.fail(KafkaError._MSG_TIMED_OUT)
    fake.fail(KafkaError._MSG_TIMED_OUT)
    with pytest.raises(
        ProduceError, match="at least 2 of 5 events were not acknowledged by the broker at b:1: told to"
    ):
        producer.finish()


def test_a_fatal_error_stops_the_sending(opened: tuple[EventProducer, FakeProducer]) -> None:
    producer, fake = opened
    fake.fail(KafkaError._GAPLESS_GUARANTEE, is_fatal=True)
    with pytest.raises(ProduceError, match="told to"):
        send(producer, 5)


def test_a_queue_that_does_not_move_fails_with_what_is_left(opened: tuple[EventProducer, FakeProducer]) -> None:
    producer, fake = opened
    fake.delivers = 0
    send(producer, 4)
    with pytest.raises(ProduceError, match="4 of 4 events were not acknowledged"):
        producer.finish()


def test_a_refused_event_is_an_error(opened: tuple[EventProducer, FakeProducer]) -> None:
    producer, fake = opened
    fake.refuses = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")
    with pytest.raises(ProduceError, match="refused an event: too large"):
        send(producer, 1)


def test_an_error_in_the_block_drops_what_is_queued(opened: tuple[EventProducer, FakeProducer]) -> None:
    producer, fake = opened
    with pytest.raises(KeyboardInterrupt), producer:
        raise KeyboardInterrupt
    assert fake.purged
