"""Dead letters by class, and which of them are meant."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestration.broker.dead_letters import NO_ENVELOPE, NO_ROW
from orchestration.broker.letter_list import Selection, class_of, list_letters
from tests.unit.letters import AT, letter_of_record, letter_of_row, stored


@pytest.mark.parametrize(
    ("reason", "class_name"),
    [
        ("not JSON", "malformed"),
        ("JSON, but not an object", "malformed"),
        ("not UTF-8 text", "malformed"),
        ("note is not UTF-8 text", "malformed"),
        ("a field is there twice", "malformed"),
        (NO_ROW, "malformed"),
        ("tombstone: the record has no value", "tombstone"),
        ("field fare is not a number", "wrong_type"),
        ("field Zone is not an integer", "wrong_type"),
        ("Zone is not a whole number", "wrong_type"),
        ("start is required and missing", "missing"),
        ("Zone is out of the range of INT", "out_of_range"),
        ("fare is not a finite number", "out_of_range"),
        ("start is not in the years 1 to 9999", "out_of_range"),
        (NO_ENVELOPE, "no_envelope"),
        ("the cat did it", "other"),
    ],
)
def test_a_reason_has_a_class(reason: str, class_name: str) -> None:
    assert class_of(reason) == class_name


LETTERS = [
    letter_of_record(b"x", offset=0),
    letter_of_record(b"y", offset=1),
    letter_of_record(b"{}", offset=2, error="field fare is not a number"),
    letter_of_row({}, offset=3),
    stored(4, b"hello"),
]


@pytest.mark.parametrize(
    ("selection", "offsets"),
    [
        pytest.param(Selection(), [0, 1, 2, 3, 4], id="all"),
        pytest.param(Selection("malformed"), [0, 1], id="a class"),
        pytest.param(Selection("FARE is"), [2], id="a part of the reason"),
        pytest.param(Selection(since=AT + timedelta(seconds=3)), [3, 4], id="since"),
        pytest.param(Selection(places=frozenset({(0, 1), (0, 4), (1, 2)})), [1, 4], id="places"),
        pytest.param(Selection("malformed", places=frozenset({(0, 1), (0, 4)})), [1], id="both"),
    ],
)
def test_a_selection_takes(selection: Selection, offsets: list[int]) -> None:
    assert [letter.offset for letter in LETTERS if selection.takes(letter)] == offsets


def test_the_list_counts_all_and_keeps_the_newest() -> None:
    found = list_letters(LETTERS, Selection(), limit=2, replayed=frozenset({(0, 2)}))
    assert found.letters == 5
    assert found.classes() == {"no_envelope": 1, "malformed": 2, "missing": 1, "wrong_type": 1}
    assert [letter.offset for letter in found.newest] == [4, 3]
    assert [(one.reason, one.letters, one.replayed, one.newest) for one in found.reasons] == [
        ("not JSON", 2, 0, AT + timedelta(seconds=1)),
        ("field fare is not a number", 1, 1, AT + timedelta(seconds=2)),
        (NO_ENVELOPE, 1, 0, AT + timedelta(seconds=4)),
        ("start is required and missing", 1, 0, AT + timedelta(seconds=3)),
    ]


def test_a_limit_of_none_shows_counts_alone() -> None:
    found = list_letters(LETTERS, Selection(), limit=0)
    assert (found.letters, found.newest) == (5, ())
