"""Which dead letters fit the contract as it is now, and the event that each of them becomes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson
import pyarrow as pa

from orchestration.broker.dead_letters import NO_ENVELOPE, NO_ROW, SOURCE_PARTITION, SOURCE_TOPIC, DeadLetter
from orchestration.broker.producer import Headers
from orchestration.contracts import Column, DatasetContract
from orchestration.generator.encode import partition_of
from orchestration.generator.identity import SOURCE_HEADER
from orchestration.lakehouse.malformed import find_malformed

LETTER_TOPIC = "dead_letter.topic"
LETTER_PARTITION = "dead_letter.partition"
LETTER_OFFSET = "dead_letter.offset"
LETTER_ROW = "dead_letter.row"
"""`<identity>/<row number>` of a row of a file. Not the header of landed events: a landing that was interrupted takes
the highest row that it finds on a partition for the proof of all lower ones."""


@dataclass(frozen=True)
class Refit:
    """What becomes of one dead letter: an event, or the reason why it stays.

    Attributes:
        key, partition: of the event. A row of a file gets those that its landing would have given it; a record stays on
            its partition, without a key, which the dead letter does not have.
    """

    letter: DeadLetter
    reason: str | None
    value: bytes = b""
    key: bytes | None = None
    partition: int = 0

    @property
    def fits(self) -> bool:
        """Whether it may be replayed."""
        return self.reason is None

    def headers(self, dlq_topic: str) -> Headers:
        """Return what the event says of its dead letter, and of where that came from."""
        source = {
            LETTER_ROW if name == SOURCE_HEADER else name: text.encode() for name, text in self.letter.source.items()
        }
        return {
            **source,
            LETTER_TOPIC: dlq_topic.encode(),
            LETTER_PARTITION: str(self.letter.partition).encode(),
            LETTER_OFFSET: str(self.letter.offset).encode(),
        }


def refit(
    contract: DatasetContract,
    letters: Sequence[DeadLetter],
    *,
    key_field: str,
    partitions: int,
    check_contract: bool = True,
) -> Iterator[Refit]:
    """Yield what becomes of each letter, in order.

    Args:
        partitions: of the main topic.
        check_contract: a row of a file must have every required value, as when it is landed. A record of another
            producer need not: the quality rules judge what it lacks.
    """
    values = [_value_of(contract, letter) for letter in letters]
    numbers = [number for number, letter in enumerate(letters) if _obstacle(contract, letter) is None]
    batch = pa.table(
        {
            "partition": pa.array([0] * len(numbers), pa.int32()),
            "offset": pa.array(numbers, pa.int64()),
            "value": pa.array([values[number] for number in numbers], pa.binary()),
        }
    )
    malformed = {record.offset: record.reason for record in find_malformed(contract, [batch])}
    for number, letter in enumerate(letters):
        reason = _obstacle(contract, letter) or malformed.get(number)
        if reason is None and check_contract and not letter.is_record:
            reason = _missing(contract, letter.row)
        value = values[number]
        if reason is not None or value is None:
            yield Refit(letter, reason)
        elif letter.is_record:
            yield Refit(letter, None, value, None, int(letter.source.get(SOURCE_PARTITION, 0)) % partitions)
        else:
            key = _key_text(letter.row.get(key_field)).encode()
            yield Refit(letter, None, value, key, partition_of(key, partitions))


def _obstacle(contract: DatasetContract, letter: DeadLetter) -> str | None:
    """Return why a letter cannot be replayed whatever the contract says."""
    if not letter.is_envelope:
        return NO_ENVELOPE
    if not letter.is_record:
        return None
    topic = letter.source[SOURCE_TOPIC]
    if topic != contract.topic:
        return f"came from topic {topic}"
    # The contract never was what kept it out: it would come back as a new dead letter.
    return NO_ROW if letter.error == NO_ROW else None


def _value_of(contract: DatasetContract, letter: DeadLetter) -> bytes | None:
    if letter.is_record:
        return letter.payload
    names = [column for column in contract.columns if column.name in letter.row]
    return orjson.dumps({column.name: _json_value(column, letter.row[column.name]) for column in names})


def _json_value(column: Column, value: object) -> object:
    """Return a value of a dead letter as an event has it; the letter tells times as DuckDB prints them."""
    if column.json_type == "date-time" and isinstance(value, str):
        time = value.removesuffix("+00")
        return time if "T" in time else f"{time}T00:00:00"
    return value


def _missing(contract: DatasetContract, row: Mapping[str, object]) -> str | None:
    names = (column.name for column in contract.columns if column.is_required and row.get(column.name) is None)
    return next((f"{name} is required and missing" for name in names), None)


def _key_text(value: object) -> str:
    """Return the text of a key as the encoder of a landing prints it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
