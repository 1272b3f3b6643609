"""One write of one model into its Iceberg table: prepared locally, committed once, repeated after a lost race."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from time import monotonic
from typing import Any, cast

import duckdb

from orchestration.dbt_plugin.gold import BUILT_AT
from orchestration.dbt_plugin.writing.columns import added_columns, declared_columns, made_anew
from orchestration.dbt_plugin.writing.request import Column, WriteRequest
from orchestration.dbt_plugin.writing.statements import (
    PARTITIONED_BY,
    content_of,
    create_table,
    merge_rows,
    partition_text,
    replaced_rows,
)
from orchestration.dbt_plugin.writing.touched import (
    BUILT_FROM,
    Origin,
    all_dates,
    code_hash,
    current_snapshot,
    date_literals,
    origin_of,
    snapshots_before_now,
    these_dates,
    touched_dates,
)
from orchestration.errors import CatalogError, CheckFailedError, ConflictError, MillraceError
from orchestration.redaction import redact
from orchestration.sql import quote_duckdb, quote_literal

ATTEMPTS = 4
"""The first one and three more."""

# Iceberg's REST catalog answers 409 to a commit whose base snapshot is no longer the newest; DuckDB 1.5.5 passes it on.
# Two first builds: one finds the table there that the other has just made, or gone.
# The last two: what another writer made or replaced after our transaction began, with iceberg_use_metadata_log off.
_CONFLICT = re.compile(
    r"Conflict_409|CommitFailedException|NoSuchTableException|already exists|already outdated|"
    r"does not have a reachable state in this transaction",
    re.IGNORECASE,
)

Cursor = Any
"""A DuckDB cursor, or dbt-duckdb's wrapper of one."""


@dataclass(frozen=True)
class Outcome:
    """What a write did.

    Attributes:
        rows: in the table afterwards.
        rows_written: new or replaced ones; 0 if the table held them already.
        snapshot_before, snapshot_after: ids of the newest snapshots; None: there was none. The same if nothing changed.
        attempts: more than one if other writers were faster.
        notice: what a person should know; empty in most cases.
    """

    rows: int
    rows_written: int
    snapshot_before: int | None
    snapshot_after: int | None
    seconds: float
    attempts: int
    notice: str = ""


