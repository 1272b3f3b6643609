"""Values of rows as JSON that loses nothing: decimals with all their digits, times as ISO text."""

from __future__ import annotations

import base64
import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | Decimal | list[Json] | dict[str, Json] | None"
"""What `json_text` writes. Decimal is in it, because a JSON number can hold it and a float cannot."""

_MILLISECOND = timedelta(milliseconds=1)


def to_json(value: object) -> Json:
    """Return a value of a row, or a whole row, as JSON.

    Decimals stay Decimal; times are ISO text, with `Z` for an instant; an interval is its milliseconds; bytes are
    base64; NaN and Infinity are text; keys of a map are text.
    """
    match value:
        case None | bool() | int() | str() | Decimal():
            return value
        case float():
            return value if math.isfinite(value) else {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.isoformat().removesuffix("+00:00") + ("Z" if value.tzinfo else "")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value // _MILLISECOND
        case list() | tuple():
            return [to_json(item) for item in value]
        case dict():
            return {_key(key): to_json(item) for key, item in value.items()}
        case _:
            return str(value)


def json_text(value: object) -> str:
    """Return a value as JSON on one line; decimals are numbers with all their digits."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return _exact_text(value)


def _exact_text(value: object) -> str:
    """As `json_text`: Python's encoder would pass a decimal through a float."""
    match value:
        case Decimal():
            return format(value, "f")
        case dict():
            items = (f"{json.dumps(str(key), ensure_ascii=False)}: {json_text(item)}" for key, item in value.items())
            return f"{{{', '.join(items)}}}"
        case list() | tuple():
            return f"[{', '.join(map(json_text, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)


def _key(key: object) -> str:
    encoded = to_json(key)
    return encoded if isinstance(encoded, str) else json_text(encoded)
