"""Records that Flink's JSON format would drop or bend are found, with the reason."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from orchestration.broker.dead_letters import BadRecord
from orchestration.lakehouse.malformed import find_malformed
from tests.unit.tiny import tiny_contract

GOOD: dict[str, Any] = {"Zone": 7, "start": "2024-01-05T08:00:00", "fare": 12.5, "shared": False, "note": "x"}


def records(*values: bytes | None) -> pa.Table:
    return pa.table(
        {
            "partition": pa.array([0] * len(values), pa.int32()),
            "offset": pa.array(range(len(values)), pa.int64()),
            "value": pa.array(values, pa.binary()),
        }
    )


def reason_of(value: bytes | None) -> str | None:
    found = find_malformed(tiny_contract(), [records(value)])
    return found[0].reason if found else None


def event(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(event(), id="as the contract says"),
        pytest.param(event(Zone=None, start=None, fare=None, shared=None, note=None), id="all null"),
        pytest.param(b"{}", id="all absent"),
        pytest.param(event(more="x"), id="an extra field"),
        pytest.param(event(fare=12), id="a whole number where a number belongs"),
        pytest.param(event(Zone=7.0), id="7.0 is an integer"),
        pytest.param(event(Zone=-(2**63)), id="smallest 64 bits"),
        pytest.param(event(start="2024-01-05T08:00"), id="time without seconds"),
        pytest.param(event(start="2024-01-05T08:00:00.123"), id="time with a fraction"),
        pytest.param(event(note="ünï ${x} ' \" \\ \n"), id="any text"),
        pytest.param(b"  " + event() + b"\n", id="blanks around it"),
    ],
)
def test_a_record_that_fits_is_not_found(value: bytes) -> None:
    assert reason_of(value) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, "tombstone: the record has no value", id="tombstone"),
        pytest.param(b"\xff\xfe\x00", "not UTF-8 text", id="bytes"),
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"hello", "not JSON", id="text"),
        pytest.param(event()[:-1], "not JSON", id="truncated"),
        pytest.param(event() + b"x", "not JSON", id="text after the object"),
        pytest.param(event() + event(), "not JSON", id="two objects"),
        pytest.param(b'{"fare": NaN}', "field fare is not a number", id="NaN"),
        pytest.param(b"null", "JSON, but not an object", id="null"),
        pytest.param(b"[1]", "JSON, but not an object", id="array"),
        pytest.param(b"[{}]", "JSON, but not an object", id="array of objects"),
        pytest.param(b"3", "JSON, but not an object", id="scalar"),
        pytest.param(event(Zone="7"), "field Zone is not an integer", id="text for an integer"),
        pytest.param(event(Zone=8.9), "field Zone is not an integer", id="fraction for an integer"),
        pytest.param(event(Zone=True), "field Zone is not an integer", id="boolean for an integer"),
        pytest.param(event(Zone=2**63), "field Zone is not an integer", id="integer overflow"),
        pytest.param(event(Zone={}), "field Zone is not an integer", id="object for an integer"),
        pytest.param(event(fare="1"), "field fare is not a number", id="text for a number"),
        pytest.param(event(fare=[1]), "field fare is not a number", id="array for a number"),
        pytest.param(event(fare=True), "field fare is not a number", id="boolean for a number"),
        pytest.param(b'{"fare": 1e999}', "field fare is not a number", id="number beyond a double"),
        pytest.param(event(shared=0), "field shared is not a boolean", id="number for a boolean"),
        pytest.param(event(note=5), "field note is not a string", id="number for text"),
        pytest.param(event(start=1704441600), "field start is not a date-time", id="number for a time"),
        pytest.param(event(start="2024-01-05 08:00:00"), "field start is not a date-time", id="blank for the T"),
        pytest.param(event(start="2024-02-30T08:00:00"), "field start is not a date-time", id="no such day"),
        pytest.param(event(start="2024-01-05T08:00:00Z"), "field start is not a date-time", id="time with a zone"),
        pytest.param(event(start="2024-01-05T24:00:00"), "field start is not a date-time", id="hour 24"),
        # Flink takes the last one, DuckDB the first: neither is what the sender meant.
        pytest.param(b'{"Zone": 1, "Zone": "x"}', "a field is there twice", id="duplicate key"),
        pytest.param(b"\xef\xbb\xbf" + event(), "not JSON", id="byte-order mark"),
        pytest.param(event(start="soon"), "field start is not a date-time", id="text for a time"),
    ],
)
def test_a_record_that_breaks_the_contract_is_found_with_the_reason(value: bytes | None, reason: str) -> None:
    assert reason_of(value) == reason


def test_records_come_with_their_place_and_raw_bytes_in_order() -> None:
    found = find_malformed(tiny_contract(), [records(event(), b"x", event()), records(None)])
    assert found == [BadRecord(0, 1, b"x", "not JSON"), BadRecord(0, 0, None, "tombstone: the record has no value")]


def test_the_first_field_that_is_wrong_is_the_reason() -> None:
    assert reason_of(event(Zone="a", fare="b")) == "field Zone is not an integer"


def test_record_batches_are_taken_too() -> None:
    batch = records(b"x").to_batches()[0]
    assert len(find_malformed(tiny_contract(), iter([batch]))) == 1


def test_nothing_to_check_finds_nothing() -> None:
    assert find_malformed(tiny_contract(), []) == []
