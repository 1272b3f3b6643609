"""Replacing single rows of a table beside a writer that only appends."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.expressions import AlwaysFalse, And, BooleanExpression, EqualTo, In, Or
from pyiceberg.table import Table

from orchestration.catalog.commits import commit_beside_writers
from orchestration.catalog.snapshots import total_rows
from orchestration.waiting import Backoff

_ISOLATION = "write.delete.isolation-level"


def replace_rows(table: Table, keys: Sequence[Mapping[str, Any]], rows: pa.Table) -> int:
    """Delete the rows that have one of `keys`, and append `rows`, in one commit. Return how many were deleted.

    Files are rewritten, so readers need no delete files. A writer that appends meanwhile is not disturbed: the commit
    is made again upon its own. What it appended meanwhile is kept, also rows of the same keys.

    Args:
        keys: column to value, the same two columns in each; values of the first are few (a date, a partition).

    Raises:
        OvertakenError: other writers were faster for a minute, or rewrote the same files.
        CatalogError: it cannot be known whether the commit arrived.
    """
    if not keys and not rows.num_rows:
        return 0
    if table.properties.get(_ISOLATION) != "snapshot":
        # The default asks that nobody appends to the same partition between read and commit; a stream always does.
        _set_isolation(table)

    def attempt() -> tuple[int | None, object]:
        table.refresh()
        try:
            return _replace(table, keys, rows), "done"
        except (CommitFailedException, ValidationException) as error:
            return None, error

    return commit_beside_writers(table, attempt, doing="mending", backoff=Backoff(0.1, 1.0, jitter=0.3))


def _replace(table: Table, keys: Sequence[Mapping[str, Any]], rows: pa.Table) -> int:
    with table.transaction() as transaction, warnings.catch_warnings():
        # Nothing may match: a row of this key was never there.
        warnings.filterwarnings("ignore", message="Delete operation did not match any records")
        before = total_rows(table)
        if keys:
            transaction.delete(_any_of(keys))
        staged = transaction.table_metadata.current_snapshot()
        left = staged.summary.get("total-records") if staged is not None and staged.summary is not None else None
        if rows.num_rows:
            transaction.append(rows)
    return before - int(left or 0) if keys else 0


def _set_isolation(table: Table) -> None:
    with table.transaction() as transaction:
        transaction.set_properties({_ISOLATION: "snapshot"})


def _any_of(keys: Sequence[Mapping[str, Any]]) -> BooleanExpression:
    """Return the filter that meets all keys: for each value of the first column the values of the second."""
    first, second = keys[0]
    groups: dict[Any, set[Any]] = {}
    for key in keys:
        groups.setdefault(key[first], set()).add(key[second])
    parts = [_both(first, value, second, others) for value, others in groups.items()]
    return reduce(_either, parts) if parts else AlwaysFalse()


def _both(first: str, value: Any, second: str, others: set[Any]) -> BooleanExpression:
    # Built by metaclasses, which pyright does not see through.
    here: BooleanExpression = EqualTo(first, value)  # pyright: ignore[reportCallIssue]
    among: BooleanExpression = In(second, others)  # pyright: ignore[reportCallIssue]
    return And(here, among)


def _either(left: BooleanExpression, right: BooleanExpression) -> BooleanExpression:
    return Or(left, right)
