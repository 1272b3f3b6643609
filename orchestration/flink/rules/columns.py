"""V15: the names of a described query's columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from orchestration.errors import StatementError
from orchestration.flink.rules.problem import Problem

_GENERATED_NAME = re.compile(r"EXPR\$\d+")
_SAME_NAME = re.compile(r"A column with the same name `(.+?)` has been defined")


class Named(Protocol):
    """A result column."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


def check_columns(columns: Sequence[Named]) -> list[Problem]:
    """Return V15 problems of a described query: columns that Flink had to name, and names that stand twice.

    The messages count columns from 1. Where they stand in the text is not known.
    """
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for number, column in enumerate(columns, start=1):
        if _GENERATED_NAME.fullmatch(column.name):
            message = f"column {number} is an expression without a name"
            problems.append(Problem("V15", "error", message, "give it an alias: … AS name"))
        elif column.name in seen:
            message = f"columns {seen[column.name]} and {number} are both called {column.name}"
            problems.append(Problem("V15", "error", message, "give one an alias: … AS name"))
        seen.setdefault(column.name, number)
    return problems


def duplicate_column(error: StatementError) -> Problem | None:
    """Return the V15 problem that a refused CREATE VIEW stands for, or None when it was refused for another reason.

    Flink refuses a view with two columns of one name, so such a query cannot be described at all.
    """
    found = _SAME_NAME.search(error.message)
    if found is None:
        return None
    return Problem("V15", "error", f"two columns are called {found[1]}", "give one an alias: … AS name")
