"""Durations as people and Flink write them: `10 s`, `1 min`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_UNITS = {
    **dict.fromkeys(("ms", "milli", "millis", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1_000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
}


def parse_duration(value: object) -> timedelta:
    """Return a duration written as a number and a unit.

    Raises:
        ValueError: it is not one, or it is finer than a millisecond.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(str(value).strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{value!r} is not a duration: write a number and a unit (ms, s, min, h, d), such as 10 s")
    millis = float(match[1]) * _UNITS[match[2]]
    if millis != int(millis):
        raise ValueError(f"{value!r} is finer than a millisecond")
    if millis > 3_650 * _UNITS["d"]:
        raise ValueError(f"{value!r} is more than ten years")
    return timedelta(milliseconds=millis)


def format_duration(value: timedelta) -> str:
    """Return a duration in the largest unit that fits; Flink reads it, and so does `parse_duration`."""
    millis = round(value / timedelta(milliseconds=1))
    for unit in ("d", "h", "min", "s"):
        if millis and millis % _UNITS[unit] == 0:
            return f"{millis // _UNITS[unit]} {unit}"
    return f"{millis} ms"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
"""A field that takes `10 s` and writes it again."""
