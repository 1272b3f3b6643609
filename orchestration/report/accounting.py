"""Where every row went, as equations, and by which rule silver refused rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestration.catalog import find_table, open_catalog
from orchestration.contracts import DatasetContract
from orchestration.dbt_plugin.attach import connect_catalog
from orchestration.dbt_plugin.query import run_query
from orchestration.lakehouse.counts import Counts, count_layers
from orchestration.lakehouse.freshness import LayerState
from orchestration.naming import CATALOG
from orchestration.settings import Settings
from orchestration.sql import quote_duckdb, split_table

State = Literal["holds", "late", "broken"]


@dataclass(frozen=True)
class Part:
    """A number of rows and what became of them."""

    name: str
    rows: int


@dataclass(frozen=True)
class Equation:
    """What went into a layer, and all that came out of it.

    Attributes:
        waiting: rows that came after the layer was last written; None: it cannot be told.
    """

    total: Part
    parts: tuple[Part, ...]
    waiting: int | None = 0

    @property
    def gap(self) -> int:
        """Rows that no part holds; negative: rows that came from nowhere."""
        return self.total.rows - sum(part.rows for part in self.parts)

    @property
    def state(self) -> State:
        """Whether it holds; `late`: but for rows that a run has still to take."""
        if self.gap == 0:
            return "holds"
        return "late" if self.gap > 0 and (self.waiting is None or self.gap <= self.waiting) else "broken"


@dataclass(frozen=True)
class Accounting:
    """The accounting of a dataset.

    Attributes:
        rejected_by: rule to rows, the most first.
    """

    equations: tuple[Equation, ...]
    rejected_by: tuple[Part, ...]

    @property
    def state(self) -> State:
        """The worst of the equations."""
        states = {equation.state for equation in self.equations}
        return "broken" if "broken" in states else ("late" if "late" in states else "holds")

    @property
    def produced(self) -> int:
        """Events handed to the broker."""
        return self.equations[0].total.rows


def read_accounting(settings: Settings, contract: DatasetContract, layers: Sequence[LayerState]) -> Accounting:
    """Count every layer, and the refused rows by rule.

    Args:
        layers: as `read_layers` returns them.

    Raises:
        UnreachableError, CatalogError, ContractError: as `count_layers`.
    """
    waiting = {layer.name: layer.waiting for layer in layers}
    counts = count_layers(settings, contract)
    rules = _count_by_rule(settings, contract)
    return balance(counts, rules, waiting_for_bronze=waiting["bronze"], waiting_for_silver=waiting["silver"])


def balance(
    counts: Counts, rejected_by: Sequence[Part], *, waiting_for_bronze: int | None, waiting_for_silver: int | None
) -> Accounting:
    """Return the accounting of counted rows."""
    produced = Equation(
        Part("produced", counts.produced),
        (Part("landed in bronze", counts.bronze), Part("dead-lettered", counts.dead_lettered)),
        waiting_for_bronze,
    )
    landed = Equation(
        Part("landed in bronze", counts.bronze),
        (Part("in silver", counts.silver), Part("duplicates", counts.duplicates), Part("refused", counts.rejected)),
        waiting_for_silver,
    )
    refused = Equation(Part("refused", counts.rejected), tuple(rejected_by))
    return Accounting((produced, landed, refused) if rejected_by else (produced, landed), tuple(rejected_by))


def _count_by_rule(settings: Settings, contract: DatasetContract) -> tuple[Part, ...]:
    if find_table(open_catalog(settings), contract.tables.rejected) is None:
        return ()
    table = ".".join(quote_duckdb(part) for part in (CATALOG, *split_table(contract.tables.rejected)))
    query = f"select rejected_by, count(*) from {table} group by all order by 2 desc, 1"
    with connect_catalog(settings) as connection:
        return tuple(Part(str(rule), int(str(rows))) for rule, rows in run_query(connection, query).rows)
