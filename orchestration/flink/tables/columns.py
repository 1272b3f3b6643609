"""The columns of a sink, from the columns of a query: what a table cannot hold is refused, literals' CHAR widened."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from orchestration.errors import SqlRefusedError
from orchestration.flink.tables.schema import QueryColumn
from orchestration.flink.text.tokens import tokenize

_UNNAMED = re.compile(r"EXPR\$\d+")
_NO_TABLE_TYPES = ("MULTISET", "INTERVAL", "RAW", "STRUCTURED", "SYMBOL", "NULL", "VARIANT", "DESCRIPTOR")
_INTEGERS = ("TINYINT", "SMALLINT", "INT", "BIGINT")
_WIDER = {**{name: index for index, name in enumerate(_INTEGERS)}, "FLOAT": 10, "DOUBLE": 11}
_PRECISION = re.compile(r"(?P<name>TIMESTAMP|TIMESTAMP_LTZ|TIME|BINARY|VARBINARY|CHAR|VARCHAR)\((?P<precision>\d+)\)")
_DECIMAL = re.compile(r"DECIMAL\((\d+), (\d+)\)")


@dataclass(frozen=True)
class SinkColumn:
    """A column of a CREATE TABLE; `type` is without NOT NULL."""

    name: str
    type: str
    is_nullable: bool


def sink_columns(
    columns: Sequence[QueryColumn], *, keep_char: bool = False, auto_alias: bool = False
) -> tuple[SinkColumn, ...]:
    """Return the columns of a table that takes the query's rows.

    Args:
        keep_char: keep CHAR(n) and VARCHAR(n), which literals have; by default they become STRING.
        auto_alias: call an expression without alias c<its position> where the default is to refuse it.

    Raises:
        SqlRefusedError: an expression without alias, a name twice, or a type that no table holds.
    """
    problems: list[str] = []
    hints: list[str] = []
    found: list[SinkColumn] = []
    for position, column in enumerate(columns, start=1):
        name = column.name
        if _UNNAMED.fullmatch(name):
            if not auto_alias:
                problems.append(f"column {position} is an expression without a name")
                hints.append(f"give it an alias: … AS c{position}")
            name = f"c{position}"
        if word := _no_table_type(column.type):
            problems.append(f"column {position} ({name}) is of type {column.type}, which no table holds")
            hints.append(_suggest(name, word))
        found.append(SinkColumn(name, column.type if keep_char else _without_char(column.type), column.is_nullable))
    for name, count in Counter(column.name for column in found).items():
        if count > 1:
            problems.append(f"{count} columns are called {name!r}")
            hints.append(f"give them names of their own: … AS {name}_2")
    if problems:
        raise SqlRefusedError(
            "; ".join(problems),
            hint="; ".join(dict.fromkeys(hints)),
            context={"code": "validation_failed", "rule": "V15"},
        )
    return tuple(found)


def find_differences(existing: Sequence[QueryColumn], wanted: Sequence[SinkColumn]) -> list[str]:
    """Return what keeps `wanted` from going into a table with the columns `existing`; one sentence a difference.

    A key is never NULL in a table; `plan_sink` makes it so too, and warns.
    """
    differences: list[str] = []
    for position, (have, want) in enumerate(zip(existing, wanted, strict=False), start=1):
        if have.name != want.name:
            differences.append(f"column {position} is called {have.name!r} in the table and {want.name!r} in the query")
        elif not _fits(want.type, have.type):
            differences.append(f"column {have.name!r} is {have.type} in the table and {want.type} in the query")
        elif want.is_nullable and not have.is_nullable and not have.is_key:
            differences.append(f"column {have.name!r} is NOT NULL in the table and can be NULL in the query")
    names = [column.name for column in existing[len(wanted) :]]
    differences += [f"column {name!r} is in the table only" for name in names]
    differences += [f"column {column.name!r} is in the query only" for column in wanted[len(existing) :]]
    return differences


def _no_table_type(type_: str) -> str | None:
    """Return the first word of a type that no table holds, at any depth; a structured type is a quoted path."""
    first = True
    for token in tokenize(type_):
        if token.is_blank:
            continue
        if token.word in _NO_TABLE_TYPES:
            is_constraint = token.word == "NULL" and not first
            if not is_constraint:
                return token.word
        if first and token.kind != "word":
            return "STRUCTURED"
        first = False
    return None


def _suggest(name: str, word: str) -> str:
    match word:
        case "VARIANT":
            return f"take fields out of {name} and cast them, such as CAST({name}['field'] AS STRING)"
        case "STRUCTURED":
            return f"take its fields: {name}.field"
        case _:
            return f"use CAST({name} AS STRING)"


def _without_char(type_: str) -> str:
    """Replace CHAR(n) and VARCHAR(n) by STRING at any depth, but not in quoted names of fields."""
    tokens = list(tokenize(type_))
    parts: list[str] = []
    index = 0
    while index < len(tokens):
        if tokens[index].word in ("CHAR", "VARCHAR") and [token.text for token in tokens[index + 1 : index + 2]] == [
            "("
        ]:
            parts.append("STRING")
            while tokens[index].text != ")":
                index += 1
        else:
            parts.append(tokens[index].text)
        index += 1
    return "".join(parts)


def _fits(type_: str, into: str) -> bool:
    """Whether Flink casts a type into another one by itself without losing anything."""
    if type_ == into or _without_char(type_) == into:
        return True
    if type_ in _WIDER and into in _WIDER:
        is_same_family = (type_ in _INTEGERS) == (into in _INTEGERS)
        return is_same_family and _WIDER[type_] <= _WIDER[into]
    one, other = _PRECISION.fullmatch(type_), _PRECISION.fullmatch(into)
    if one and other:
        return one["name"] == other["name"] and int(one["precision"]) <= int(other["precision"])
    one, other = _DECIMAL.fullmatch(type_), _DECIMAL.fullmatch(into)
    if one and other:
        whole = int(one[1]) - int(one[2]) <= int(other[1]) - int(other[2])
        return whole and int(one[2]) <= int(other[2])
    return into == "BYTES" and one is None and type_.startswith(("BINARY(", "VARBINARY("))
