"""Writes records to stdout as a table, as JSON, one JSON value a line, or as CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from orchestration.cli.sql.options import Output
from orchestration.cli.terminal import print_json, say, show, table
from orchestration.exact_json import json_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NULL = "NULL"
_CSV_SIGNS = frozenset('",\r\n')


def write_records(
    output: Output,
    records: Iterable[Mapping[str, object]],
    *,
    columns: Sequence[str],
    titles: Sequence[str] | None = None,
    right: Sequence[str] = (),
    document: object = None,
    nothing: str = "nothing",
) -> None:
    """Write records in the form that was asked for.

    Args:
        columns: keys of the table's and the CSV's columns; JSON has all keys.
        titles: column titles of the table; None: the keys.
        right: titles of the columns that are aligned to the right.
        document: what `--output json` prints; None: the list of records.
        nothing: said instead of an empty table.
    """
    rows = list(records)
    match output:
        case Output.JSON:
            print_json(rows if document is None else document)
        case Output.NDJSON:
            for row in rows:
                show(json_text(row))
        case Output.CSV:
            show(csv_line(columns))
            for row in rows:
                show(csv_line([row.get(key) for key in columns]))
        case Output.TABLE if rows:
            table(titles or columns, [[cell(row.get(key), null="-") for key in columns] for row in rows], right=right)
        case Output.TABLE:
            say(nothing)


def write_result(output: Output, record: Mapping[str, object], show_text: Callable[[], None]) -> None:
    """Write the outcome of one operation: for people by `show_text`, for machines as one record."""
    match output:
        case Output.TABLE:
            show_text()
        case Output.JSON:
            print_json(record)
        case Output.NDJSON:
            show(json_text(record))
        case Output.CSV:
            show(csv_line(list(record)))
            show(csv_line(list(record.values())))


def as_record(item: DataclassInstance) -> dict[str, Any]:
    """Return a dataclass as a mapping of JSON values; times in ISO form, sets sorted."""
    return {key: _plain(value) for key, value in asdict(item).items()}


def _plain(value: object) -> object:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return as_record(value)
    return value


def csv_line(values: Iterable[object]) -> str:
    """Return one line of CSV, without its end. NULL is an empty field, and the empty text is `""`."""
    return ",".join(_csv_field(value) for value in values)


def _csv_field(value: object) -> str:
    """Python's csv module would write NULL and the empty text alike."""
    if value is None:
        return ""
    text = cell(value)
    is_plain = text and not _CSV_SIGNS.intersection(text)
    return text if is_plain else f'"{text.replace(chr(34), chr(34) * 2)}"'


def cell(value: object, *, null: str = NULL) -> str:
    """Return one value for a table or for CSV: text as it is, lists and objects as JSON."""
    match value:
        case None:
            return null
        case bool():
            return str(value).lower()
        case str():
            return value
        case Decimal():
            return format(value, "f")
        case list() | tuple() | dict():
            return json_text(value)
        case _:
            return str(value)
