"""The quality rules in DuckDB: which partitions new rows touch, and which rule refuses a row."""

from __future__ import annotations

import re
from datetime import date

import duckdb
from pyiceberg.table import Table

from orchestration.catalog.snapshots import read_appended
from orchestration.contracts import DatasetContract
from orchestration.sql import quote_duckdb, quote_literal


def touched_dates(contract: DatasetContract, bronze: Table, *, after: int, upto: int) -> list[date]:
    """Return the partition dates, ascending, of the rows in bronze snapshots (after, upto] that pass every rule."""
    day = f"CAST({quote_duckdb(contract.partition.field)} AS DATE)"
    with duckdb.connect() as connection:
        connection.register("bronze", read_appended(bronze, _used_columns(contract), after=after, upto=upto))
        rows = connection.execute(
            f"SELECT DISTINCT {day} AS day FROM bronze WHERE {verdict(contract)} IS NULL ORDER BY day"
        ).fetchall()
    return [row[0] for row in rows]


def verdict(contract: DatasetContract) -> str:
    """Return the SQL expression of the first rule that a bronze row breaks; NULL if it breaks none."""
    whens = " ".join(f"WHEN NOT ({condition}) THEN {quote_literal(name)}" for name, condition in contract.rules())
    return f"CASE {whens} END"


def _used_columns(contract: DatasetContract) -> tuple[str, ...]:
    words = {word for _, condition in contract.rules() for word in re.findall(r"\w+", condition)}
    return tuple(name for name in contract.column_names if name in words or name == contract.partition.field)
