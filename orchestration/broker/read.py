"""Bounded reading of raw records: from given offsets to given offsets, and then it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from orchestration.broker.client import broker_errors, open_consumer, unreachable
from orchestration.errors import OffsetGapError
from orchestration.settings import Settings

RECORD_SCHEMA = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp_ms", pa.int64(), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("headers", pa.map_(pa.string(), pa.binary()), nullable=False),
    ]
)
"""Columns of `read_range`; a tombstone has a null value."""


class Record(NamedTuple):
    """One record of a topic. `value` None is a tombstone; of two headers of one name the last counts."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes | None]


_BATCH = 10_000
_LOOK_S = 0.5


def read_range(
    settings: Settings, topic: str, ranges: Mapping[int, tuple[int, int]], *, batch_records: int = _BATCH
) -> Iterator[pa.RecordBatch]:
    """Yield the records of each partition's [start, end) as Arrow batches of RECORD_SCHEMA.

    Partitions are interleaved, each in order of offset. Offsets that hold no record (transaction markers) are passed
    over. Ends when every partition stands at its end, and never waits for a record that does not exist.

    Raises:
        OffsetGapError: a start offset is not in the log any more, or an end lies beyond it.
        UnreachableError: nothing arrived for `broker_timeout_s`.
    """
    for records in read_records(settings, topic, ranges, batch_records=batch_records):
        yield to_batch(records)


def read_records(
    settings: Settings, topic: str, ranges: Mapping[int, tuple[int, int]], *, batch_records: int = _BATCH
) -> Iterator[list[Record]]:
    """Yield the records of each partition's [start, end) as lists; see `read_range`."""
    open_ends = {partition: end for partition, (start, end) in ranges.items() if start < end}
    if not open_ends:
        return
    with broker_errors(settings, f"reading {topic}"), open_consumer(settings) as consumer:
        _check(settings, consumer, topic, {partition: ranges[partition] for partition in open_ends})
        consumer.assign([TopicPartition(topic, partition, ranges[partition][0]) for partition in open_ends])
        idle_since = time.monotonic()
        while open_ends:
            found, positions = _sort_out(consumer.consume(batch_records, _LOOK_S), open_ends)
            if found:
                yield found
            _close_ended(consumer, topic, open_ends, positions)
            if positions:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > settings.broker_timeout_s:
                waiting = ", ".join(f"{partition} up to offset {end}" for partition, end in sorted(open_ends.items()))
                raise unreachable(
                    settings, f"no record of {topic} for {settings.broker_timeout_s:g} s; partitions {waiting}"
                )


def _check(settings: Settings, consumer: Consumer, topic: str, ranges: Mapping[int, tuple[int, int]]) -> None:
    for partition, (start, end) in sorted(ranges.items()):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), settings.broker_timeout_s)
        if start < low or end > high:
            raise OffsetGapError(
                f"partition {partition} of topic {topic} holds offsets {low} to {high}, wanted: {start} to {end}",
                hint="retention removed the records, or the topic was created anew",
            )


def _sort_out(messages: list[Message], ends: Mapping[int, int]) -> tuple[list[Record], dict[int, int]]:
    """Return the records before their partition's end, and the next offset of each partition that was heard of."""
    found: list[Record] = []
    positions: dict[int, int] = {}
    for message in messages:
        error, partition, offset = message.error(), message.partition() or 0, message.offset() or 0
        if error is not None:
            # The end of the log is an event: behind the last record there may be markers that are no records.
            if error.code() == KafkaError._PARTITION_EOF:
                positions[partition] = offset
            elif not error.retriable():
                raise KafkaException(error)
            continue
        positions[partition] = offset + 1
        if offset < ends.get(partition, -1):
            headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
            found.append(
                Record(partition, offset, message.timestamp()[1], message.key(), message.value(), dict(headers))
            )
    return found, positions


def _close_ended(consumer: Consumer, topic: str, open_ends: dict[int, int], positions: Mapping[int, int]) -> None:
    """Stop reading the partitions that reached their end."""
    ended = [
        partition for partition, position in positions.items() if position >= open_ends.get(partition, position + 1)
    ]
    for partition in ended:
        del open_ends[partition]
    if ended:
        consumer.incremental_unassign([TopicPartition(topic, partition) for partition in ended])


def to_batch(records: list[Record]) -> pa.RecordBatch:
    """Return records as one Arrow batch of RECORD_SCHEMA."""
    columns = list(zip(*records, strict=True)) or [()] * len(RECORD_SCHEMA)
    columns[-1] = tuple(list(headers.items()) for headers in columns[-1])
    return pa.record_batch(
        [pa.array(column, field.type) for column, field in zip(columns, RECORD_SCHEMA, strict=True)],
        schema=RECORD_SCHEMA,
    )
