"""The dead letter envelope, and dead letters for records that are already on the topic.

An envelope is JSON with exactly three fields: `error` (the first violation), `row`, and `timestamp` (UTC, when it was
rejected). It has no key. Two kinds share it:

- a row that the producer refused: `row` is the row of the file; header `source` says which (`generator/identity.py`);
- a record that breaks the contract though it is on the topic: `row` is {raw, encoding, topic, partition, offset};
  headers `source.topic`, `source.partition` and `source.offset` say which.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import orjson

from orchestration.broker.client import open_admin
from orchestration.broker.offsets import try_log_offsets
from orchestration.broker.producer import EventProducer
from orchestration.broker.read import Record, read_records
from orchestration.contracts import DatasetContract
from orchestration.errors import InputError, NotFoundError
from orchestration.settings import Settings

NO_ROW = "Flink's JSON format made no row of it"
"""Reason of a record that fits the contract and still gave no row."""
NO_ENVELOPE = "not an envelope"
"""What stands for the reason of a record of the dead letter topic that Millrace did not write."""

SOURCE_TOPIC = "source.topic"
SOURCE_PARTITION = "source.partition"
SOURCE_OFFSET = "source.offset"


@dataclass(frozen=True)
class BadRecord:
    """A record of the main topic that breaks the contract; `value` is None for a tombstone."""

    partition: int
    offset: int
    value: bytes | None
    reason: str


@dataclass(frozen=True)
class DeadLettered:
    """What `dead_letter_records` did: newly written, and already there."""

    written: int
    skipped: int


@dataclass(frozen=True)
class DeadLetter:
    """One envelope, read back.

    Attributes:
        row: of what is no envelope, the text.
        timestamp: when it was rejected, as the envelope has it; `at`: when the broker took it.
        source: the headers that say where it came from, as text.
        value: the record of the dead letter topic, as it stands there.
    """

    error: str
    row: Mapping[str, object]
    timestamp: str
    partition: int
    offset: int
    source: Mapping[str, str]
    at: datetime
    value: bytes | None = field(repr=False)

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset on the dead letter topic: what the letter is known by."""
        return self.partition, self.offset

    @property
    def is_record(self) -> bool:
        """Whether it is a record of a topic; else a row of a file, or no envelope."""
        return SOURCE_TOPIC in self.source

    @property
    def is_envelope(self) -> bool:
        """Whether Millrace can tell what it holds."""
        return self.error != NO_ENVELOPE

    @property
    def payload(self) -> bytes | None:
        """The record that was rejected, byte for byte; None for a tombstone and for what is no record."""
        raw = self.row.get("raw")
        if not self.is_record or not isinstance(raw, str):
            return None
        try:
            return base64.b64decode(raw, validate=True) if self.row.get("encoding") == "base64" else raw.encode()
        except binascii.Error:
            return None


