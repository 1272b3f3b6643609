"""Which dates of a source were touched since a table was last built from it: those of files that came or went.

Data and delete files of Iceberg never change, so two snapshots with the same files of a date hold the same rows of it.
Only the lists of files are read, no data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

from orchestration.sql import quote_duckdb, quote_literal

BUILT_FROM = "millrace.built-from"
"""Property of a table: the `Origin` of its rows, as JSON."""

_MOST_DAYS = 1000
"""A file that spans more says nothing worth knowing: its table is not partitioned by the date."""


@dataclass(frozen=True)
class Origin:
    """What the rows of a table were made from.

    Attributes:
        source, snapshot: the table that was read, and its newest snapshot before that.
        code: `code_hash` of the query.
        content: the table's own snapshot that holds these rows; with another one the origin says nothing about it.
    """

    source: str
    snapshot: int
    code: str
    content: int | None = None

    def to_text(self) -> str:
        """Return the origin as a property."""
        return json.dumps(asdict(self))


def origin_of(text: str | None) -> Origin | None:
    """Return the origin that a property tells; None: there is none, or it is not readable."""
    try:
        return Origin(**json.loads(text or "null"))
    except (TypeError, ValueError):
        return None


def code_hash(sql: str, changed_dates: str | None, above: Sequence[str]) -> str:
    """Return a hash of a model's query and of the code above it; the same whether or not it asks for changed dates."""
    condition = rf"\S+ in \(select changed_date from {re.escape(changed_dates or '')}\)"
    whole = [re.sub(condition, "true", " ".join(sql.split())), *above]
    return sha256("\0".join(whole).encode()).hexdigest()[:16]


def current_snapshot(cursor: Any, relation: str) -> int | None:
    """Return the id of a table's current snapshot, as the catalog has it now, also inside a transaction; None: none.

    After a rollback it is not the newest one.
    """
    query = (
        f"""SELECT TRY_CAST(metadata."current-snapshot-id" AS BIGINT) FROM iceberg_load_table_response({relation})"""
    )
    [found] = cursor.execute(query).fetchone()
    return found if found is not None and found >= 0 else None


def snapshots_before_now(relation: str) -> str:
    """Return a query for the ids of a table's snapshots that are older than the transaction.

    DuckDB reads a table as of the transaction's begin: with a catalog whose clock is ahead, not its newest snapshot.
    """
    return f"SELECT snapshot_id FROM iceberg_snapshots({relation}) WHERE epoch_ms(timestamp_ms) < epoch_ms(now())"


def date_literals(dates: Iterable[date]) -> str:
    """Return dates as SQL, by which DuckDB skips files."""
    return ", ".join(f"DATE {quote_literal(one.isoformat())}" for one in dates)


def these_dates(dates: Collection[date]) -> str:
    """Return a query for the rows (`changed_date`) of the dates."""
    return f"SELECT unnest([{date_literals(sorted(dates))}]::DATE[]) AS changed_date"


def all_dates(source: str, relation: str, column: str) -> str:
    """Return a query for the rows (`changed_date`) of every date in two tables."""
    name = quote_duckdb(column)
    return f"SELECT {name} AS changed_date FROM {source} UNION SELECT {name} FROM {relation}"


def touched_dates(cursor: Any, source: str, column: str, since: int, until: int) -> frozenset[date] | None:
    """Return the dates of the files that one of two snapshots of a table has and the other has not.

    None: a file does not tell its dates, as files of deleted rows do not, or spans too many.
    """

    def files(snapshot: int) -> str:
        return (
            "SELECT file_path, TRY_CAST(lower_bound AS DATE) AS low, TRY_CAST(upper_bound AS DATE) AS high "
            f"FROM iceberg_column_stats({source}, snapshot_from_id={snapshot}) "
            f"WHERE column_name = {quote_literal(column)} AND status <> 'DELETED'"
        )

    query = (
        f"WITH before AS ({files(since)}), after AS ({files(until)}) SELECT DISTINCT low, high FROM "
        "((FROM before EXCEPT FROM after) UNION ALL (FROM after EXCEPT FROM before))"
    )
    found: set[date] = set()
    for low, high in cursor.execute(query).fetchall():
        if low is None or high is None or (high - low).days > _MOST_DAYS:
            return None
        found.update(low + timedelta(days=day) for day in range((high - low).days + 1))
    return frozenset(found)
