"""V12: group-window functions of old (`GROUP BY TUMBLE(ts, …)`), and the same query with window table functions.

What becomes what: https://nightlies.apache.org/flink/flink-docs-stable/docs/dev/table/sql/queries/window-agg/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestration.flink.text.rules.clauses import Group, Item, Query, Select, flat
from orchestration.flink.text.rules.problem import Problem, problem_at
from orchestration.flink.text.tokens import Token

_KINDS = ("TUMBLE", "HOP", "SESSION")
_COLUMNS = {"START": "window_start", "END": "window_end", "ROWTIME": "window_time", "PROCTIME": "window_time"}
_FORM = "FROM TABLE({kind}(TABLE t, DESCRIPTOR(ts), …)) … GROUP BY window_start, window_end"


@dataclass(frozen=True)
class Edit:
    """Replace the text from `start` up to `end`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class _Call:
    """A function call in a clause."""

    name: Token
    arguments: Group

    @property
    def end(self) -> int:
        return _end(self.arguments)


def check_legacy_windows(sql: str, tokens: Sequence[Token], found: Sequence[Query]) -> Iterator[Problem]:
    """V12: a warning for each SELECT with a legacy window; the first one carries the whole statement's rewrite."""
    legacy = [
        (select, call)
        for query in found
        for select in query.selects
        for call in _calls(select.clause("GROUP"), _KINDS)
        if not any(token.word == "DESCRIPTOR" for token in flat(call.arguments.items))
    ]
    if not legacy:
        return
    rewrite = _rewrite(sql, tokens, legacy)
    for index, (_, call) in enumerate(legacy):
        kind = call.name.word
        yield problem_at(
            "V12",
            sql,
            call.name.start,
            f"GROUP BY {kind}(…) is the old form of a window",
            f"write {_FORM.format(kind=kind)}",
            severity="warning",
            rewrite=rewrite if index == 0 else None,
        )


def _rewrite(sql: str, tokens: Sequence[Token], legacy: Sequence[tuple[Select, _Call]]) -> str | None:
    """Return the statement with window table functions, or None where that is not known to be the same."""
    edits: list[Edit] = []
    for select, call in legacy:
        found = _edits(sql, select, call)
        if found is None:
            return None
        edits += found
    first, last = tokens[0].start, tokens[-1].start + len(tokens[-1].text)
    text, at = "", first
    for edit in sorted(edits, key=lambda edit: edit.start):
        text += sql[at : edit.start] + edit.text
        at = edit.end
    return text + sql[at:last]


def _edits(sql: str, select: Select, call: _Call) -> list[Edit] | None:
    arguments = _split(call.arguments.items)
    source = select.clause("FROM")
    length = _path_length(source)
    alias = [item for item in source[length:] if not (isinstance(item, Token) and item.word == "AS")]
    if length == 0 or len(alias) > 1 or any(isinstance(item, Group) for item in alias) or len(arguments) < 2:
        return None
    if call.name.word == "SESSION" and select.clause("WHERE"):
        return None  # the table function would see the rows that WHERE takes away, and join sessions by them
    time_column = [token for token in flat(arguments[0]) if token.name]
    if not time_column:
        return None
    keys = _partition(sql, select, call)
    if keys is None:
        return None
    table = sql[_start(source[0]) : _end(source[length - 1])]
    sizes = ", ".join(sql[_start(part[0]) : _end(part[-1])] for part in arguments[1:])
    windowed = f"TABLE({call.name.word}(TABLE {table}{keys}, DESCRIPTOR({time_column[-1].text}), {sizes}))"
    if not alias and _is_qualified(select, source[length - 1]):
        windowed += f" AS {sql[_start(source[length - 1]) : _end(source[length - 1])]}"
    columns = ["window_start", "window_end"]
    edits = [Edit(_start(source[0]), _end(source[length - 1]), windowed)]
    for used in [
        *_calls(select.clause("SELECT"), _auxiliary(call)),
        *_calls(select.clause("HAVING"), _auxiliary(call)),
    ]:
        column = _COLUMNS[used.name.word.partition("_")[2]]
        edits.append(Edit(used.name.start, used.end, column))
        if column not in columns:
            columns.append(column)
    return [*edits, Edit(call.name.start, call.end, ", ".join(columns))]


def _partition(sql: str, select: Select, call: _Call) -> str | None:
    """Return the PARTITION BY that keeps the sessions of each key apart; None when a key is no plain column."""
    if call.name.word != "SESSION":
        return ""
    keys: list[str] = []
    for part in _split(select.clause("GROUP")[1:]):
        if part[0] is call.name:
            continue
        if _path_length(part) != len(part):
            return None
        last = part[-1]
        keys.append(sql[_start(last) : _end(last)])
    return f" PARTITION BY {', '.join(keys)}" if keys else ""


def _auxiliary(call: _Call) -> tuple[str, ...]:
    return tuple(f"{call.name.word}_{suffix}" for suffix in _COLUMNS)


def _calls(items: Sequence[Item], names: Sequence[str]) -> Iterator[_Call]:
    """Yield the calls of these functions, also inside other calls; a subquery in between is not entered."""
    for index, item in enumerate(items):
        if isinstance(item, Group):
            if not (item.items and isinstance(item.items[0], Token) and item.items[0].word in ("SELECT", "WITH")):
                yield from _calls(item.items, names)
        elif item.word in names and index + 1 < len(items):
            following = items[index + 1]
            if isinstance(following, Group):
                yield _Call(item, following)


def _split(items: Sequence[Item]) -> list[list[Item]]:
    """Cut at the commas of this level."""
    parts: list[list[Item]] = [[]]
    for item in items:
        if isinstance(item, Token) and item.text == ",":
            parts.append([])
        else:
            parts[-1].append(item)
    return [part for part in parts if part]


def _path_length(items: Sequence[Item]) -> int:
    """Return how many items at the start are a name such as `catalog.db.t`; 0 when there is none."""
    length = 0
    for index, item in enumerate(items):
        is_name = isinstance(item, Token) and bool(item.name)
        is_dot = isinstance(item, Token) and item.text == "."
        if not (is_name if index % 2 == 0 else is_dot):
            break
        length = index + 1
    if length == 1 and len(items) > 1 and isinstance(items[1], Group):
        return 0  # a call
    return length - 1 if length and length % 2 == 0 else length


def _is_qualified(select: Select, table: Item) -> bool:
    """Whether columns are named with their table, as in `t.k`."""
    name = table.name if isinstance(table, Token) else ""
    for clause in ("SELECT", "WHERE", "GROUP", "HAVING"):
        tokens = list(flat(select.clause(clause)))
        if any(first.name == name and second.text == "." for first, second in pairwise(tokens)):
            return True
    return False


def _start(item: Item) -> int:
    token = item if isinstance(item, Token) else item.opening
    return token.start if token else 0


def _end(item: Item) -> int:
    token = item if isinstance(item, Token) else item.closing
    return token.start + len(token.text) if token else 0
