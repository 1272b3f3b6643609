"""The accounting equations, as they are checked and as they are shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestration.lakehouse.counts import Counts

BALANCED = Counts(produced=1_010, dead_lettered=10, bronze=1_000, silver=900, duplicates=60, rejected=40)


def test_balanced_counts_hold_and_show_their_numbers() -> None:
    assert BALANCED.equations() == {
        "produced = bronze + dead_lettered": (True, "1,010 = 1,000 + 10"),
        "bronze = silver + duplicates + rejected": (True, "1,000 = 900 + 60 + 40"),
    }


@pytest.mark.parametrize(
    ("field", "broken"),
    [
        ("produced", [True, False]),
        ("dead_lettered", [True, False]),
        ("bronze", [True, True]),
        ("silver", [False, True]),
        ("duplicates", [False, True]),
        ("rejected", [False, True]),
    ],
)
def test_one_row_too_many_anywhere_breaks_an_equation(field: str, broken: list[bool]) -> None:
    counts = replace(BALANCED, **{field: getattr(BALANCED, field) + 1})
    assert [not holds for holds, _ in counts.equations().values()] == broken


def test_counts_are_shown_by_name() -> None:
    assert BALANCED.as_dict() == {
        "produced": 1_010,
        "dead_lettered": 10,
        "bronze": 1_000,
        "silver": 900,
        "duplicates": 60,
        "rejected": 40,
    }
