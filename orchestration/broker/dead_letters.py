"""The dead letter envelope, and dead letters for records that are already on the topic.

An envelope is JSON with exactly three fields: `error` (the first violation), `row`, and `timestamp` (UTC, when it was
rejected). It has no key. Two kinds share it:

- a row that the producer refused: `row` is the row of the file; header `source` says which (`generator/identity.py`);
- a record that breaks the contract though it is on the topic: `row` is {raw, encoding, topic, partition, offset};
  headers `source.topic`, `source.partition` and `source.offset` say which.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import orjson

from orchestration.broker.client import open_admin
from orchestration.broker.offsets import try_log_offsets
from orchestration.broker.producer import EventProducer
from orchestration.broker.read import Record, read_records
from orchestration.contracts import DatasetContract
from orchestration.errors import InputError
from orchestration.settings import Settings

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
    """One envelope, read back. `source` holds the headers that say where it came from."""

    error: str
    row: Mapping[str, object]
    timestamp: str
    partition: int
    offset: int
    source: Mapping[str, str]


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
    dead = contract.dlq_topic
    logs = try_log_offsets(settings, dead, open_admin(settings)) or {}
    ranges = {partition: (max(log.start, log.end - limit), log.end) for partition, log in logs.items()}
    letters: list[DeadLetter] = []
    for record in chain.from_iterable(read_records(settings, dead, ranges)):
        try:
            body: dict[str, Any] = orjson.loads(record.value or b"")
        except orjson.JSONDecodeError:
            # Anybody may write to the topic; what is no envelope is shown, not hidden.
            body = {"error": "not an envelope", "row": {"raw": (record.value or b"").decode("utf-8", "replace")}}
        letters.append(
            DeadLetter(
                error=str(body.get("error", "")),
                row=body.get("row") or {},
                timestamp=str(body.get("timestamp", "")),
                partition=record.partition,
                offset=record.offset,
                source={name: value.decode("utf-8", "replace") for name, value in record.headers.items() if value},
            )
        )
    return letters


def _offsets(settings: Settings, dead: str) -> dict[int, tuple[int, int]]:
    logs = try_log_offsets(settings, dead)
    if logs is None:
        raise InputError(f"there is no dead letter topic {dead}", hint="run `./millrace run`, which creates it")
    return {partition: (log.start, log.end) for partition, log in logs.items()}


def _number(record: Record, header: str) -> int:
    return int(record.headers.get(header) or b"-1")
