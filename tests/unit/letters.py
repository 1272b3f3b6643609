"""Dead letters of the tiny dataset, as they are read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson

from orchestration.broker.dead_letters import (
    SOURCE_OFFSET,
    SOURCE_PARTITION,
    SOURCE_TOPIC,
    BadRecord,
    DeadLetter,
    envelope,
    raw_row,
    to_dead_letter,
)
from orchestration.broker.read import Record

AT = datetime(2024, 3, 1, tzinfo=UTC)
GOOD = {"Zone": 7, "start": "2024-01-05T08:00:00", "fare": 12.5, "shared": False, "note": "x"}


def letter_of_record(
    value: bytes | None, *, offset: int = 0, error: str = "not JSON", topic: str = "rides.raw", partition: int = 1
) -> DeadLetter:
    """Return the letter of a record that stood at 42 of a partition."""
    row = raw_row(topic, BadRecord(partition, 42, value, error))
    headers = {SOURCE_TOPIC: topic, SOURCE_PARTITION: str(partition), SOURCE_OFFSET: "42"}
    return stored(offset, envelope(error, row, "t"), **headers)


def letter_of_row(
    row: dict[str, object], *, offset: int = 0, error: str = "start is required and missing"
) -> DeadLetter:
    """Return the letter of a row that a landing refused."""
    return stored(offset, envelope(error, row, "t"), source="ab12/5")


def stored(offset: int, value: bytes | None, **headers: str) -> DeadLetter:
    """Return a record of the dead letter topic; each came a second after the one before."""
    millis = int((AT + timedelta(seconds=offset)).timestamp() * 1000)
    return to_dead_letter(
        Record(0, offset, millis, None, value, {name: text.encode() for name, text in headers.items()})
    )


def event(**changes: object) -> bytes:
    """Return an event that fits, with changes."""
    return orjson.dumps(GOOD | changes)
