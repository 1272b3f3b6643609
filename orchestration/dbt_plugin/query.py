"""One DuckDB query as columns and rows, and its exact form in JSON and in text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from orchestration.errors import MillraceError
from orchestration.redaction import redact

if TYPE_CHECKING:
    import duckdb

_NUMBERS = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "HUGEINT")


@dataclass(frozen=True)
class QueryResult:
    """What a statement returned; no columns for a statement that returns nothing.

    Attributes:
        types: DuckDB's name of each column's type.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the columns that hold numbers."""
        return tuple(
            name for name, kind in zip(self.columns, self.types, strict=True) if any(part in kind for part in _NUMBERS)
        )


def run_query(conn: duckdb.DuckDBPyConnection, sql: str) -> QueryResult:
    """Run one or more statements and return the result of the last one, with unique column names.

    Raises:
        MillraceError: DuckDB's reason, in one line.
    """
    import duckdb

    try:
        conn.execute(sql)
        described = cast("list[tuple[object, ...]]", conn.description or [])
        rows = tuple(tuple(row) for row in conn.fetchall()) if described else ()
    except duckdb.Error as error:
        raise MillraceError(f"the query failed: {_one_line(str(error))}") from None
    return QueryResult(
        _unique([str(column[0]) for column in described]), tuple(str(column[1]) for column in described), rows
    )


def to_json(result: QueryResult) -> str:
    """Return the rows as a JSON list of objects, one row a line.

    Decimals and wide integers are JSON numbers with all their digits, dates and times ISO 8601, what JSON has no number
    for (NaN, infinity) null, anything else text.
    """
    lines = [_json(dict(zip(result.columns, row, strict=True))) for row in result.rows]
    return "[\n" + ",\n".join(lines) + "\n]" if lines else "[]"


def to_text(value: object) -> str:
    """Return a value as a table shows it; null is empty."""
    if value is None:
        return ""
    if isinstance(value, datetime | date | time):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return _json(value) if isinstance(value, Mapping | list | tuple) else str(value)


def _json(value: object) -> str:
    # By hand, since json.dumps can write a Decimal only as a float, which loses digits, or as text.
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_json(item)}" for key, item in items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_json(item) for item in cast("Sequence[object]", value)) + "]"
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else "null"
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    if isinstance(value, datetime | date | time):
        return json.dumps(value.isoformat())
    if isinstance(value, bytes | bytearray):
        return json.dumps(value.hex())
    if value is None or isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(str(value), ensure_ascii=False)


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with `_2`, `_3` after repeated ones: an object holds a name once."""
    found: list[str] = []
    for name in names:
        unique, turn = name, 2
        while unique in found:
            unique, turn = f"{name}_{turn}", turn + 1
        found.append(unique)
    return tuple(found)


def _one_line(text: str) -> str:
    """Return DuckDB's message without the excerpt of the statement that it draws below."""
    return redact(" ".join(text.split("\n\nLINE ")[0].split()))
