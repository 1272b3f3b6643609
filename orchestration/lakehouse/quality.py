"""The quality rules in DuckDB: which partitions new rows touch, and which rule refuses a row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

import duckdb
from pyiceberg.table import Table

from orchestration.catalog.snapshots import read_appended
from orchestration.contracts import DatasetContract
from orchestration.contracts.models import FITS_RULE
from orchestration.errors import ContractError
from orchestration.sql import quote_duckdb, quote_literal


def touched_dates(contract: DatasetContract, bronze: Table, *, after: int | None, upto: int) -> list[date]:
    """Return the partition dates, ascending, of the rows in bronze snapshots (after, upto] that pass the quality rules.

    The range rule of the silver types is left out: it reads every column, and at worst adds a date that gets no row.

    Raises:
        ContractError: a rule fails on a value.
    """
    day = f"CAST({quote_duckdb(contract.partition.field)} AS DATE)"
    rules = [condition for name, condition in contract.rules() if name != FITS_RULE]
    with duckdb.connect() as connection, rule_errors(contract.tables.bronze):
        connection.register("bronze", read_appended(bronze, _used_columns(contract, rules), after=after, upto=upto))
        rows = connection.execute(
            f"SELECT DISTINCT {day} AS day FROM bronze WHERE {' AND '.join(rules)} ORDER BY day"
        ).fetchall()
    return [row[0] for row in rows]


def verdict(contract: DatasetContract) -> str:
    """Return the SQL expression of the first rule that a bronze row breaks; NULL if it breaks none."""
    whens = " ".join(f"WHEN NOT ({condition}) THEN {quote_literal(name)}" for name, condition in contract.rules())
    return f"CASE {whens} END"


@contextmanager
def rule_errors(table: str) -> Iterator[None]:
    """Map what a quality rule does to a value that it was not written for (a cast that fails, an overflow).

    Raises:
        ContractError: names the table and DuckDB's reason.
    """
    try:
        yield
    except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException) as error:
        raise ContractError(
            f"a quality rule cannot be evaluated on {table}: {str(error).splitlines()[0]}",
            hint="a predicate has to bear every value of its columns: correct it in dataset.yml, for example with "
            "TRY_CAST",
        ) from error


def _used_columns(contract: DatasetContract, rules: Sequence[str]) -> tuple[str, ...]:
    words = {word for rule in rules for word in re.findall(r"\w+", rule)}
    return tuple(name for name in contract.column_names if name in words or name == contract.partition.field)