def write_table(
    cursor: Cursor, request: WriteRequest, *, built_at: datetime, notify: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Bring the table to what the model's query gives. The temporary data stays in the local database.

    After a commit that another writer made first the whole write is done again, query included, except for `append`:
    its rows may depend on what the table held.

    Args:
        built_at: when the build began; remembered in the table.
        notify: told about each repetition.

    Raises:
        ConfigError: the contract or a column type is broken; nothing was written.
        ConflictError: the model's columns changed, or other writers were faster four times.
        CheckFailedError: a key is NULL, or twice in rows that are to be merged.
        CatalogError: DuckDB's reason for anything else. The stored rows are as they were.
    """
    began = monotonic()
    attempts = ATTEMPTS if request.is_repeatable else 1
    notice = ""
    for attempt in range(1, attempts + 1):
        one = _Attempt(cursor, request, built_at)
        try:
            try:
                rows, written = one.run()
            except _MustBeMadeAnewError as error:
                # Not in the transaction: DuckDB cannot make a table in the one that dropped it.
                one.undo()
                notice = error.notice
                if notice or newest_snapshot(cursor, request.relation) is None:
                    cursor.execute(f"DROP TABLE IF EXISTS {request.relation}")
                rows, written = one.run()
        except duckdb.Error as error:
            one.undo()
            text = redact(" ".join(str(error).split()))
            if not _CONFLICT.search(text):
                raise CatalogError(f"{request.title} could not be written: {text}") from None
            if attempt == attempts:
                raise _lost(cursor, request, attempts, text) from None
            notify(f"{request.title}: another writer committed first, attempt {attempt + 1} of {attempts}")
            continue
        except BaseException:
            one.undo()
            raise
        after = newest_snapshot(cursor, request.relation)
        one.remember_origin()
        return Outcome(rows, written, one.snapshot_before, after, monotonic() - began, attempt, notice)
    raise AssertionError("the last attempt returns or raises")


class _MustBeMadeAnewError(Exception):
    """The table cannot become what the model wants, and may be dropped. The query has succeeded by then."""

    def __init__(self, notice: str) -> None:
        self.notice = notice


class _Attempt:
    """One transaction."""

    def __init__(self, cursor: Cursor, request: WriteRequest, built_at: datetime) -> None:
        self._cursor, self._request, self._built_at = cursor, request, built_at
        self._incoming = quote_duckdb(f"{request.name}__incoming")
        self._is_new = False
        self._origin: Origin | None = None
        self._origin_before: Origin | None = None
        self.snapshot_before: int | None = None

    def run(self) -> tuple[int, int]:
        """Return rows of the table, and rows written."""
        request, cursor = self._request, self._cursor
        if request.sql_header:
            cursor.execute(request.sql_header)
        source = request.changes_of
        snapshot = current_snapshot(cursor, source) if source else None
        cursor.execute("BEGIN TRANSACTION")
        # First of all: DuckDB reads a table as of the transaction's begin, and one that is made later ends the process.
        stored = stored_columns(cursor, request.relation)
        if stored is not None:
            self.snapshot_before = newest_snapshot(cursor, request.relation)
        if source:
            self._look_at_source(source, snapshot)
        for hook in request.pre_hooks:
            cursor.execute(self._with_dates(hook))
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE {self._incoming} AS {self._with_dates(request.sql)}")
        columns = declared_columns(self._with_own_types(), _describe(cursor, self._incoming))
        self._check_keys()
        if stored is None:
            written = self._create(columns)
        elif self.snapshot_before is None:
            # Left by a build that died before its first commit, or of one at work. Iceberg has nothing that two first
            # commits could conflict about; with the table gone the other one's commit is refused.
            raise _MustBeMadeAnewError("")
        else:
            self._require_fit(columns, stored)
            written = self._replace(columns, stored)
        for hook in request.post_hooks:
            cursor.execute(hook)
        cursor.execute(f"DROP TABLE IF EXISTS {self._incoming}")
        self._set_property(BUILT_AT, self._built_at.astimezone(UTC).isoformat())
        rows = int(_one(cursor, f"SELECT count(*) FROM {request.relation}")[0])
        cursor.execute("COMMIT")
        return rows, written

    def remember_origin(self) -> None:
        """Note what the rows were made from, once they are committed.

        Apart from the commit, since its snapshot has no id before. A build that dies here leaves the origin of another
        snapshot, and the next one looks at every date. So it does after a write by anybody else, and after a rollback.
        """
        if self._origin is None:
            return
        # The rows are committed: that the next build has more to look at is no reason to fail.
        with suppress(duckdb.Error):
            origin = replace(self._origin, content=current_snapshot(self._cursor, self._request.relation))
            if origin != self._origin_before:
                self._set_property(BUILT_FROM, origin.to_text())

    def _look_at_source(self, source: str, snapshot: int | None) -> None:
        """List the dates of the source whose files changed since the last build; every date if that cannot be told.

        Args:
            snapshot: of the source before the transaction: rows that are newer are looked at again, older ones never.
        """
        request, cursor = self._request, self._cursor
        known = {row[0] for row in cursor.execute(snapshots_before_now(source)).fetchall()}
        self._origin = self._origin_before = None
        if snapshot is not None and snapshot in known:
            self._origin = Origin(source, snapshot, code_hash(request.sql, request.changed_dates, request.code_above))
        if self.snapshot_before is None or request.is_full_refresh:
            return
        before = origin_of(_properties(cursor, request.relation).get(BUILT_FROM))
        column, touched = request.unique_key[0], None
        if before is not None and self._origin is not None and before.snapshot in known:
            content = current_snapshot(cursor, request.relation)
            if before == replace(self._origin, snapshot=before.snapshot, content=content):
                touched = touched_dates(cursor, source, column, before.snapshot, self._origin.snapshot)
        self._origin_before = before
        dates = all_dates(source, request.relation, column) if touched is None else these_dates(touched)
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE {request.touched_dates} AS {dates}")

    def undo(self) -> None:
        """Leave the stored rows as they were, and nothing behind."""
        # DuckDB has ended the transaction by itself if its commit failed.
        with suppress(duckdb.Error):
            self._cursor.execute("ROLLBACK")
        with suppress(duckdb.Error):
            self._cursor.execute(f"DROP TABLE IF EXISTS {self._incoming}")
        if self._is_new:
            # Without staged creation the catalog has the empty table already.
            with suppress(duckdb.Error):
                if newest_snapshot(self._cursor, self._request.relation) is None:
                    self._cursor.execute(f"DROP TABLE IF EXISTS {self._request.relation}")

    def _with_own_types(self) -> WriteRequest:
        """Return the request with the contract's types under DuckDB's names."""
        contract = self._request.contract
        if not contract:
            return self._request
        casts = ", ".join(f"CAST(NULL AS {column.type}) AS {quote_duckdb(column.name)}" for column in contract)
        types = {column.name: column.type for column in _describe(self._cursor, f"(SELECT {casts})")}
        return self._request.model_copy(
            update={"contract": tuple(c.model_copy(update={"type": types[c.name]}) for c in contract)}
        )

    def _check_keys(self) -> None:
        request = self._request
        keys = request.unique_key if request.strategy != "append" else ()
        if not keys:
            return
        names = ", ".join(quote_duckdb(name) for name in keys)
        empty = " OR ".join(f"{quote_duckdb(name)} IS NULL" for name in keys)
        [nulls] = _one(self._cursor, f"SELECT count(*) FROM {self._incoming} WHERE {empty}")
        if nulls:
            raise CheckFailedError(
                f"model {request.name}: {nulls:,} rows have no value in the unique_key {', '.join(keys)}",
                hint="such rows could never be replaced; filter them out or complete the key. Nothing was written",
            )
        if request.strategy != "merge":
            return
        twice = f"SELECT {names} FROM {self._incoming} GROUP BY ALL HAVING count(*) > 1"
        [doubled] = _one(self._cursor, f"SELECT count(*) FROM ({twice})")
        if doubled:
            raise CheckFailedError(
                f"model {request.name}: {doubled:,} values of the unique_key {', '.join(keys)} are in several rows",
                hint="merge needs one row a key; or take incremental_strategy delete+insert. Nothing was written",
            )

    def _require_fit(self, columns: Sequence[Column], stored: Sequence[Column]) -> None:
        request = self._request
        was = _properties(self._cursor, request.relation).get(PARTITIONED_BY, "none")
        wanted = partition_text(request)
        try:
            if was != wanted:
                raise ConflictError(f"{request.title}: partition_by was {was} and is {wanted}", hint=made_anew(request))
            added_columns(self._whole(), columns, stored)
        except ConflictError as error:
            if not request.is_full_refresh:
                raise
            notice = f"{error.message}: the table was made anew, and its history ended"
            raise _MustBeMadeAnewError(notice) from None

    def _whole(self) -> WriteRequest:
        """Return the request as one for all rows if it is a full refresh."""
        request = self._request
        return request.model_copy(update={"strategy": "replace"}) if request.is_full_refresh else request

    def _create(self, columns: Sequence[Column]) -> int:
        self._cursor.execute(create_table(self._request, columns))
        self._is_new = True
        return self._insert([column.name for column in columns])

    def _replace(self, columns: Sequence[Column], stored: Sequence[Column]) -> int:
        request, cursor = self._request, self._cursor
        added = added_columns(self._whole(), columns, stored)
        known = {column.name.lower() for column in [*stored, *added]}
        taken = [column for column in columns if column.name.lower() in known]
        replaced = replaced_rows(request, self._incoming)
        if not added and self._is_there_already(taken, replaced):
            return 0
        for column in added:
            cursor.execute(f"ALTER TABLE {request.relation} ADD COLUMN {quote_duckdb(column.name)} {column.type}")
        names = [column.name for column in taken]
        if request.strategy == "merge" and not request.is_full_refresh:
            return int(_one(cursor, merge_rows(request, names, self._incoming))[0])
        if replaced != "false":
            replaced = self._with_dates(replaced)
            cursor.execute(f"DELETE FROM {request.relation} AS target WHERE {replaced}")
        return self._insert(names)

    def _with_dates(self, sql: str) -> str:
        """Return SQL with the changed dates as literals, by which DuckDB skips files; not with a subquery."""
        for table in {self._request.changed_dates, self._request.touched_dates} - {None}:
            query = re.compile(rf"select\s+changed_date\s+from\s+{re.escape(str(table))}\b", re.IGNORECASE)
            if not query.search(sql):
                continue
            found = [row[0] for row in self._cursor.execute(f"SELECT changed_date FROM {table}").fetchall()]
            if all(type(one) is date for one in found):
                # Iceberg holds no infinite date; other than NULL it skips every file.
                sql = query.sub(date_literals(found) or "DATE '-infinity'", sql)
        return sql

    def _is_there_already(self, columns: Sequence[Column], replaced: str) -> bool:
        """Whether the rows to be replaced are those that would replace them: then a snapshot is saved."""
        if self._request.strategy == "replace_changed_dates" and not self._request.is_full_refresh:
            # The dates in the list differ, that is how they came there: reading all their columns would tell no more.
            return _one(self._cursor, f"SELECT count(*) FROM {self._request.changed_dates}")[0] == 0
        new = _one(self._cursor, content_of(self._incoming, columns))
        if self._request.strategy == "append" and not self._request.is_full_refresh:
            return new[0] == 0
        return new == _one(self._cursor, content_of(self._request.relation, columns, replaced))

    def _insert(self, names: Sequence[str]) -> int:
        listed = ", ".join(quote_duckdb(name) for name in names)
        statement = f"INSERT INTO {self._request.relation} ({listed}) SELECT {listed} FROM {self._incoming}"
        return int(_one(self._cursor, statement)[0])

    def _set_property(self, name: str, value: str) -> None:
        pair = f"{quote_literal(name)}: {quote_literal(value)}"
        self._cursor.execute(f"CALL set_iceberg_table_properties({self._request.relation}, {{{pair}}})")


def newest_snapshot(cursor: Cursor, relation: str) -> int | None:
    """Return the id of the newest snapshot of a table; None: it has none."""
    query = f"SELECT snapshot_id FROM iceberg_snapshots({relation}) ORDER BY sequence_number DESC LIMIT 1"
    rows = cursor.execute(query).fetchall()
    return int(rows[0][0]) if rows else None


def _lost(cursor: Cursor, request: WriteRequest, attempts: int, text: str) -> MillraceError:
    other = None
    with suppress(duckdb.Error):
        other = newest_snapshot(cursor, request.relation)
    tried = f"{attempts} attempts" if attempts > 1 else "append is not repeated"
    return ConflictError(
        f"{request.title}: another writer committed first ({tried}); its newest snapshot is {other}: {text}",
        hint="let one build at a time write this table, then build it again",
    )


def stored_columns(cursor: Cursor, relation: str) -> tuple[Column, ...] | None:
    """Return the columns of a table; None: there is none.

    Asks for the one table only. DuckDB's information_schema loads all tables of the catalog, and one that another
    process makes meanwhile invalidates the whole database ("Metadata-log exists but none of the entries were valid for
    the current transaction start time", iceberg extension of 1.5.5).
    """
    try:
        return _describe(cursor, relation)
    except duckdb.CatalogException as error:
        if "does not exist" in str(error):
            return None
        raise


def _describe(cursor: Cursor, rows: str) -> tuple[Column, ...]:
    found = cursor.execute(f"DESCRIBE {rows}" if rows.startswith('"') else f"DESCRIBE FROM {rows}").fetchall()
    return tuple(Column(name=row[0], type=row[1]) for row in found)


def _properties(cursor: Cursor, relation: str) -> dict[str, str]:
    return dict(cast("list[tuple[str, str]]", cursor.execute(f"FROM iceberg_table_properties({relation})").fetchall()))


def _one(cursor: Cursor, query: str) -> tuple[Any, ...]:
    row = cursor.execute(query).fetchone()
    return cast("tuple[Any, ...]", row)