def utc_text(now: datetime | None = None) -> str:
    """Return a time as the envelope writes it: ISO 8601, UTC, milliseconds."""
    return (now or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def envelope(error: str, row: Mapping[str, object], timestamp: str) -> bytes:
    """Return the JSON of one dead letter."""
    return orjson.dumps({"error": error, "row": row, "timestamp": timestamp})


def raw_row(topic: str, record: BadRecord) -> dict[str, object]:
    """Return the `row` of a record that is on the topic: its payload as text, or as base64 if it is no UTF-8 text."""
    where = {"topic": topic, "partition": record.partition, "offset": record.offset}
    if record.value is None:
        return {"raw": None, "encoding": "none", **where}
    try:
        return {"raw": record.value.decode("utf-8"), "encoding": "utf-8", **where}
    except UnicodeDecodeError:
        return {"raw": base64.b64encode(record.value).decode("ascii"), "encoding": "base64", **where}


def dead_letter_records(settings: Settings, contract: DatasetContract, records: Iterable[BadRecord]) -> DeadLettered:
    """Write records of the main topic that break the contract to the dead letter topic; idempotent.

    A record whose (topic, partition, offset) is there already is skipped, so a run that was killed between writing
    and remembering may call it again. Returns when all are acknowledged.

    Raises:
        InputError: the dead letter topic does not exist.
        ProduceError: not every dead letter was acknowledged; calling it again completes them.
        UnreachableError: the broker does not answer.
    """
    wanted = {(record.partition, record.offset): record for record in records}
    if not wanted:
        return DeadLettered(0, 0)
    topic, dead = contract.topic, contract.dlq_topic
    known = known_sources(settings, dead, topic)
    new = [record for place, record in sorted(wanted.items()) if place not in known]
    if new:
        partitions = len(_offsets(settings, dead))
        now = utc_text()
        with EventProducer(settings) as producer:
            for record in new:
                producer.send_one(
                    dead,
                    record.partition % partitions,
                    envelope(record.reason, raw_row(topic, record), now),
                    {
                        SOURCE_TOPIC: topic.encode(),
                        SOURCE_PARTITION: str(record.partition).encode(),
                        SOURCE_OFFSET: str(record.offset).encode(),
                    },
                )
            producer.finish()
    return DeadLettered(written=len(new), skipped=len(wanted) - len(new))


def known_sources(settings: Settings, dead: str, topic: str) -> set[tuple[int, int]]:
    """Return (partition, offset) of every record of `topic` that has a dead letter."""
    wanted = topic.encode()
    known: set[tuple[int, int]] = set()
    for record in chain.from_iterable(read_records(settings, dead, _offsets(settings, dead))):
        if record.headers.get(SOURCE_TOPIC) == wanted:
            known.add((_number(record, SOURCE_PARTITION), _number(record, SOURCE_OFFSET)))
    return known


def read_dead_letters(settings: Settings, contract: DatasetContract, limit: int = 100) -> list[DeadLetter]:
    """Return the newest dead letters of the dataset, at most `limit` a partition; empty without the topic."""
    logs = try_log_offsets(settings, contract.dlq_topic, open_admin(settings)) or {}
    ranges = {partition: (max(log.start, log.end - limit), log.end) for partition, log in logs.items()}
    return list(chain.from_iterable(scan_dead_letters(settings, contract, ranges)))


def scan_dead_letters(
    settings: Settings, contract: DatasetContract, ranges: Mapping[int, tuple[int, int]] | None = None
) -> Iterator[list[DeadLetter]]:
    """Yield the dead letters of each partition's [start, end) in batches; all that are kept without `ranges`."""
    if ranges is None:
        logs = try_log_offsets(settings, contract.dlq_topic) or {}
        ranges = {partition: (log.start, log.end) for partition, log in logs.items()}
    for records in read_records(settings, contract.dlq_topic, ranges):
        yield [to_dead_letter(record) for record in records]


def read_dead_letter(settings: Settings, contract: DatasetContract, partition: int, offset: int) -> DeadLetter:
    """Return one dead letter.

    Raises:
        NotFoundError: the topic does not hold it; names what it holds.
    """
    dead = contract.dlq_topic
    logs = try_log_offsets(settings, dead) or {}
    log = logs.get(partition)
    if log is not None and log.start <= offset < log.end:
        for letter in chain.from_iterable(
            scan_dead_letters(settings, contract, {partition: (offset, offset + 1)}),
        ):
            return letter
    held = ", ".join(f"{number}:{one.start} to {number}:{one.end - 1}" for number, one in logs.items() if one.records)
    raise NotFoundError(
        f"{dead} holds no dead letter {partition}:{offset}", hint=f"it holds {held}" if held else "it is empty"
    )


def to_dead_letter(record: Record) -> DeadLetter:
    """Return a record of the dead letter topic; what is no envelope is shown too, as anybody may write there."""
    body = _envelope_of(record.value)
    return DeadLetter(
        error=body["error"],
        row=body["row"],
        timestamp=str(body.get("timestamp", "")),
        partition=record.partition,
        offset=record.offset,
        source={name: value.decode("utf-8", "replace") for name, value in record.headers.items() if value},
        at=datetime.fromtimestamp(record.timestamp_ms / 1000, UTC),
        value=record.value,
    )


def _envelope_of(value: bytes | None) -> dict[str, Any]:
    try:
        body = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("error"), str) and isinstance(body.get("row"), dict):
        return body
    return {"error": NO_ENVELOPE, "row": {"raw": (value or b"").decode("utf-8", "replace")}}


def _offsets(settings: Settings, dead: str) -> dict[int, tuple[int, int]]:
    logs = try_log_offsets(settings, dead)
    if logs is None:
        raise InputError(f"there is no dead letter topic {dead}", hint="run `./millrace run`, which creates it")
    return {partition: (log.start, log.end) for partition, log in logs.items()}


def _number(record: Record, header: str) -> int:
    return int(record.headers.get(header) or b"-1")
