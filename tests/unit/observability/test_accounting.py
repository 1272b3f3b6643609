"""Where every event is, and the rules of rejected rows without reading any twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table

from orchestration.observability.accounting import (
    LANDED,
    REFINED,
    Account,
    RuleCounts,
    account_families,
    count_rules,
    live_rows,
)
from tests.unit.observability.samples import by_name

WELL = Account(
    produced=110,
    dead_lettered=4,
    unsettled=1,
    budget=0,
    waiting=6,
    bronze=100,
    silver=90,
    rejected=7,
    rejected_by={"negative": 7},
)


@pytest.mark.parametrize(
    ("account", "missing", "holds"),
    [
        (WELL, 0, {LANDED: True, REFINED: True}),
        (replace(WELL, bronze=106, waiting=0), 0, {LANDED: True, REFINED: True}),
        # A stream committed its rows, and its offsets not yet.
        (replace(WELL, bronze=106), 0, {LANDED: True, REFINED: True}),
        (replace(WELL, bronze=99), 1, {LANDED: False, REFINED: True}),
        (replace(WELL, bronze=107), -1, {LANDED: False, REFINED: True}),
        (replace(WELL, silver=93), 0, {LANDED: True, REFINED: True}),
        (replace(WELL, silver=94), 0, {LANDED: True, REFINED: False}),
    ],
    ids=["well", "nothing waits", "offsets late", "one lost", "one too many", "no duplicates", "silver too many"],
)
def test_the_equations_hold_when_every_event_is_somewhere_once(
    account: Account, missing: int, holds: dict[str, bool]
) -> None:
    assert (account.missing, account.equations) == (missing, holds)


def test_an_account_as_metrics() -> None:
    found = by_name(account_families("taxi", WELL))
    assert found["millrace_events_produced_total"] == {("taxi",): 110}
    assert found["millrace_dead_letters_total"] == {("taxi",): 4}
    assert found["millrace_layer_rows"] == {
        ("taxi", "bronze"): 100,
        ("taxi", "duplicates"): 3,
        ("taxi", "rejected"): 7,
        ("taxi", "silver"): 90,
    }
    assert found["millrace_rejected_rows"] == {("taxi", "negative"): 7}
    assert found["millrace_accounting_holds"] == {("taxi", LANDED): 1, ("taxi", REFINED): 1}


@pytest.fixture
def rejected(iceberg: Catalog) -> Table:
    return iceberg.create_table("silver.rejected", schema=pa.schema([("rejected_by", pa.string()), ("n", pa.int64())]))


def refuse(table: Table, *rules: str) -> None:
    rows = [{"rejected_by": rule, "n": n} for n, rule in enumerate(rules)]
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))


class Reads:
    """Counts the rows that are read."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, table: Table, *, after: int | None, upto: int) -> Counter[str]:
        found = count_rules(table, after=after, upto=upto)
        self.rows.append(found.total())
        return found


def test_rules_are_counted_from_what_was_appended_since(rejected: Table) -> None:
    reads = Reads()
    counts = RuleCounts(reads)
    assert counts.count(None) == {}
    assert counts.count(rejected) == {}
    refuse(rejected, "a", "b", "a")
    assert counts.count(rejected) == {"a": 2, "b": 1}
    assert counts.count(rejected) == {"a": 2, "b": 1}
    refuse(rejected, "b")
    assert counts.count(rejected) == {"a": 2, "b": 2}
    assert reads.rows == [3, 1]


def test_rules_are_counted_anew_after_rows_were_taken_away_or_the_table_was_rolled_back(rejected: Table) -> None:
    counts = RuleCounts()
    refuse(rejected, "a", "b")
    counts.count(rejected)
    first = rejected.current_snapshot()
    rejected.delete(EqualTo("rejected_by", "a"))
    assert counts.count(rejected) == {"b": 1}
    assert first is not None
    rejected.manage_snapshots().rollback_to_snapshot(first.snapshot_id).commit()
    assert counts.count(rejected) == {"a": 1, "b": 1}


def test_rows_are_those_of_the_snapshot(rejected: Table) -> None:
    assert (live_rows(None), live_rows(rejected)) == (0, 0)
    refuse(rejected, "a", "b")
    assert live_rows(rejected) == 2
