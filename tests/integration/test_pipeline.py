"""The layers hold exactly what the files were told to contain: once, again, grown, late, rebuilt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from orchestration.contracts.models import QualityRule
from orchestration.generator.sample import sample_expectation
from orchestration.lakehouse.bronze import BronzeResult
from orchestration.lakehouse.counts import Counts
from orchestration.lakehouse.silver import SilverResult
from orchestration.settings import Settings
from tests.integration.lake import Lake, add, expect, make_lake, rewrite

pytestmark = pytest.mark.stack

JANUARY_ROWS, FEBRUARY_ROWS, DIRTY = 12_000, 6_000, 0.1
LATE_ROWS = tuple(range(1, 12_000, 500))
"""Rows of the January file that arrive once more; none of them has a defect (those sit on multiples of ten)."""


@dataclass(frozen=True)
class Moment:
    """What one run of bronze and silver did, and what the layers hold after it."""

    bronze: BronzeResult
    silver: SilverResult
    counts: Counts
    snapshots: dict[str, int]
    rejected_by: dict[str, int]
    content: tuple[int, int]
    days: tuple[date, date, int]


@dataclass
class Story:
    """One lake over time."""

    lake: Lake
    moments: dict[str, Moment] = field(default_factory=dict)

    def run(self, name: str, *, full_refresh: bool = False, lake: Lake | None = None) -> None:
        """Bring the layers up to date and keep what came of it."""
        lake = lake or self.lake
        bronze = lake.bronze()
        silver = lake.silver(full_refresh=full_refresh)
        self.moments[name] = Moment(
            bronze, silver, lake.counts(), lake.snapshots(), lake.rejected_by(), lake.content(), lake.days()
        )


@pytest.fixture(scope="module")
def told(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The whole story; the tests below look at its moments."""
    lake = make_lake(settings, tmp_path_factory.mktemp("pipeline"))
    story = Story(lake)
    january = lake.sample("2024-01", JANUARY_ROWS, DIRTY)
    lake.land(january)
    story.run("first")
    lake.land(january)
    story.run("again")
    lake.land(lake.sample("2024-02", FEBRUARY_ROWS, DIRTY))
    story.run("second month")
    lake.land(rewrite(january, lake.folder / "late_2024-01.parquet", LATE_ROWS, {"tip_amount": 99.25}))
    story.run("late")
    story.run("rebuilt", full_refresh=True)
    story.run("narrowed", lake=lake.with_contract(parameters={**lake.contract.parameters, "window_end": FEBRUARY}))
    story.run("widened")
    yield story
    lake.drop()


FEBRUARY = date(2024, 2, 1)
JANUARY_COUNTS = expect(JANUARY_ROWS, DIRTY)
BOTH = add(sample_expectation(JANUARY_ROWS, DIRTY), sample_expectation(FEBRUARY_ROWS, DIRTY))
REJECTED_BY = dict(sample_expectation(JANUARY_ROWS, DIRTY).rejected_by)
BOTH_REJECTED_BY = dict(Counter(REJECTED_BY) + Counter(sample_expectation(FEBRUARY_ROWS, DIRTY).rejected_by))


def test_counts_are_what_the_sample_was_told_to_contain(told: Story) -> None:
    first = told.moments["first"]
    assert first.counts.as_dict() == JANUARY_COUNTS
    assert first.rejected_by == REJECTED_BY
    assert first.silver.rejected_by == REJECTED_BY
    assert (first.bronze.rows, first.silver.rows) == (JANUARY_COUNTS["bronze"], JANUARY_COUNTS["silver"])


def test_the_first_run_commits_each_table_once(told: Story) -> None:
    assert told.moments["first"].snapshots == {"bronze": 1, "silver": 1, "rejected": 1}


def test_the_same_data_again_adds_no_row_and_no_snapshot(told: Story) -> None:
    first, again = told.moments["first"], told.moments["again"]
    assert again.counts == first.counts
    assert again.snapshots == first.snapshots
    assert (again.bronze.rows, again.silver.kind) == (0, "up_to_date")
    assert (again.bronze.jobs, again.silver.jobs) == ((), ())


