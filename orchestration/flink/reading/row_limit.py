"""The LIMIT of a plain query, as a limit of its stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestration.flink.reading.feed import Limits
from orchestration.flink.text.rules.clauses import Group, Query, queries, tree
from orchestration.flink.text.tokens import Token, significant, tokenize


def with_row_limit(sql: str, limits: Limits) -> Limits:
    """Return `limits`, at most as wide as the LIMIT of a query that only picks columns and rows of one table.

    Flink 2.1 ends such a stream by itself only where the limit reaches the source, which a watermark prevents: the job
    sends its n rows and runs on. Queries that may change rows they gave before (aggregates, joins, ORDER BY) are left
    alone, since n changes are not n rows; so is any call, which may be an aggregate.
    """
    tokens = [token for token in significant(tokenize(sql)) if token.kind != "end"]
    rows = _last_limit(tokens)
    found = queries(tree(tokens))
    if rows == 0 or len(found) != 1 or not _only_picks(found[0]):
        return limits
    if 0 < limits.max_rows < rows:
        return limits
    return replace(limits, max_rows=rows, is_complete=True)


def _last_limit(tokens: Sequence[Token]) -> int:
    """Return the n of a LIMIT n at the end; 0 without one. A digit is a token."""
    digits = ""
    for token in reversed(tokens):
        if not token.text.isdecimal():
            return int(digits) if digits and token.word == "LIMIT" else 0
        digits = token.text + digits
    return 0


def _only_picks(query: Query) -> bool:
    if len(query.selects) != 1 or query.order_by is not None:
        return False
    clauses = query.selects[0].clauses
    items = [*clauses.get("SELECT", ()), *clauses.get("FROM", ())]
    if not clauses.keys() <= {"SELECT", "FROM", "WHERE"} or any(isinstance(item, Group) for item in items):
        return False
    words = {item.word for item in items if not isinstance(item, Group)}
    source = clauses.get("FROM", ())
    return words.isdisjoint({"JOIN", "DISTINCT"}) and all(
        isinstance(item, Group) or item.text != "," for item in source
    )
