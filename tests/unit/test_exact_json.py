"""JSON that loses nothing."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.exact_json import json_text, to_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (2**63 - 1, "9223372036854775807"),
        (Decimal("150.50"), "150.50"),
        (Decimal("12345678901234567890.123456789012345678"), "12345678901234567890.123456789012345678"),
        (Decimal("1E+3"), "1000"),
        (0.1, "0.1"),
        (float("nan"), '"NaN"'),
        (float("inf"), '"Infinity"'),
        (float("-inf"), '"-Infinity"'),
        ("é\n", '"é\\n"'),
        (b"\x01\x02\x03", '"AQID"'),
        (date(2024, 1, 2), '"2024-01-02"'),
        (time(3, 4, 5), '"03:04:05"'),
        (datetime(2024, 1, 2, 3, 4, 5, 678000), '"2024-01-02T03:04:05.678000"'),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), '"2024-01-02T03:04:05Z"'),
        (timedelta(days=1, milliseconds=5), "86400005"),
        (timedelta(milliseconds=-5), "-5"),
        ([1, [Decimal("1.10")]], "[1, [1.10]]"),
        ({"a": {"b": b"\x01"}}, '{"a": {"b": "AQ=="}}'),
        ({1: "x", date(2024, 1, 2): "y"}, '{"1": "x", "2024-01-02": "y"}'),
        (("customer_123", Decimal("150.50")), '["customer_123", 150.50]'),
    ],
    ids=repr,
)
def test_values_become_json_without_loss(value: object, text: str) -> None:
    assert json_text(to_json(value)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18))
def test_a_decimal_is_read_back_as_it_was(value: Decimal) -> None:
    assert json.loads(json_text(to_json(value)), parse_float=Decimal, parse_int=Decimal) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param([Decimal("1E+3")], "[1000]", id="no exponent"),
        pytest.param({"a": {"b": [Decimal("0.10")]}, "é": None}, '{"a": {"b": [0.10]}, "é": null}', id="nested"),
        pytest.param([True, 1.5, None], "[true, 1.5, null]", id="plain"),
    ],
)
def test_json_keeps_every_digit(value: object, text: str) -> None:
    assert json_text(value) == text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_a_line_of_json_is_one_line_that_reads_back(value: object) -> None:
    line = json_text(value)
    assert json.loads(line) == value
    assert "\n" not in line
