"""What a query gives: columns, kinds of change and keys, without starting a job.

The columns come from DESCRIBE of a temporary view; changes and keys from the plan (`plan_keys`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

from orchestration.errors import SqlRefusedError, StatementError
from orchestration.flink.reading.result import Result
from orchestration.flink.tables.plan_keys import read_plan
from orchestration.flink.text.catalog_sql import quote_path
from orchestration.sql import quote_flink

APPEND_ONLY = frozenset({"I"})

_TWICE = re.compile(r"A column with the same name `([^`]*)` has been defined")
_MARKS = {" *ROWTIME*": "is_rowtime", " *PROCTIME*": "is_proctime"}


class Executes(Protocol):
    """What runs one statement: `Session` and `LogicalSession` do."""

    def execute(self, sql: str, config: Mapping[str, str] | None = None) -> Result:
        """Run it, and return when Flink accepted or refused it."""
        ...


@dataclass(frozen=True)
class QueryColumn:
    """One column of a query's result.

    Attributes:
        name: as Flink names it; an expression without alias is called `EXPR$n`.
        type: Flink type without NOT NULL and without the marks *ROWTIME* and *PROCTIME*, such as `TIMESTAMP(3)`.
        is_rowtime: it is an event time with a watermark.
        is_proctime: it is the processing time.
        is_key: of a table: it is part of the primary key.
    """

    name: str
    type: str
    is_nullable: bool
    is_rowtime: bool = False
    is_proctime: bool = False
    is_key: bool = False


@dataclass(frozen=True)
class QuerySchema:
    """What a query gives.

    Attributes:
        changelog: kinds of change that its rows carry: I, UB, UA, D. A batch query has I alone.
        keys: sets of columns that are unique in the result at any time, best first; empty if the plan shows none.
    """

    columns: tuple[QueryColumn, ...]
    changelog: frozenset[str] = APPEND_ONLY
    keys: tuple[tuple[str, ...], ...] = ()

    @property
    def is_append_only(self) -> bool:
        """Whether no row is ever changed or taken back."""
        return self.changelog <= APPEND_ONLY

    @property
    def changelog_text(self) -> str:
        """The changelog for people, such as `I,UA,D`."""
        return ",".join(kind for kind in ("I", "UB", "UA", "D") if kind in self.changelog)

    def to_json(self) -> dict[str, object]:
        """Return columns, changelog and keys as JSON types."""
        return {
            "columns": [asdict(column) for column in self.columns],
            "changelog": self.changelog_text.split(","),
            "keys": [list(key) for key in self.keys],
        }


def describe_query(session: Executes, sql: str) -> QuerySchema:
    """Return what a query gives. Starts no job and leaves nothing in the session.

    Raises:
        SqlRefusedError: two columns have the same name (rule V15).
        StatementError: Flink refuses the query.
    """
    query = sql.strip().rstrip(";")
    view = quote_flink(f"millrace_describe_{uuid.uuid4().hex[:8]}")
    try:
        session.execute(f"CREATE TEMPORARY VIEW {view} AS {query}").close()
    except StatementError as error:
        if match := _TWICE.search(error.message):
            raise SqlRefusedError(
                f"two columns of the query are called {match[1]!r}",
                hint=f"give them names of their own: … AS {match[1]}_2",
                context={"code": "validation_failed", "rule": "V15"},
            ) from error
        raise
    try:
        columns = describe_table(session, view)
    finally:
        session.execute(f"DROP TEMPORARY VIEW IF EXISTS {view}").close()

    def key_of(path: tuple[str, ...]) -> list[str]:
        try:
            return [column.name for column in describe_table(session, quote_path(*path)) if column.is_key]
        except StatementError:
            return []  # an inline table, which has no name to ask for

    explained = str(session.execute(f"EXPLAIN CHANGELOG_MODE {query}").fetch_all()[0][0])
    plan = read_plan(explained, len(columns), key_of)
    names = [column.name for column in columns]
    keys = [tuple(names[index] for index in key) for key in plan.keys]
    return QuerySchema(columns, plan.changelog, tuple(keys))


def describe_table(session: Executes, table: str) -> tuple[QueryColumn, ...]:
    """Return the columns of a table or view that the session knows.

    Args:
        table: quoted path.

    Raises:
        StatementError: there is none.
    """
    rows = session.execute(f"DESCRIBE {table}").fetch_all()
    return tuple(
        _column(str(name), str(type_), is_nullable is True, key is not None)
        for name, type_, is_nullable, key, *_ in rows
    )


def _column(name: str, type_: str, is_nullable: bool, is_key: bool) -> QueryColumn:
    marks = {field: True for mark, field in _MARKS.items() if type_.endswith(mark)}
    for mark in _MARKS:
        type_ = type_.removesuffix(mark)
    return QueryColumn(name, type_, is_nullable, is_key=is_key, **marks)
