"""Where every row went, as equations, and by which rule silver refused rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.snapshots import current_id
from orchestration.contracts import DatasetContract
from orchestration.dbt_plugin.attach import connect_catalog
from orchestration.dbt_plugin.query import run_query
from orchestration.lakehouse.counts import Counts, count_layers
from orchestration.lakehouse.freshness import LayerState
from orchestration.naming import CATALOG
from orchestration.settings import Settings
from orchestration.sql import quote_duckdb, split_table

State = Literal["holds", "late", "broken"]

_TRIES = 2
"""How often tables that are being written are counted: a batch run ends, a stream does not."""


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
        is_moving: whether the tables were written while they were counted, one after the other.
    """

    total: Part
    parts: tuple[Part, ...]
    waiting: int | None = 0
    is_moving: bool = False

    @property
    def gap(self) -> int:
        """Rows that no part holds; negative: rows that came from nowhere."""
        return self.total.rows - sum(part.rows for part in self.parts)

    @property
    def state(self) -> State:
        """Whether it holds; `late`: but for rows that a run has still to take, or that came while it was counted."""
        if self.gap == 0:
            return "holds"
        is_waiting = self.gap > 0 and (self.waiting is None or self.gap <= self.waiting)
        return "late" if is_waiting or self.is_moving else "broken"


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
    """Count every layer, and the refused rows by rule; again if a table was written meanwhile.

    Args:
        layers: as `read_layers` returns them.

    Raises:
        UnreachableError, CatalogError, ContractError: as `count_layers`.
    """
    waiting = {layer.name: layer.waiting for layer in layers}
    found: Accounting | None = None
    for _ in range(_TRIES):
        before = _snapshots(settings, contract)
        counts = count_layers(settings, contract)
        rules = _count_by_rule(settings, contract)
        found = balance(
            counts,
            rules,
            waiting_for_bronze=waiting["bronze"],
            waiting_for_silver=waiting["silver"],
            is_moving=_snapshots(settings, contract) != before,
        )
        if not found.equations[0].is_moving:
            break
    assert found is not None
    return found


def balance(
    counts: Counts,
    rejected_by: Sequence[Part],
    *,
    waiting_for_bronze: int | None,
    waiting_for_silver: int | None,
    is_moving: bool = False,
) -> Accounting:
    """Return the accounting of counted rows; arguments as in `Equation`."""
    produced = Equation(
        Part("produced", counts.produced),
        (Part("landed in bronze", counts.bronze), Part("dead-lettered", counts.dead_lettered)),
        waiting_for_bronze,
        is_moving,
    )
    landed = Equation(
        Part("landed in bronze", counts.bronze),
        (Part("in silver", counts.silver), Part("duplicates", counts.duplicates), Part("refused", counts.rejected)),
        waiting_for_silver,
        is_moving,
    )
    return Accounting((produced, landed), tuple(rejected_by))


def _snapshots(settings: Settings, contract: DatasetContract) -> list[int | None]:
    catalog, tables = open_catalog(settings), contract.tables
    found = (find_table(catalog, name) for name in (tables.bronze, tables.silver, tables.rejected))
    return [current_id(table) if table is not None else None for table in found]


def _count_by_rule(settings: Settings, contract: DatasetContract) -> tuple[Part, ...]:
    if find_table(open_catalog(settings), contract.tables.rejected) is None:
        return ()
    table = ".".join(quote_duckdb(part) for part in (CATALOG, *split_table(contract.tables.rejected)))
    query = f"select rejected_by, count(*) from {table} group by all order by 2 desc, 1"
    with connect_catalog(settings) as connection:
        return tuple(Part(str(rule), int(str(rows))) for rule, rows in run_query(connection, query).rows)
