"""Writes aggregates over windows in the form that Flink wants: window table functions.

| kind | rows per window | needs |
|---|---|---|
| tumble | side by side | size |
| hop | overlap | slide, size (a multiple of the slide) |
| cumulate | grow by the step up to the size | step, size (a multiple of the step) |
| session | end after a gap without rows; one session for each key of group_by | gap; streaming only |

https://nightlies.apache.org/flink/flink-docs-stable/docs/dev/table/sql/queries/window-tvf/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal, Protocol

from orchestration.errors import InputError, StatementError
from orchestration.flink.text.mode import Mode
from orchestration.flink.text.rules.clauses import unbalanced
from orchestration.flink.text.tokens import significant, tokenize
from orchestration.sql import quote_flink

WindowKind = Literal["tumble", "hop", "cumulate", "session"]

_LENGTHS: dict[WindowKind, tuple[str, ...]] = {
    # In the order of the function's arguments: HOP and CUMULATE take the small one first.
    "tumble": ("size",),
    "hop": ("slide", "size"),
    "cumulate": ("step", "size"),
    "session": ("gap",),
}


def window_query(
    source: str,
    time_col: str,
    kind: WindowKind,
    *,
    aggregates: Mapping[str, str],
    size: timedelta | None = None,
    slide: timedelta | None = None,
    step: timedelta | None = None,
    gap: timedelta | None = None,
    offset: timedelta | None = None,
    group_by: Sequence[str] = (),
    mode: Mode = "streaming",
) -> str:
    """Return a SELECT with one row for each window and key: window_start, window_end, the keys, the aggregates.

    Args:
        source: table or view, dotted as in SQL: `orders`, `` `my-db`.orders ``.
        time_col: its time attribute; `require_time_attribute` asks Flink whether it is one.
        aggregates: column name to SQL expression, such as {"total": "SUM(amount)"}.
        offset: moves the start of all windows; not for sessions.
        group_by: key columns.

    Raises:
        InputError: a length is missing, not wanted by this kind, not positive or not a multiple; a session in batch
            mode; no aggregate; a name or an expression that is none.
    """
    if kind == "session" and mode == "batch":
        raise _refused("session windows do not run in batch mode", "use streaming mode, or tumble, hop or cumulate")
    given = {"size": size, "slide": slide, "step": step, "gap": gap}
    lengths = _lengths(kind, given)
    if offset is not None:
        if kind == "session":
            raise _refused("a session window has no offset", "leave it out")
        lengths.append(offset)
    if not aggregates:
        raise _refused("a window query needs an aggregate", "such as {'total': 'SUM(amount)'}")
    keys = [_column(name) for name in group_by]
    table = _table(source)
    if kind == "session" and keys:
        table += f" PARTITION BY {', '.join(keys)}"
    arguments = ", ".join([f"TABLE {table}", f"DESCRIPTOR({_column(time_col)})", *map(interval, lengths)])
    grouped = ["window_start", "window_end", *keys]
    measures = [f"{_expression(text)} AS {_column(name)}" for name, text in aggregates.items()]
    return (
        f"SELECT {', '.join([*grouped, *measures])}\n"
        f"FROM TABLE({kind.upper()}({arguments}))\n"
        f"GROUP BY {', '.join(grouped)}"
    )


def interval(length: timedelta) -> str:
    """Return a length of time as a Flink literal, in the largest unit that needs no fraction: INTERVAL '10' SECOND.

    The precision is written where Flink's default of two digits is too small.

    Raises:
        InputError: finer than a millisecond, which is as fine as Flink's intervals are.
    """
    milliseconds, rest = divmod(length, timedelta(milliseconds=1))
    if rest:
        raise _refused(f"{length} is finer than a millisecond", "round it")
    sign = "-" if milliseconds < 0 else ""
    milliseconds = abs(milliseconds)
    for unit, size in (("DAY", 86_400_000), ("HOUR", 3_600_000), ("MINUTE", 60_000), ("SECOND", 1000)):
        count, remainder = divmod(milliseconds, size)
        if count and not remainder:
            precision = f"({len(str(count))})" if count > 99 else ""
            return f"INTERVAL {sign}'{count}' {unit}{precision}"
    seconds, fraction = divmod(milliseconds, 1000)
    return f"INTERVAL {sign}'{seconds}.{fraction:03}' SECOND({max(2, len(str(seconds)))}, 3)"


def _lengths(kind: WindowKind, given: Mapping[str, timedelta | None]) -> list[timedelta]:
    wanted = _LENGTHS[kind]
    named = {name: length for name, length in given.items() if length is not None}
    missing = [name for name in wanted if name not in named]
    surplus = [name for name in named if name not in wanted]
    if missing or surplus:
        problem = f"{kind} needs {' and '.join(missing)}" if missing else f"{kind} has no {' and no '.join(surplus)}"
        raise _refused(problem, f"{kind} takes {' and '.join(wanted)}")
    for name in wanted:
        if named[name] <= timedelta(0):
            raise _refused(f"the {name} of a window must be above 0, not {named[name]}", "give a positive length")
    if len(wanted) == 2 and named["size"] % named[wanted[0]]:
        small = wanted[0]
        raise _refused(
            f"the size of a {kind} window must be a multiple of its {small}: {named['size']} is none of {named[small]}",
            "change one of them",
        )
    return [named[name] for name in wanted]


def _table(source: str) -> str:
    """Return a dotted name with each part quoted."""
    tokens = significant(tokenize(source))
    names = [token.name for token in tokens[::2]]
    dots = [token.text for token in tokens[1::2]]
    if not names or not all(names) or any(dot != "." for dot in dots) or len(tokens) % 2 == 0 or len(names) > 3:
        raise _refused(
            f"{source!r} is not the name of a table", "write table, database.table or catalog.database.table"
        )
    return ".".join(map(quote_flink, names))


def _column(name: str) -> str:
    if not name or any(ord(char) < 32 for char in name):
        raise _refused(f"{name!r} is not the name of a column", "name a column of the source")
    return quote_flink(name)


def _expression(text: str) -> str:
    """Return an aggregate as it is, when it can only be one expression."""
    try:
        tokens = list(tokenize(text))
    except StatementError as error:
        raise _refused(f"aggregate {text!r}: {error.message}", "close it") from error
    is_more = any(token.kind in ("end", "comment") for token in tokens)
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "other" else 0
        if depth == 0 and (token.text == "," or token.word in ("FROM", "AS", "GROUP", "WHERE")):
            is_more = True
    if not significant(tokens) or is_more or unbalanced(tokens) is not None:
        raise _refused(f"{text!r} is not one aggregate expression", "such as SUM(amount) or COUNT(*)")
    return text.strip()


def _refused(message: str, hint: str) -> InputError:
    return InputError(message, hint=hint, context={"code": "validation_failed"})


class Rows(Protocol):
    """A result whose rows fit in memory."""

    def fetch_all(self) -> Sequence[Sequence[object]]:
        """Return all rows."""
        ...


class Describes(Protocol):
    """A session, as far as DESCRIBE needs one."""

    def execute(self, sql: str, /) -> Rows:
        """Run one statement and wait until Flink accepted or refused it."""
        ...


def require_time_attribute(session: Describes, source: str, time_col: str, mode: Mode = "streaming") -> None:
    """Ask Flink whether windows can be made over a column of a table or view, by DESCRIBE; no job is started.

    In streaming mode that is a time attribute: event time (a watermark) or processing time. Batch mode knows no time
    attributes, and takes any TIMESTAMP.

    Raises:
        InputError: there is no such column, or it is of another type.
        StatementError: there is no such table.
    """
    rows = session.execute(f"DESCRIBE {_table(source)}").fetch_all()
    types = {str(row[0]): str(row[1]) for row in rows}
    if time_col not in types:
        raise _refused(f"{source} has no column {time_col}", f"it has {', '.join(types)}")
    if _is_time(types[time_col], mode):
        return
    others = [name for name, type_ in types.items() if _is_time(type_, mode)]
    wanted = "TIMESTAMP" if mode == "batch" else "time attribute"
    raise _refused(
        f"column {time_col} of {source} is {types[time_col]}, not a {wanted}",
        f"use {' or '.join(others)}" if others else "declare a WATERMARK for it in the table's DDL",
    )


def _is_time(type_: str, mode: Mode) -> bool:
    return type_.endswith(("*ROWTIME*", "*PROCTIME*")) or (mode == "batch" and type_.startswith("TIMESTAMP"))
