"""Equations: when they hold, when rows are only late, and when some are lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestration.lakehouse.counts import Counts
from orchestration.lakehouse.freshness import LayerState
from orchestration.report import accounting
from orchestration.report.accounting import Equation, Part, balance
from orchestration.settings import Settings
from tests.unit.tiny import tiny_contract

COUNTS = Counts(produced=100, dead_lettered=4, bronze=96, silver=80, duplicates=6, rejected=10)


@pytest.mark.parametrize(
    ("total", "waiting", "state"),
    [
        pytest.param(10, 0, "holds", id="equal"),
        pytest.param(12, 2, "late", id="as many as wait"),
        pytest.param(12, 9, "late", id="fewer than wait"),
        pytest.param(12, None, "late", id="nobody knows how many wait"),
        pytest.param(12, 1, "broken", id="more than wait"),
        pytest.param(9, None, "broken", id="rows from nowhere"),
    ],
)
def test_an_equation_is(total: int, waiting: int | None, state: str) -> None:
    equation = Equation(Part("all", total), (Part("one", 4), Part("other", 6)), waiting)
    assert (equation.state, equation.gap) == (state, total - 10)


def test_each_row_is_somewhere() -> None:
    found = balance(COUNTS, [Part("a", 7), Part("b", 3)], waiting_for_bronze=0, waiting_for_silver=0)
    assert [equation.state for equation in found.equations] == ["holds"] * 2
    assert (found.state, found.produced) == ("holds", 100)


@pytest.mark.parametrize(("is_moving", "state"), [(True, "late"), (False, "broken")])
def test_a_gap_in_tables_that_were_written_meanwhile_is_no_loss(is_moving: bool, state: str) -> None:
    counts = replace(COUNTS, bronze=97)
    found = balance(counts, [], waiting_for_bronze=0, waiting_for_silver=0, is_moving=is_moving)
    assert found.state == state


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """How often the layers were counted; the snapshots of bronze that are seen, one a look."""
    seen: list[int | None] = []
    monkeypatch.setattr(accounting, "_snapshots", lambda *_: [seen.pop(0)])
    monkeypatch.setattr(accounting, "count_layers", lambda *_: replace(COUNTS, bronze=97 if len(seen) > 1 else 96))
    monkeypatch.setattr(accounting, "_count_by_rule", lambda *_: ())
    return seen


LAYERS = (LayerState("bronze", None, 0, "records"), LayerState("silver", None, 0, "rows"))


def test_tables_that_moved_are_counted_again(counted: list[int | None]) -> None:
    counted += [1, 2, 2, 2]
    found = accounting.read_accounting(Settings(), tiny_contract(), LAYERS)
    assert counted == []
    assert found.state == "holds"


def test_beside_a_stream_counting_ends_all_the_same(counted: list[int | None]) -> None:
    counted += [1, 2, 3, 4]
    found = accounting.read_accounting(Settings(), tiny_contract(), LAYERS)
    assert counted == []
    assert found.equations[0].is_moving


def test_tables_at_rest_are_counted_once(counted: list[int | None]) -> None:
    counted += [1, 1, 5]
    accounting.read_accounting(Settings(), tiny_contract(), LAYERS)
    assert counted == [5]
