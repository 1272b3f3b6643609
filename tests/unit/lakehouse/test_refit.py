"""Which dead letters fit the contract now, and what event each becomes."""

from __future__ import annotations

import zlib
from typing import Any

import orjson
import pytest

from orchestration.broker.dead_letters import NO_ENVELOPE, NO_ROW, DeadLetter
from orchestration.contracts import DatasetContract
from orchestration.lakehouse.refit import Refit, refit
from tests.unit.letters import GOOD, event, letter_of_record, letter_of_row, stored
from tests.unit.tiny import tiny_contract


def judged(letter: DeadLetter, contract: DatasetContract | None = None, *, check_contract: bool = True) -> Refit:
    [found] = refit(
        contract or tiny_contract(), [letter], key_field="Zone", partitions=4, check_contract=check_contract
    )
    return found


def test_a_record_that_fits_now_goes_back_byte_for_byte_to_its_partition() -> None:
    value = b" " + event(more="ü") + b"\n"
    found = judged(letter_of_record(value, offset=9, error="field fare is not a number", partition=6))
    assert (found.reason, found.value, found.key, found.partition) == (None, value, None, 2)
    assert found.headers("rides.dlq") == {
        "source.topic": b"rides.raw",
        "source.partition": b"6",
        "source.offset": b"42",
        "dead_letter.topic": b"rides.dlq",
        "dead_letter.partition": b"0",
        "dead_letter.offset": b"9",
    }


def test_a_row_that_fits_now_becomes_the_event_that_its_landing_would_have_sent() -> None:
    found = judged(letter_of_row(dict(GOOD)))
    assert (found.reason, orjson.loads(found.value), found.key) == (None, GOOD, b"7")
    assert found.partition == zlib.crc32(b"7") % 4
    # The header of landed events would make an interrupted landing believe that it had come so far.
    assert found.headers("rides.dlq")["dead_letter.row"] == b"ab12/5"
    assert "source" not in found.headers("rides.dlq")


@pytest.mark.parametrize(
    ("time", "sent"),
    [
        ("2024-01-05T08:00:00.125", "2024-01-05T08:00:00.125"),
        ("2024-01-05T08:00:00+00", "2024-01-05T08:00:00"),
        ("2024-01-05", "2024-01-05T00:00:00"),
    ],
)
def test_times_are_written_as_events_have_them(time: str, sent: str) -> None:
    found = judged(letter_of_row(GOOD | {"start": time}))
    assert found.fits
    assert orjson.loads(found.value)["start"] == sent


@pytest.mark.parametrize(
    ("letter", "reason"),
    [
        pytest.param(letter_of_record(event(fare="x")), "field fare is not a number", id="still the wrong type"),
        pytest.param(letter_of_record(None), "tombstone: the record has no value", id="tombstone"),
        pytest.param(letter_of_record(b"\xff"), "not UTF-8 text", id="bytes"),
        pytest.param(letter_of_record(event(), topic="other.raw"), "came from topic other.raw", id="another topic"),
        pytest.param(letter_of_record(event(), error=NO_ROW), NO_ROW, id="what Flink refuses"),
        pytest.param(letter_of_row(GOOD | {"start": None}), "start is required and missing", id="required"),
        pytest.param(letter_of_row(GOOD | {"fare": "NaN"}), "field fare is not a number", id="not finite"),
        pytest.param(stored(0, b"hello"), NO_ENVELOPE, id="no envelope"),
    ],
)
def test_what_does_not_fit_stays_with_the_reason(letter: DeadLetter, reason: str) -> None:
    found = judged(letter)
    assert (found.fits, found.reason) == (False, reason)


def test_a_record_need_not_have_what_a_row_must() -> None:
    assert judged(letter_of_record(event(start=None))).fits


def test_without_the_check_of_the_contract_a_row_may_lack_values() -> None:
    assert judged(letter_of_row(GOOD | {"start": None}), check_contract=False).fits


def loosened(name: str, **changes: Any) -> DatasetContract:
    contract = tiny_contract()
    columns = [column.model_copy(update=changes if column.name == name else {}) for column in contract.columns]
    return contract.model_copy(update={"columns": tuple(columns)})


def test_a_looser_contract_lets_a_letter_through() -> None:
    assert judged(letter_of_row(GOOD | {"start": None}), loosened("start", is_required=False)).fits
    assert judged(letter_of_record(event(Zone=1.5)), loosened("Zone", json_type="number")).fits


@pytest.mark.parametrize(("bronze", "value"), [("FLOAT", 1e300), ("DECIMAL(4, 2)", 100)])
def test_a_number_that_the_column_cannot_hold_does_not_fit(bronze: str, value: float) -> None:
    contract = loosened("fare", bronze=bronze)
    assert judged(letter_of_record(event(fare=value)), contract).reason == "field fare is not a number"
    assert judged(letter_of_record(event(fare=-99.5)), contract).fits


def test_many_letters_are_judged_in_order() -> None:
    letters = [letter_of_record(event() if n % 3 else b"x", offset=n) for n in range(10)]
    found = list(refit(tiny_contract(), letters, key_field="Zone", partitions=4))
    assert [(one.letter.offset, one.fits) for one in found] == [(n, n % 3 != 0) for n in range(10)]


def test_no_letters_become_no_events() -> None:
    assert list(refit(tiny_contract(), [], key_field="Zone", partitions=4)) == []
