"""What a result is made of: columns, rows, changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestration.errors import FlinkError
from orchestration.flink.client.models import ColumnInfo, RowData
from orchestration.flink.reading.pages import shorten_sql
from orchestration.flink.reading.types import Convert, type_text

Row = tuple[object, ...]

TO_LIST_ROWS = 100_000
"""A result that is asked for as a list may have so many rows; a longer one is to be read row by row."""


@dataclass(frozen=True)
class Column:
    """Name and Flink type of a result column."""

    name: str
    type: str
    is_nullable: bool


@dataclass(frozen=True)
class Change:
    """One record of a result.

    Args:
        kind: INSERT, UPDATE_BEFORE, UPDATE_AFTER or DELETE. The first record of a row may be an UPDATE_AFTER.
        values: one Python value a column (see orchestration.flink.reading.types).
    """

    kind: str
    values: Row


def columns_of(infos: Iterable[ColumnInfo]) -> tuple[Column, ...]:
    """Return the columns that a page describes."""
    return tuple(Column(info.name, type_text(info.type), info.type.nullable) for info in infos)


def read_change(converters: Sequence[Convert], data: RowData) -> Change:
    """Return a record of a page, typed.

    Raises:
        FlinkError: a value does not fit its column's type.
    """
    values = zip(converters, data.fields, strict=True)
    return Change(data.kind, tuple(convert(value) for convert, value in values))


def too_large(sql: str, cap: int) -> FlinkError:
    """Return the error for a result that does not fit into a list."""
    return FlinkError(
        f"the query gives more than {cap} rows: {shorten_sql(sql)}",
        hint="add a LIMIT, or read it row by row",
        context={"code": "result_too_large"},
    )
