"""The quality rules, evaluated on bronze by DuckDB: a second opinion on what Flink does, and what a refresh touches."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import duckdb
from pyiceberg.table import Table

from orchestration.catalog.snapshots import read_appended
from orchestration.contracts import DatasetContract
from orchestration.sql import quote_duckdb, quote_literal


@dataclass(frozen=True)
class Judgement:
    """Bronze rows by verdict.

    Attributes:
        accepted: rows that pass every rule.
        rejected_by: rule to the rows that break it first.
        dates: partition dates of the accepted rows, ascending.
    """

    accepted: int = 0
    rejected_by: Mapping[str, int] = field(default_factory=dict)
    dates: Sequence[date] = ()

    @property
    def rejected(self) -> int:
        """Rows that break a rule."""
        return sum(self.rejected_by.values())


def judge(contract: DatasetContract, bronze: Table, *, after: int | None, upto: int) -> Judgement:
    """Apply the contract's rules to bronze rows.

    Args:
        after: judge the rows that snapshots after this one added; None: all rows of snapshot `upto`.
    """
    columns = _used_columns(contract)
    if after is None:
        reader = bronze.scan(snapshot_id=upto, selected_fields=columns).to_arrow_batch_reader()
    else:
        reader = read_appended(bronze, columns, after=after, upto=upto)
    with duckdb.connect() as connection:
        connection.register("bronze", reader)
        rows = connection.execute(
            f"SELECT {verdict(contract)}, CAST({quote_duckdb(contract.partition.field)} AS DATE), count(*) "
            "FROM bronze GROUP BY ALL"
        ).fetchall()
    rejected_by: dict[str, int] = {}
    for rule, _, count in rows:
        if rule is not None:
            rejected_by[rule] = rejected_by.get(rule, 0) + count
    return Judgement(
        accepted=sum(count for rule, _, count in rows if rule is None),
        rejected_by=rejected_by,
        dates=sorted(day for rule, day, _ in rows if rule is None),
    )


def verdict(contract: DatasetContract) -> str:
    """Return the SQL expression of the first rule that a bronze row breaks; NULL if it breaks none."""
    whens = " ".join(f"WHEN NOT ({condition}) THEN {quote_literal(name)}" for name, condition in contract.rules())
    return f"CASE {whens} END"


def _used_columns(contract: DatasetContract) -> tuple[str, ...]:
    words = {word for _, condition in contract.rules() for word in re.findall(r"\w+", condition)}
    return tuple(name for name in contract.column_names if name in words or name == contract.partition.field)
