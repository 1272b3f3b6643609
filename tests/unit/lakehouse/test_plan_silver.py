"""Nothing, a refresh or a rebuild: decided by real Iceberg histories of bronze and silver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table

from orchestration.catalog.progress import SilverMark
from orchestration.lakehouse.silver import SilverPlan, plan_silver
from tests.unit.tables import append_offsets, bronze_table, expire, roll_back, silver_table, snapshot_id


@dataclass
class Stage:
    """Bronze with two snapshots of two rows each, silver built from both."""

    bronze: Table
    silver: Table | None
    bronze_ids: list[int]
    silver_ids: list[int]
    mark: SilverMark | None
    fingerprint: str = "f1"
    full: bool = False

    def plan(self) -> SilverPlan:
        return plan_silver(self.bronze, self.silver, self.mark, self.fingerprint, full=self.full)


def rewrite(table: Table) -> int:
    table.append(pa.table({"ride_id": ["a"]}))
    return snapshot_id(table)


@pytest.fixture
def stage(iceberg: Catalog) -> Stage:
    bronze, silver = bronze_table(iceberg), silver_table(iceberg)
    bronze_ids = [append_offsets(bronze, (0, n), (1, n)) for n in range(2)]
    silver_ids = [rewrite(silver) for _ in range(2)]
    mark = SilverMark(bronze_snapshot_id=bronze_ids[1], snapshot_id=silver_ids[1], fingerprint="f1")
    return Stage(bronze, silver, bronze_ids, silver_ids, mark)


def test_without_bronze_there_is_nothing_to_do() -> None:
    assert plan_silver(None, None, None, "f1", full=True) == SilverPlan("up_to_date", "bronze holds no rows")


def test_without_a_bronze_row_there_is_nothing_to_do(iceberg: Catalog) -> None:
    plan = plan_silver(bronze_table(iceberg), None, None, "f1", full=False)
    assert plan == SilverPlan("up_to_date", "bronze holds no rows")


def test_silver_that_stands_at_bronzes_snapshot_is_up_to_date(stage: Stage) -> None:
    last = stage.bronze_ids[1]
    assert stage.plan() == SilverPlan("up_to_date", "bronze has no new rows", last, last)


def test_new_bronze_snapshots_are_refreshed_and_only_they_are_read(stage: Stage) -> None:
    append_offsets(stage.bronze, (0, 7))
    newest = append_offsets(stage.bronze, (0, 8), (0, 9))
    assert stage.plan() == SilverPlan("refresh", "2 new bronze snapshots", stage.bronze_ids[1], newest, 3)


def test_a_bronze_snapshot_without_new_rows_moves_the_mark_only(stage: Stage) -> None:
    stage.bronze.delete(EqualTo("_kafka_offset", 0))
    plan = stage.plan()
    assert (plan.kind, plan.upto) == ("up_to_date", snapshot_id(stage.bronze))


def ask_for_it(stage: Stage) -> None:
    stage.full = True


def lose_silver(stage: Stage) -> None:
    stage.silver = None


def lose_the_mark(stage: Stage) -> None:
    stage.mark = None


def change_the_contract(stage: Stage) -> None:
    stage.fingerprint = "f2"


def roll_silver_back(stage: Stage) -> None:
    assert stage.silver is not None
    roll_back(stage.silver, stage.silver_ids[0])


def roll_bronze_back(stage: Stage) -> None:
    roll_back(stage.bronze, stage.bronze_ids[0])


def roll_bronze_back_and_load_on(stage: Stage) -> None:
    roll_back(stage.bronze, stage.bronze_ids[0])
    append_offsets(stage.bronze, (0, 5))


def expire_bronze_beyond_the_mark(stage: Stage) -> None:
    following = append_offsets(stage.bronze, (0, 5))
    append_offsets(stage.bronze, (0, 6))
    expire(stage.bronze, stage.bronze_ids[0], stage.bronze_ids[1], following)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(ask_for_it, "a full refresh was asked for", id="asked for"),
        pytest.param(lose_silver, "silver was not built yet, or a rebuild was cut off", id="no silver"),
        pytest.param(lose_the_mark, "silver was not built yet, or a rebuild was cut off", id="no mark"),
        pytest.param(change_the_contract, "the contract or its parameters changed", id="contract"),
        pytest.param(roll_silver_back, "silver was rolled back behind its mark", id="silver rolled back"),
        pytest.param(roll_bronze_back, "the bronze snapshot that silver stands at is gone", id="bronze rolled back"),
        pytest.param(
            roll_bronze_back_and_load_on,
            "the bronze snapshot that silver stands at is gone",
            id="bronze went another way",
        ),
        pytest.param(
            expire_bronze_beyond_the_mark, "the bronze snapshot that silver stands at is gone", id="bronze expired"
        ),
    ],
)
def test_what_makes_the_mark_worthless_asks_for_a_rebuild(
    stage: Stage, change: Callable[[Stage], None], reason: str
) -> None:
    change(stage)
    bronze_rows = len(stage.bronze.scan().to_arrow())
    assert stage.plan() == SilverPlan("rebuild", reason, None, snapshot_id(stage.bronze), bronze_rows)
