"""Rules on queries that run for long: V10 ORDER BY and LIMIT, V11 SELECT *, V13 state without bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestration.flink.text.rules.clauses import Item, Query, Select, flat
from orchestration.flink.text.rules.problem import Problem, problem_at
from orchestration.flink.text.tokens import Token

_WINDOW_COLUMNS = frozenset({"WINDOW_START", "WINDOW_END", "WINDOW_TIME"})
_WINDOW_CALLS = frozenset({"TUMBLE", "HOP", "SESSION", "CUMULATE"})
_ONE_SIDED = frozenset({"LATERAL", "UNNEST"})


def check_order(sql: str, found: Sequence[Query]) -> Iterator[Problem]:
    """V10 of a streaming query: ORDER BY without LIMIT is an error, a LIMIT of the output a warning.

    ORDER BY with LIMIT is a Top-N: Flink keeps the rows up to date, and the job goes on.
    """
    for query in found:
        if not query.is_output:
            continue  # a subquery's order has no effect, and Flink leaves it out
        if query.order_by is not None and query.limit is None:
            yield problem_at(
                "V10",
                sql,
                query.order_by.start,
                "a persistent query over a stream cannot sort all its rows",
                "leave ORDER BY out, or add LIMIT n for the first n",
            )
        elif query.order_by is None and query.limit is not None:
            yield problem_at(
                "V10",
                sql,
                query.limit.start,
                "with LIMIT the job is over, or sends nothing more, after that many rows",
                "leave LIMIT out of a query that is to run on",
                severity="warning",
            )


def check_star(sql: str, found: Sequence[Query]) -> Iterator[Problem]:
    """V11: SELECT * or t.* in the output's columns."""
    for select in (select for query in found if query.is_output for select in query.selects):
        items = select.clause("SELECT")
        for index, item in enumerate(items):
            if isinstance(item, Token) and item.text == "*" and _is_star(items, index):
                yield problem_at(
                    "V11",
                    sql,
                    item.start,
                    "SELECT * changes the query's columns when a table changes",
                    "name the columns",
                    severity="warning",
                )
                break


def _is_star(items: Sequence[Item], index: int) -> bool:
    before = items[index - 1] if index else None
    if before is None:
        return True
    return isinstance(before, Token) and (
        before.text in (",", ".") or before.word in ("ALL", "DISTINCT") or before.kind == "hint"
    )


def check_state(sql: str, tokens: Sequence[Token], found: Sequence[Query]) -> Iterator[Problem]:
    """V13 of a streaming query: GROUP BY or a regular join that keeps every key for ever."""
    if any(token.kind == "hint" and "STATE_TTL" in token.text.upper() for token in tokens):
        return
    for select in (select for query in found for select in query.selects):
        group, source = select.clause("GROUP"), select.clause("FROM")
        if group and _reads_table(source) and not _is_windowed(group) and not _names_window(source):
            yield _unbounded(sql, select.keywords["GROUP"], "GROUP BY without a window keeps every group for ever")
        for join in _regular_joins(select):
            yield _unbounded(sql, join, "a join without a window or time bounds keeps every row of both sides for ever")


def _unbounded(sql: str, token: Token, message: str) -> Problem:
    hint = "set a state TTL (table.exec.state.ttl), or use a window"
    return problem_at("V13", sql, token.start, message, hint, severity="warning")


def _reads_table(source: Sequence[Item]) -> bool:
    """Whether more than literal rows is read."""
    words = {token.word for token in flat(source)}
    return "VALUES" not in words or not words.isdisjoint({"FROM", "JOIN"})


def _is_windowed(items: Sequence[Item]) -> bool:
    return _names_window(items) or any(token.word in _WINDOW_CALLS for token in flat(items))


def _names_window(items: Sequence[Item]) -> bool:
    return any(token.name.upper() in _WINDOW_COLUMNS for token in flat(items))


def _regular_joins(select: Select) -> Iterator[Token]:
    """Yield the JOIN or comma of each join that has neither time bounds nor a window nor a version of a table."""
    sides = _sides(select.clause("FROM"))
    if len(sides) < 2 or _is_bounded(select.clause("WHERE")):
        return
    if all(_names_window(side) for _, side in sides):
        return
    for keyword, side in sides[1:]:
        first = side[0] if side else None
        is_one_sided = isinstance(first, Token) and first.word in _ONE_SIDED
        is_call = isinstance(first, Token) and first.word == "TABLE"
        is_versioned = any(token.word == "SYSTEM_TIME" for token in flat(side))
        if not (is_one_sided or is_call or is_versioned or _is_bounded(side)):
            yield keyword


def _is_bounded(items: Sequence[Item]) -> bool:
    return _names_window(items) or any(token.word == "INTERVAL" for token in flat(items))


def _sides(source: Sequence[Item]) -> list[tuple[Token, list[Item]]]:
    """Return each joined table with its condition, and the JOIN or comma before it (the first one: its own start)."""
    sides: list[tuple[Token, list[Item]]] = []
    start = next(flat(source), None)
    if start is None:
        return []
    sides.append((start, []))
    for item in source:
        if isinstance(item, Token) and (item.word == "JOIN" or item.text == ","):
            sides.append((item, []))
        else:
            sides[-1][1].append(item)
    return sides