def test_a_second_month_grows_each_layer_by_exactly_its_rows(told: Story) -> None:
    second = told.moments["second month"]
    assert second.counts.as_dict() == BOTH
    assert second.bronze.rows == expect(FEBRUARY_ROWS, DIRTY)["bronze"]
    assert second.silver.rows == expect(FEBRUARY_ROWS, DIRTY)["silver"]
    assert second.rejected_by == BOTH_REJECTED_BY


def test_a_second_month_reads_only_the_new_bronze_rows_and_touches_only_their_days(told: Story) -> None:
    silver = told.moments["second month"].silver
    assert silver.kind == "refresh"
    assert 0 < silver.bronze_rows_read <= 1.02 * expect(FEBRUARY_ROWS, DIRTY)["bronze"]
    assert (min(silver.touched), max(silver.touched), len(silver.touched)) == (FEBRUARY, date(2024, 2, 29), 29)


def test_of_a_key_that_arrives_again_the_latest_arrival_stays(told: Story) -> None:
    before, late = told.moments["second month"], told.moments["late"]
    assert late.counts.as_dict() == {
        **BOTH,
        "produced": BOTH["produced"] + len(LATE_ROWS),
        "bronze": BOTH["bronze"] + len(LATE_ROWS),
        "duplicates": BOTH["duplicates"] + len(LATE_ROWS),
    }
    assert late.silver.rows == 0
    assert late.content[0] == before.content[0]
    assert late.content != before.content
    assert told.lake.query("SELECT count(*) FROM {silver} WHERE tip_amount = 99.25") == [(len(LATE_ROWS),)]


def test_no_surrogate_key_is_there_twice(told: Story) -> None:
    assert told.lake.query("SELECT trip_id FROM {silver} GROUP BY trip_id HAVING count(*) > 1") == []


def test_a_rebuild_gives_the_content_that_the_increments_gave(told: Story) -> None:
    late, rebuilt = told.moments["late"], told.moments["rebuilt"]
    assert (rebuilt.silver.kind, rebuilt.silver.reason) == ("rebuild", "a full refresh was asked for")
    assert rebuilt.content == late.content
    assert rebuilt.counts == late.counts
    assert rebuilt.rejected_by == late.rejected_by


def test_a_changed_window_rebuilds_and_the_days_outside_it_vanish(told: Story) -> None:
    narrowed = told.moments["narrowed"]
    assert (narrowed.silver.kind, narrowed.silver.reason) == ("rebuild", "the contract or its parameters changed")
    assert narrowed.counts.silver == JANUARY_COUNTS["silver"]
    assert narrowed.counts.duplicates == JANUARY_COUNTS["duplicates"] + len(LATE_ROWS)
    assert narrowed.days == (date(2024, 1, 1), date(2024, 1, 31), 31)
    # Of the bad February rows those of rules before and of this rule stay where they were; out of range comes last.
    february = expect(FEBRUARY_ROWS, DIRTY)
    out_of_range = sample_expectation(FEBRUARY_ROWS, DIRTY).rejected_by["value_out_of_range"]
    moved = february["silver"] + february["duplicates"] + out_of_range
    assert narrowed.rejected_by == {
        **BOTH_REJECTED_BY,
        "pickup_after_window": BOTH_REJECTED_BY["pickup_after_window"] + moved,
        "value_out_of_range": REJECTED_BY["value_out_of_range"],
    }


def test_the_window_of_before_gives_the_content_of_before(told: Story) -> None:
    rebuilt, widened = told.moments["rebuilt"], told.moments["widened"]
    assert widened.silver.kind == "rebuild"
    assert widened.content == rebuilt.content
    assert widened.rejected_by == rebuilt.rejected_by


def test_a_rule_that_refuses_all_and_one_that_refuses_none_leave_no_stale_row(
    settings: Settings, tmp_path: Path
) -> None:
    lake = make_lake(settings, tmp_path)
    lake.land(lake.sample("2024-01", 300))
    lake.load()
    crowded = QualityRule(name="crowded", predicate="passenger_count > 100")
    refused = lake.with_contract(quality_rules=(crowded,)).silver()
    assert (refused.total_rows, refused.rejected_by) == (0, {"crowded": 300})
    assert lake.query("SELECT count(*) FROM {silver}") == [(0,)]
    restored = lake.silver()
    assert (restored.total_rows, restored.total_rejected, restored.rejected_by) == (300, 0, {})
    assert lake.rejected_by() == {}
    lake.drop()
