"""The dead letter envelope of records that are on the topic."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestration.broker.dead_letters import BadRecord, envelope, raw_row, utc_text


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
