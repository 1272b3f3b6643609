"""Durations as in YAML and in Flink."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.flink.text.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10 s", 10), ("1min", 60), ("500 ms", 0.5), ("1.5 h", 5400), ("2 Days", 172_800), (" 3 sec ", 3), ("0 s", 0)],
)
def test_a_number_and_a_unit_are_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["10", 10, "s", "", "-1 s", "1 s 2 ms", "10 fortnights", "0.1 ms", "99999 d", None])
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@given(
    st.timedeltas(min_value=timedelta(), max_value=timedelta(days=3000)).map(
        lambda d: d - d % timedelta(microseconds=1000)
    )
)
def test_what_is_written_is_read_back(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


def test_the_largest_unit_that_fits_is_written() -> None:
    assert [format_duration(timedelta(seconds=s)) for s in (0, 0.5, 10, 90, 3600, 86_400)] == [
        "0 ms",
        "500 ms",
        "10 s",
        "90 s",
        "1 h",
        "1 d",
    ]
