"""Brings silver and the rejected rows of a stream to what bronze says, by key, while the stream appends to them.

A refresh that rewrites whole partitions would take rows away that the stream appended since it read them. So only the
keys that new bronze rows touch are looked at, and only those that are wrong are mended: an older arrival was kept, a
key stands twice, is missing, or its record was found to break the contract.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, GreaterThanOrEqual, In, LessThan
from pyiceberg.table import Table

from orchestration.catalog.mend import replace_rows
from orchestration.catalog.snapshots import current_id, read_appended
from orchestration.contracts import DatasetContract
from orchestration.lakehouse.flink_run import Say
from orchestration.lakehouse.position import LINEAGE
from orchestration.lakehouse.quality import rule_errors
from orchestration.lakehouse.streams.expected import (
    DAY,
    KEY,
    RULE,
    compared,
    judged,
    rejected_row,
    silver_row,
)
from orchestration.sql import quote_duckdb

_AT_ONCE = 20_000
"""Rows that are replaced in one commit. Each commit is right for its keys, so a refresh that is cut off between two of
them is just not done yet."""


@dataclass(frozen=True)
class Held:
    """Snapshots of silver and the rejected rows; None: there is none."""

    silver: int | None = None
    rejected: int | None = None


@dataclass(frozen=True)
class Mended:
    """What was wrong.

    Attributes:
        bronze_rows: new bronze rows that were looked at.
        keys: natural keys whose silver rows were replaced, added or removed.
        rejected: rejected rows that were added or removed.
        touched: dates of those keys.
    """

    bronze_rows: int = 0
    keys: int = 0
    rejected: int = 0
    touched: Sequence[date] = field(default=())


def reconcile_tables(
    connection: duckdb.DuckDBPyConnection,
    contract: DatasetContract,
    bronze: Table,
    silver: Table,
    rejected: Table,
    *,
    after: int | None,
    upto: int,
    held: Held,
    say: Say,
) -> Mended:
    """Mend what the bronze rows of snapshots (after, upto] touch. Doing it twice mends nothing the second time.

    Args:
        connection: a fresh database; its memory limit bounds what is held beside the files that are rewritten.
        after: None: all rows of the three tables are looked at.
        upto: everything that the stream wrote with it is in the other tables too (settle.py).
        held: snapshots of the other tables that hold nothing which is not in bronze at `upto`.
    """
    with rule_errors(contract.tables.bronze):
        rows = _load_new(connection, contract, bronze, after=after, upto=upto)
        if after is None:
            _load_held(connection, contract, silver, rejected, held)
        days = [row[0] for row in connection.execute(f"SELECT DISTINCT {DAY} FROM touched ORDER BY 1").fetchall()]
        if not days and not _count(connection, "news"):
            return Mended()
        say(f"{rows:,} new bronze rows touch {len(days)} dates: comparing them with silver")
        _load_expected(connection, contract, bronze, upto=upto)
        keys, mended_days = _mend_silver(connection, contract, silver, days)
        refused = _mend_rejected(connection, contract, rejected)
    return Mended(rows, keys, refused, mended_days)


def _load_new(
    connection: duckdb.DuckDBPyConnection, contract: DatasetContract, bronze: Table, *, after: int | None, upto: int
) -> int:
    """Make the tables `news` (place of each new row) and `touched` (key and date), and return how many rows are new."""
    columns = (*contract.column_names, *LINEAGE)
    connection.register("appended", read_appended(bronze, columns, after=after, upto=upto))
    connection.execute(
        f"CREATE TABLE arrived AS SELECT _kafka_partition AS p, _kafka_offset AS o, {KEY}, {DAY} "
        f"FROM ({judged(contract, 'appended')})"
    )
    connection.unregister("appended")
    connection.execute(f"CREATE TABLE touched AS SELECT DISTINCT {KEY}, {DAY} FROM arrived")
    connection.execute("CREATE TABLE news AS SELECT p, o FROM arrived")
    connection.execute("DROP TABLE arrived")
    return _count(connection, "news")


def _load_held(
    connection: duckdb.DuckDBPyConnection, contract: DatasetContract, silver: Table, rejected: Table, held: Held
) -> None:
    """Count everything that stands in the other tables as touched.

    All of bronze is read as it is at its snapshot, not by what was appended. So nobody would see the rows of a record
    that an audit took out of bronze before.
    """
    key, day = quote_duckdb(contract.surrogate_key), quote_duckdb(contract.partition.name)
    if held.silver is not None:
        columns = (contract.surrogate_key, contract.partition.name)
        connection.register(
            "keys", silver.scan(snapshot_id=held.silver, selected_fields=columns).to_arrow_batch_reader()
        )
        connection.execute(f"INSERT INTO touched SELECT DISTINCT {key}, {day} FROM keys EXCEPT SELECT * FROM touched")
        connection.unregister("keys")
    if held.rejected is not None:
        scan = rejected.scan(snapshot_id=held.rejected, selected_fields=LINEAGE)
        connection.register("places", scan.to_arrow_batch_reader())
        connection.execute(
            """INSERT INTO news SELECT DISTINCT _kafka_partition, _kafka_offset FROM places
            ANTI JOIN news ON _kafka_partition = news.p AND _kafka_offset = news.o"""
        )
        connection.unregister("places")


def _load_expected(
    connection: duckdb.DuckDBPyConnection, contract: DatasetContract, bronze: Table, *, upto: int
) -> None:
    """Make the tables `expected` (silver rows of the touched keys) and `refused` (rejected rows among the new ones).

    Rows are read as bronze stands now, without those that came after `upto`: what an audit took out of it since is
    gone from here too.
    """
    head = current_id(bronze)
    connection.register("later_rows", read_appended(bronze, LINEAGE, after=upto, upto=head))
    connection.execute("CREATE TABLE later AS SELECT _kafka_partition AS p, _kafka_offset AS o FROM later_rows")
    connection.unregister("later_rows")
    row_filter = _between(connection, contract)
    connection.register("held", bronze.scan(snapshot_id=head, row_filter=row_filter).to_arrow_batch_reader())
    connection.execute(
        f"""CREATE TABLE standing AS
        SELECT judged.* FROM ({judged(contract, "held")}) AS judged
        SEMI JOIN touched ON judged.{KEY} = touched.{KEY} AND judged.{DAY} IS NOT DISTINCT FROM touched.{DAY}
        ANTI JOIN later ON judged._kafka_partition = later.p AND judged._kafka_offset = later.o"""
    )
    connection.unregister("held")
    connection.execute(
        f"""CREATE TABLE expected AS SELECT {silver_row(contract)} FROM standing WHERE {RULE} IS NULL
        QUALIFY row_number() OVER (
            PARTITION BY {KEY} ORDER BY _kafka_timestamp DESC, _kafka_offset DESC, _kafka_partition DESC
        ) = 1"""
    )
    connection.execute(
        f"""CREATE TABLE refused AS SELECT {rejected_row(contract)} FROM standing
        SEMI JOIN news ON _kafka_partition = news.p AND _kafka_offset = news.o WHERE {RULE} IS NOT NULL"""
    )


def _mend_silver(
    connection: duckdb.DuckDBPyConnection, contract: DatasetContract, silver: Table, days: Sequence[date | None]
) -> tuple[int, list[date]]:
    """Replace the rows of keys that are wrong, and return how many keys and which dates these are."""
    name = contract.partition.name
    key = quote_duckdb(contract.surrogate_key)
    silver.refresh()
    known = [one for one in days if one is not None]
    # Silver is partitioned by the date, so this reads the touched partitions alone.
    row_filter = In(name, known) if known else AlwaysTrue()  # pyright: ignore[reportCallIssue]  # a metaclass
    connection.register("stored_rows", silver.scan(row_filter=row_filter).to_arrow_batch_reader())
    connection.execute(
        f"CREATE TABLE stored AS SELECT * FROM stored_rows SEMI JOIN touched ON stored_rows.{key} = touched.{KEY}"
    )
    connection.unregister("stored_rows")
    same = " AND ".join(f"stored.{column} IS NOT DISTINCT FROM expected.{column}" for column in compared(contract))
    connection.execute(
        f"""CREATE TABLE wrong AS
        WITH found AS (
            SELECT stored.{key} AS k, count(*) AS copies, bool_and(expected.{key} IS NOT NULL AND {same}) AS is_right
            FROM stored LEFT JOIN expected ON stored.{key} = expected.{key} GROUP BY 1
        )
        SELECT touched.{KEY} AS k, touched.{DAY} AS day FROM touched
        LEFT JOIN found ON found.k = touched.{KEY} LEFT JOIN expected ON expected.{key} = touched.{KEY}
        WHERE (found.k IS NULL AND expected.{key} IS NOT NULL)
            OR (found.k IS NOT NULL AND NOT (found.copies = 1 AND found.is_right))"""
    )
    days_wrong = connection.execute("SELECT DISTINCT day FROM wrong WHERE day IS NOT NULL ORDER BY 1").fetchall()
    for part in _parts(connection, "wrong WHERE day IS NOT NULL", "k, day", "day, k"):
        rows = connection.execute(f"SELECT expected.* FROM expected SEMI JOIN part ON expected.{key} = part.k")
        keys = [{name: day, contract.surrogate_key: value} for value, day in part]
        replace_rows(silver, keys, _as_rows(rows.to_arrow_table(), silver))
    return _count(connection, "wrong WHERE day IS NOT NULL"), [row[0] for row in days_wrong]


def _mend_rejected(connection: duckdb.DuckDBPyConnection, contract: DatasetContract, rejected: Table) -> int:
    rejected.refresh()
    connection.register("kept_rows", rejected.scan(selected_fields=LINEAGE).to_arrow_batch_reader())
    connection.execute(
        """CREATE TABLE kept AS SELECT _kafka_partition AS p, _kafka_offset AS o, count(*) AS copies FROM kept_rows
        SEMI JOIN news ON _kafka_partition = news.p AND _kafka_offset = news.o GROUP BY ALL"""
    )
    connection.unregister("kept_rows")
    # Twice, or not there: written anew. Not refused any more: only removed.
    connection.execute(
        """CREATE TABLE amiss AS
        SELECT coalesce(kept.p, refused._kafka_partition) AS _kafka_partition,
            coalesce(kept.o, refused._kafka_offset) AS _kafka_offset
        FROM kept FULL JOIN refused ON kept.p = refused._kafka_partition AND kept.o = refused._kafka_offset
        WHERE kept.copies IS DISTINCT FROM 1 OR refused._kafka_offset IS NULL"""
    )
    for part in _parts(connection, "amiss", "_kafka_partition, _kafka_offset", "1, 2"):
        keys = [{"_kafka_partition": partition, "_kafka_offset": offset} for partition, offset in part]
        rows = connection.execute(
            "SELECT refused.* FROM refused SEMI JOIN part USING (_kafka_partition, _kafka_offset)"
        )
        replace_rows(rejected, keys, _as_rows(rows.to_arrow_table(), rejected))
    return _count(connection, "amiss")


def _parts(
    connection: duckdb.DuckDBPyConnection, source: str, columns: str, order: str
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of `source` in groups of _AT_ONCE; meanwhile the table `part` holds the group."""
    connection.execute(
        f"CREATE TABLE ordered AS SELECT {columns}, row_number() OVER (ORDER BY {order}) AS n FROM {source}"
    )
    for first in range(1, _count(connection, "ordered") + 1, _AT_ONCE):
        within = f"n >= {first} AND n < {first + _AT_ONCE}"
        connection.execute(f"CREATE OR REPLACE TABLE part AS SELECT {columns} FROM ordered WHERE {within}")
        yield connection.execute("SELECT * FROM part").fetchall()
    connection.execute("DROP TABLE ordered")


def _between(connection: duckdb.DuckDBPyConnection, contract: DatasetContract) -> BooleanExpression:
    """Return a filter on bronze that leaves out files of other dates by their statistics."""
    first, after, unknown = connection.execute(
        f"SELECT min({DAY}), max({DAY}) + 1, count(*) FILTER ({DAY} IS NULL) FROM touched"
    ).fetchone() or (None, None, 1)
    if unknown or first is None or after is None:
        return AlwaysTrue()
    field = contract.partition.field
    is_date = contract.column(field).bronze == "DATE"
    low, high = (str(one) if is_date else f"{one}T00:00:00" for one in (first, after))
    start: BooleanExpression = GreaterThanOrEqual(field, low)  # pyright: ignore[reportCallIssue]  # a metaclass
    end: BooleanExpression = LessThan(field, high)  # pyright: ignore[reportCallIssue]
    return And(start, end)


def _as_rows(rows: pa.Table, table: Table) -> pa.Table:
    """Return the rows with the table's own types, as far as Arrow sees them."""
    schema = table.schema().as_arrow()
    return rows.select(schema.names).cast(schema)


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row is not None else 0
