"""Typed values out of the gateway's JSON rows.

| Flink | JSON | Python |
|---|---|---|
| BOOLEAN | true, false | bool |
| TINYINT … BIGINT | number | int |
| DECIMAL(p, s) | number without trailing zeros | Decimal with scale s |
| FLOAT, DOUBLE | number, or "NaN", "Infinity" | float |
| CHAR, VARCHAR | text | str |
| BINARY, VARBINARY | base64 | bytes |
| DATE, TIME | ISO text | date, time |
| TIMESTAMP | `2024-01-02T03:04:05.678` | naive datetime |
| TIMESTAMP_LTZ | the same with `Z` | aware datetime in UTC |
| INTERVAL DAY TO SECOND | milliseconds | timedelta |
| INTERVAL YEAR TO MONTH | months | int |
| ARRAY | list | list |
| MAP, MULTISET | object | dict |
| ROW | object | dict |
| anything else | as it is | str |

Python's datetime stops at microseconds and at the year 9999: a value beyond stays text. The gateway cannot send
VARIANT, RAW, or a MAP or MULTISET whose key is not text: such a query fails, with the advice to CAST.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation, localcontext

from orchestration.errors import FlinkError
from orchestration.flink.client.models import ColumnInfo, LogicalType

Convert = Callable[[object], object]

_NAMES = {
    "TIMESTAMP_WITHOUT_TIME_ZONE": "TIMESTAMP",
    "TIMESTAMP_WITH_LOCAL_TIME_ZONE": "TIMESTAMP_LTZ",
    "TIME_WITHOUT_TIME_ZONE": "TIME",
    "INTEGER": "INT",
}
_MAX_LENGTH = 2147483647
_MICROSECOND_DIGITS = 6


def type_text(type_: LogicalType) -> str:
    """Return a type as Flink SQL writes it, without NOT NULL."""
    name = _NAMES.get(type_.type, type_.type)
    match type_.type:
        case "VARCHAR" if type_.length == _MAX_LENGTH:
            return "STRING"
        case "VARBINARY" if type_.length == _MAX_LENGTH:
            return "BYTES"
        case "ARRAY" | "MULTISET" if type_.element_type:
            return f"{name}<{type_text(type_.element_type)}>"
        case "MAP" if type_.key_type and type_.value_type:
            return f"MAP<{type_text(type_.key_type)}, {type_text(type_.value_type)}>"
        case "ROW":
            return f"ROW<{', '.join(f'`{field.name}` {type_text(field.type)}' for field in type_.fields)}>"
        case _:
            numbers = [number for number in (type_.length, type_.precision, type_.scale) if number is not None]
            return f"{name}({', '.join(map(str, numbers))})" if numbers else name


def column_converter(column: ColumnInfo) -> Convert:
    """Return the function that turns this column's JSON values into Python values.

    Raises (when called):
        FlinkError: a value does not fit the column's type; names the column, the type and the value.
    """
    convert = converter(column.type)

    def checked(value: object) -> object:
        try:
            return convert(value)
        except (ValueError, TypeError, AttributeError, InvalidOperation, binascii.Error) as error:
            raise FlinkError(
                f"column {column.name!r} of type {type_text(column.type)} holds {value!r}, which does not fit it"
            ) from error

    return checked


def converter(type_: LogicalType) -> Convert:
    """Return the function that turns JSON values of a type into Python values; null stays None."""
    convert = _not_null(type_)
    return lambda value: None if value is None else convert(value)


def _not_null(type_: LogicalType) -> Convert:
    match type_.type:
        case "BOOLEAN":
            return _to_bool
        case "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "INTERVAL_YEAR_MONTH":
            return _to_int
        case "DECIMAL":
            return _decimal(type_.scale or 0)
        case "FLOAT" | "DOUBLE":
            return lambda value: float(str(value))
        case "CHAR" | "VARCHAR":
            return str
        case "BINARY" | "VARBINARY":
            return lambda value: base64.b64decode(str(value), validate=True)
        case "DATE":
            return _to_date
        case "TIME_WITHOUT_TIME_ZONE":
            return lambda value: time.fromisoformat(str(value).removesuffix("Z"))
        case "TIMESTAMP_WITHOUT_TIME_ZONE" | "TIMESTAMP_WITH_LOCAL_TIME_ZONE":
            return _timestamp(type_)
        case "INTERVAL_DAY_TIME":
            return lambda value: timedelta(milliseconds=_to_int(value))
        case "ARRAY" if type_.element_type:
            return _array(converter(type_.element_type))
        case "MAP" if type_.key_type and type_.value_type:
            return _map(converter(type_.key_type), converter(type_.value_type))
        case "MULTISET" if type_.element_type:
            return _map(converter(type_.element_type), _to_int)
        case "ROW":
            return _row({field.name: converter(field.type) for field in type_.fields})
        case _:
            return _to_text


def _to_bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _to_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _to_int(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else int(str(value))


def _decimal(scale: int) -> Convert:
    unit = Decimal(1).scaleb(-scale)

    def convert(value: object) -> Decimal:
        with localcontext(prec=76):
            return Decimal(str(value)).quantize(unit)

    return convert


def _to_date(value: object) -> object:
    text = str(value)
    return date.fromisoformat(text) if len(text) == len("2024-01-01") else text


def _timestamp(type_: LogicalType) -> Convert:
    if (type_.precision or 0) > _MICROSECOND_DIGITS:
        return str
    is_instant = type_.type == "TIMESTAMP_WITH_LOCAL_TIME_ZONE"

    def convert(value: object) -> object:
        text = str(value)
        if text[4:5] != "-":  # a year of more than four digits
            return text
        moment = datetime.fromisoformat(text.removesuffix("Z"))
        return moment.replace(tzinfo=UTC) if is_instant else moment

    return convert


def _array(convert: Convert) -> Convert:
    def apply(value: object) -> list[object]:
        if not isinstance(value, list):
            raise TypeError("not a list")
        return [convert(item) for item in value]

    return apply


def _map(convert_key: Convert, convert_value: Convert) -> Convert:
    def apply(value: object) -> dict[object, object]:
        if not isinstance(value, dict):
            raise TypeError("not an object")
        return {convert_key(key): convert_value(item) for key, item in value.items()}

    return apply


def _row(convert: dict[str, Convert]) -> Convert:
    def apply(value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            raise TypeError("not an object")
        return {name: each(value.get(name)) for name, each in convert.items()}

    return apply
