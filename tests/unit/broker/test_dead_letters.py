"""The dead letter envelope of records that are on the topic."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestration.broker.dead_letters import (
    NO_ENVELOPE,
    SOURCE_TOPIC,
    BadRecord,
    envelope,
    raw_row,
    to_dead_letter,
    utc_text,
)
from orchestration.broker.read import Record


@pytest.mark.parametrize(
    ("value", "raw", "encoding"),
    [
        pytest.param(b'{"a": 1', '{"a": 1', "utf-8", id="text"),
        pytest.param("ü\n".encode(), "ü\n", "utf-8", id="unicode"),
        pytest.param(b"\xff\x00", "/wA=", "base64", id="bytes"),
        pytest.param(b"", "", "utf-8", id="empty"),
        pytest.param(None, None, "none", id="tombstone"),
    ],
)
def test_a_payload_is_kept_whole(value: bytes | None, raw: str | None, encoding: str) -> None:
    row = raw_row("rides.raw", BadRecord(3, 42, value, "not JSON"))
    assert row == {"raw": raw, "encoding": encoding, "topic": "rides.raw", "partition": 3, "offset": 42}


def test_an_envelope_has_exactly_three_fields() -> None:
    at = utc_text(datetime(2024, 3, 1, 12, 0, 0, 5000, UTC))
    assert json.loads(envelope("not JSON", {"raw": "x"}, at)) == {
        "error": "not JSON",
        "row": {"raw": "x"},
        "timestamp": "2024-03-01T12:00:00.005Z",
    }


def stored(value: bytes | None, **headers: bytes) -> Record:
    return Record(0, 7, 1_700_000_000_000, None, value, headers)


@pytest.mark.parametrize("value", [b'{"a": 1', "ü".encode(), b"\xff\x00", b"", None])
def test_the_payload_of_a_record_is_read_back_byte_for_byte(value: bytes | None) -> None:
    row = raw_row("rides.raw", BadRecord(3, 42, value, "not JSON"))
    letter = to_dead_letter(stored(envelope("not JSON", row, "t"), **{SOURCE_TOPIC: b"rides.raw"}))
    assert (letter.is_record, letter.payload, letter.place) == (True, value, (0, 7))
    assert letter.at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_a_row_of_a_file_has_no_payload_of_its_own() -> None:
    letter = to_dead_letter(stored(envelope("fare is missing", {"fare": None}, "t"), source=b"ab/1"))
    assert (letter.is_record, letter.payload, letter.row) == (False, None, {"fare": None})


@pytest.mark.parametrize("value", [b"hello", b"[]", b"{}", b'{"error": 1, "row": {}}', b'{"error": "x"}', None])
def test_what_is_no_envelope_is_shown_as_such(value: bytes | None) -> None:
    letter = to_dead_letter(stored(value))
    assert (letter.error, letter.is_envelope) == (NO_ENVELOPE, False)
    assert letter.row == {"raw": (value or b"").decode()}
