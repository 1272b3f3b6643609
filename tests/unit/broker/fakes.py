"""A producer and a consumer in the place of librdkafka's: they remember, and fail on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition


class FakeProducer:
    """Takes events until `room` are queued; each poll delivers `delivers` of them."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.room, self.delivers = 1_000_000, 1_000_000
        self.queued: list[tuple[Any, ...]] = []
        self.delivered: list[tuple[Any, ...]] = []
        self.refuses: KafkaError | None = None
        self.purged = False

    def produce(self, topic: str, value: bytes, key: bytes | None, partition: int, *rest: Any, **named: Any) -> None:
        if self.refuses:
            raise KafkaException(self.refuses)
        if len(self.queued) >= self.room:
            raise BufferError("queue full")
        headers = named.get("headers") or rest[3]
        self.queued.append((topic, value, key, partition, headers))

    def poll(self, timeout: float = 0) -> int:
        for event in self.queued[: self.delivers]:
            self.delivered.append(event)
        del self.queued[: self.delivers]
        return 0

    def flush(self, timeout: float = 0) -> int:
        self.poll()
        return len(self.queued)

    def purge(self) -> None:
        self.purged = True
        self.queued.clear()

    def __len__(self) -> int:
        return len(self.queued)

    def fail(self, code: int, *, is_fatal: bool = False) -> None:
        error = KafkaError(code, "told to", is_fatal)
        report: Callable[..., None] = self.config["error_cb"] if is_fatal else self.config["on_delivery"]
        report(error) if is_fatal else report(error, None)


class FakeMessage:
    """A message, or an event of the consumer if it has an error."""

    def __init__(
        self, partition: int, offset: int, value: bytes | None = b"{}", error: KafkaError | None = None
    ) -> None:
        self._partition, self._offset, self._value, self._error = partition, offset, value, error

    def error(self) -> KafkaError | None:
        return self._error

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return (2, 1_700_000_000_000)

    def key(self) -> bytes | None:
        return b"k"

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, bytes]] | None:
        return [("source", b"x/1")]


class FakeConsumer:
    """A topic of records that are {partition: [offsets]}; the log may end behind the last record."""

    def __init__(self, logs: dict[int, list[int]], low: dict[int, int], high: dict[int, int]) -> None:
        self.logs, self.low, self.high = logs, low, high
        self.positions: dict[int, int] = {}

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        return self.low[place.partition], self.high[place.partition]

    def assign(self, places: list[TopicPartition]) -> None:
        self.positions = {place.partition: place.offset for place in places}

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        for place in places:
            del self.positions[place.partition]

    def consume(self, count: int, timeout: float) -> list[FakeMessage]:
        found: list[FakeMessage] = []
        for partition, position in self.positions.items():
            rest = [offset for offset in self.logs[partition] if offset >= position][:count]
            found += [FakeMessage(partition, offset) for offset in rest]
            self.positions[partition] = rest[-1] + 1 if rest else self.high[partition]
            if not rest:
                end = KafkaError(KafkaError._PARTITION_EOF)
                found.append(FakeMessage(partition, self.high[partition], error=end))
        return found
