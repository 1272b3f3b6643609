"""Deep validation: Flink's own planner looks at each statement, by EXPLAIN."""

from __future__ import annotations

from typing import Protocol

from orchestration.errors import StatementError
from orchestration.flink.text.rules.problem import Problem
from orchestration.flink.text.script import Statement, StatementKind, locate_error, split_script, tokenize

_EXPLAINED = (
    StatementKind.QUERY,
    StatementKind.INSERT,
    StatementKind.STATEMENT_SET,
    StatementKind.CREATE_AS,
    StatementKind.OTHER,  # no statement at all: the parser says why
)
_CHANGES_SESSION = (
    StatementKind.CREATE_AS,
    StatementKind.DDL,
    StatementKind.SET,
    StatementKind.RESET,
    StatementKind.USE,
    StatementKind.LOAD,
)


class Closes(Protocol):
    """A result that holds an operation."""

    def close(self) -> None:
        """Free it."""
        ...


class Explains(Protocol):
    """A session, as far as deep validation needs one."""

    def execute(self, sql: str, /) -> Closes:
        """Run one statement and wait until Flink accepted or refused it."""
        ...


def check_deep(session: Explains, sql: str) -> list[Problem]:
    """Return what Flink's planner says about each statement of `sql`, by EXPLAIN: nothing is run or created.

    A statement after one that changes the session (DDL, SET, USE) is not asked about, and a warning says so: what it
    means depends on the one before. SHOW, DESCRIBE and DDL have no EXPLAIN; Flink checks DDL when a table is used.

    Returns:
        Problems whose `code` is the error's, such as `sql_semantic_error`, with the position in `sql`.

    Raises:
        StatementError: something in `sql` is never closed.
        FlinkError, UnreachableError: the session or a service failed, which says nothing about `sql`.
    """
    problems: list[Problem] = []
    changed: Statement | None = None
    for statement in split_script(sql):
        kind = statement.kind
        if kind in _EXPLAINED and changed is not None:
            before = f"the {changed.text.split(maxsplit=1)[0].upper()} in line {changed.line} would have to run first"
            problems.append(
                Problem(
                    "unchecked", "warning", f"Flink was not asked: {before}", None, statement.line, statement.column
                )
            )
        elif kind in _EXPLAINED:
            try:
                session.execute(_explain(statement).text).close()
            except StatementError as error:
                problems.append(_refusal(error, statement))
        if kind in _CHANGES_SESSION:
            changed = changed or statement
    return problems


_EXPLAIN = "EXPLAIN "


def _explain(statement: Statement) -> Statement:
    """Return the EXPLAIN of a statement, which still knows the positions in the script."""
    first = next(tokenize(statement.text))
    if first.word == "EXECUTE":  # EXECUTE STATEMENT SET becomes EXPLAIN STATEMENT SET: as long
        return Statement(
            "EXPLAIN" + statement.text[len("EXECUTE") :], statement.line, statement.column, statement.moved
        )
    return Statement(_EXPLAIN + statement.text, statement.line, statement.column - len(_EXPLAIN), statement.moved)


def _refusal(error: StatementError, statement: Statement) -> Problem:
    located = locate_error(error, _explain(statement))
    if "line" not in located.context:
        located = locate_error(error, statement)
    line = int(located.context.get("line", statement.line))
    column = int(located.context.get("column", statement.column))
    return Problem(located.code, "error", located.message, located.hint, line, column)
