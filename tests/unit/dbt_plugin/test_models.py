"""The dbt models on hand-made silver rows: formulas, calendar, and what an incremental build replaces.

One story of four builds, since each takes seconds; the tests look at what every build left.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from orchestration.dbt_plugin.runner import DbtRun
from orchestration.errors import CheckFailedError
from tests.unit.dbt_plugin.conftest import FIRST_LOAD, Lakehouse, trip

ROWS = [
    # Monday, New Year: 30 minute boundaries, although 29 minutes and 40 seconds.
    trip("plain", "2024-01-01 10:00:30", "2024-01-01 10:30:10"),
    trip("rounded", "2024-01-01 11:00:00", "2024-01-01 11:07:00", trip_distance_miles=3.333,
         fare_amount=Decimal("11.11"), tip_amount=Decimal("1.23"), total_amount=Decimal("14.34"), payment_type_id=2,
         passenger_count=3),
    trip("no distance", "2024-01-02 09:00:00", "2024-01-02 09:10:00", trip_distance_miles=0.0),
    trip("no fare", "2024-01-02 09:00:00", "2024-01-02 09:30:00", fare_amount=Decimal("0.00")),
    # Saturday, two seconds across midnight.
    trip("midnight", "2024-02-10 23:59:59", "2024-02-11 00:00:01", trip_distance_miles=0.1, dropoff_location_id=999),
    trip("longest", "2024-02-10 01:00:00", "2024-02-10 13:00:00"),
    trip("fastest", "2024-02-10 02:00:00", "2024-02-10 02:30:00", trip_distance_miles=49.99),
    trip("no minute", "2024-02-10 03:00:00", "2024-02-10 03:00:59"),
    trip("too long", "2024-02-10 03:00:00", "2024-02-10 15:01:00"),
    trip("too fast", "2024-02-10 04:00:00", "2024-02-10 04:30:00", trip_distance_miles=50.0),
    trip("backwards", "2024-02-10 05:00:00", "2024-02-10 04:00:00"),
    trip("leaves", "2024-03-05 08:00:00", "2024-03-05 08:30:00"),
    trip("stays", "2024-03-31 08:00:00", "2024-03-31 08:30:00"),
]  # fmt: skip
IMPLAUSIBLE = {"no minute", "too long", "too fast", "backwards"}
BOROUGHS = {
    "Queens": 69,
    "Manhattan": 69,
    "Brooklyn": 61,
    "Bronx": 43,
    "Staten Island": 20,
    "EWR": 1,
    "Unknown": 1,
    "N/A": 1,
}
LATER = FIRST_LOAD + timedelta(hours=1)
# No build writes this; it goes from a row when the row is replaced.
MARK = "update marts.fct_trips set dropoff_zone = 'not replaced'"
STORED = "select trip_id, tip_amount, dropoff_zone = 'not replaced' from marts.fct_trips"


@dataclass
class Story:
    """Runs, and what they left.

    Attributes:
        repeated, changed: after the second and third build, trip_id to (tip, whether it is the first build's row).
    """

    lakehouse: Lakehouse
    first: DbtRun
    metrics: dict[str, dict[str, Any]]
    daily: dict[date, dict[str, Any]]
    dates: list[tuple[Any, ...]]
    repeated: dict[str, tuple[Decimal, bool]]
    changed: dict[str, tuple[Decimal, bool]]
    last: DbtRun
    leftover: list[tuple[Any, ...]]
    months: list[tuple[Any, ...]]
    empty: DbtRun


def as_dicts(lakehouse: Lakehouse, table: str, key: str) -> dict[Any, dict[str, Any]]:
    names = [row[0] for row in lakehouse.query(f"select column_name from (describe {table})")]
    rows = [dict(zip(names, row, strict=True)) for row in lakehouse.query(f"select * from {table}")]
    return {row[key]: row for row in rows}


def stored_rows(lakehouse: Lakehouse) -> dict[str, tuple[Decimal, bool]]:
    return {trip_id: (tip, is_first) for trip_id, tip, is_first in lakehouse.query(STORED)}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    lakehouse = Lakehouse(tmp_path_factory.mktemp("lakehouse"))
    lakehouse.add(ROWS)
    first = lakehouse.dbt("build")
    metrics = as_dicts(lakehouse, "marts.fct_trips", "trip_id")
    daily = as_dicts(lakehouse, "marts.mart_daily_revenue", "date_key")
    dates = lakehouse.query("select * from marts.dim_dates order by date_key")

    with duckdb.connect(str(lakehouse.settings.gold_path)) as conn:
        conn.execute(MARK)
    lakehouse.dbt("run")
    repeated = stored_rows(lakehouse)

    # A late trip for an old day with the very clock of the first load, a replaced trip, a day that goes, a new month.
    lakehouse.add([trip("late", "2024-01-01 12:00:00", "2024-01-01 12:30:00")])
    lakehouse.change(
        f"update silver.cleaned_trips set tip_amount = 7, ingestion_ts = timestamp '{LATER}' where trip_id = 'longest';"
        "delete from silver.cleaned_trips where pickup_date = date '2024-03-05'"
    )
    lakehouse.add([trip("new month", "2024-06-01 08:00:00", "2024-06-01 08:30:00", ingestion_ts=LATER)])
    last = lakehouse.dbt("build", "--exclude-resource-type", "unit_test")
    changed = stored_rows(lakehouse)
    same = "trip_id, pickup_date, tip_amount, total_amount, avg_speed_mph, ingestion_ts"
    stored, expected = f"select {same} from marts.fct_trips", f"select {same} from intermediate.int_trip_metrics"
    leftover = lakehouse.query(f"(({stored}) except all ({expected})) union all (({expected}) except all ({stored}))")
    months = lakehouse.query(
        "select distinct date_trunc('month', date_key)::date from marts.mart_daily_revenue order by 1"
    )

    lakehouse.change("delete from silver.cleaned_trips")
    empty = lakehouse.dbt("build")
    return Story(lakehouse, first, metrics, daily, dates, repeated, changed, last, leftover, months, empty)


def test_every_model_seed_and_test_passes(story: Story) -> None:
    for run in (story.first, story.last):
        assert [node.unique_id for node in run.failed] == []
        assert run.is_success
    kinds = Counter(node.resource_type for node in story.first.nodes)
    assert (kinds["seed"], kinds["model"], kinds["unit_test"]) == (4, 20, 12)
    assert kinds["test"] > 100


def test_trips_that_are_not_plausible_stay_out(story: Story) -> None:
    assert set(story.metrics) == {row["trip_id"] for row in ROWS} - IMPLAUSIBLE


@pytest.mark.parametrize(
    ("trip_id", "expected"),
    [
        pytest.param("plain", {"trip_duration_minutes": 30, "avg_speed_mph": 20.0, "cost_per_mile": 2.0,
                               "tip_percentage": 25.0, "pickup_hour": 10, "pickup_day_of_week": "Monday",
                               "is_weekend": False, "pickup_date": date(2024, 1, 1)}, id="boundaries-are-counted"),
        pytest.param("rounded", {"avg_speed_mph": 28.57, "cost_per_mile": 3.33, "tip_percentage": 11.07},
                     id="two-decimals"),
        pytest.param("no distance", {"avg_speed_mph": 0.0, "cost_per_mile": None}, id="no-distance-no-cost-per-mile"),
        pytest.param("no fare", {"tip_percentage": None, "cost_per_mile": 0.0}, id="no-fare-no-tip-percentage"),
        pytest.param("midnight", {"trip_duration_minutes": 1, "pickup_hour": 23, "is_weekend": True,
                                  "pickup_day_of_week": "Saturday", "pickup_date": date(2024, 2, 10)}, id="midnight"),
        pytest.param("longest", {"trip_duration_minutes": 720}, id="720-minutes-is-plausible"),
        pytest.param("fastest", {"avg_speed_mph": 99.98}, id="just-below-100-is-plausible"),
        pytest.param("plain", {"pickup_borough": "Queens", "pickup_zone": "JFK Airport", "dropoff_borough": "N/A",
                               "dropoff_zone": "Outside of NYC"}, id="zones-are-named"),
        pytest.param("midnight", {"dropoff_borough": None, "dropoff_zone": None}, id="unknown-zone-keeps-the-trip"),
    ],
)  # fmt: skip
def test_metrics_of_a_trip(story: Story, trip_id: str, expected: dict[str, Any]) -> None:
    assert {name: story.metrics[trip_id][name] for name in expected} == expected


def test_daily_summary_is_exact(story: Story) -> None:
    day = story.daily[date(2024, 1, 1)]
    assert day == {
        "date_key": date(2024, 1, 1),
        "day_of_week_name": "Monday",
        "is_weekend": False,
        "is_holiday": True,
        "week_of_year": 1,
        "total_trips": 2,
        "total_passengers": 4,
        "total_fare_revenue": Decimal("31.11"),
        "total_tip_revenue": Decimal("6.23"),
        "total_revenue": Decimal("44.34"),
        "avg_trip_revenue": 22.17,
        "avg_tip_percentage": pytest.approx(18.04, abs=0.006),
        "credit_card_trips": 1,
        "cash_trips": 1,
        "avg_trip_distance": 6.67,
        "avg_trip_duration_min": 18.5,
        "cumulative_revenue": Decimal("44.34"),
        "revenue_change_vs_prior_day": None,
    }


def test_revenue_runs_over_months_without_losing_one(story: Story) -> None:
    days = sorted(story.daily)
    assert days == [date(2024, 1, 1), date(2024, 1, 2), date(2024, 2, 10), date(2024, 3, 5), date(2024, 3, 31)]
    total = Decimal(0)
    for before, day in zip([None, *days], days, strict=False):
        row = story.daily[day]
        total += row["total_revenue"]
        assert row["cumulative_revenue"] == total
        change = row["total_revenue"] - story.daily[before]["total_revenue"] if before else None
        assert row["revenue_change_vs_prior_day"] == change
    assert story.months == [(date(2024, month, 1),) for month in (1, 2, 3, 6)]


def test_calendar_spans_the_data_without_gaps(story: Story) -> None:
    first, last = date(2024, 1, 1), date(2024, 3, 31)
    assert [row[0] for row in story.dates] == [first + timedelta(days=n) for n in range((last - first).days + 1)]


def test_holidays_follow_the_rule(story: Story) -> None:
    assert [row[0] for row in story.dates if row[-1]] == [date(2024, 1, 1), date(2024, 1, 15), date(2024, 2, 19)]


def test_second_build_without_changes_replaces_no_row(story: Story) -> None:
    assert set(story.repeated) == set(story.metrics)
    assert all(is_first for _, is_first in story.repeated.values())


def test_incremental_build_equals_the_source_row_for_row(story: Story) -> None:
    assert story.leftover == []


@pytest.mark.parametrize(
    ("trip_id", "is_there"),
    [
        pytest.param("late", True, id="late-trip-of-an-old-day-is-in"),
        pytest.param("new month", True, id="new-month-is-in"),
        pytest.param("leaves", False, id="vanished-day-is-gone"),
    ],
)
def test_incremental_build_follows_the_days_that_changed(story: Story, trip_id: str, is_there: bool) -> None:
    assert (trip_id in story.changed) is is_there


def test_replaced_trip_has_its_new_values(story: Story) -> None:
    assert story.changed["longest"] == (Decimal("7.00"), False)


def test_days_that_did_not_change_are_not_rewritten(story: Story) -> None:
    not_replaced = {trip_id for trip_id, (_, is_first) in story.changed.items() if is_first}
    assert not_replaced == {"no distance", "no fare", "stays"}


def test_empty_silver_fails_instead_of_passing_vacuously(story: Story) -> None:
    assert not story.empty.is_success
    assert [node.unique_id.split(".")[2] for node in story.empty.failed] == ["source_not_empty_silver_cleaned_trips_"]
    skipped = {node.unique_id for node in story.empty.nodes if node.status == "skipped"}
    assert {"model.millrace.fct_trips", "model.millrace.dim_dates", "model.millrace.mart_daily_revenue"} <= skipped
    with pytest.raises(CheckFailedError, match="not_empty_silver_cleaned_trips"):
        story.empty.require_success()


def test_schemas_are_the_layers(story: Story) -> None:
    found = story.lakehouse.query(
        "select distinct table_schema from information_schema.tables where table_catalog = 'gold' order by 1"
    )
    assert found == [("intermediate",), ("marts",), ("raw",), ("staging",)]


def test_gold_is_released_after_a_run(story: Story) -> None:
    opens_it = "import sys, duckdb; duckdb.connect(sys.argv[1]).close()"
    subprocess.run([sys.executable, "-c", opens_it, str(story.lakehouse.settings.gold_path)], check=True)


def test_zone_seed_is_the_published_one(story: Story) -> None:
    by_borough = dict(story.lakehouse.query("select Borough, count(*) from raw.taxi_zone_lookup group by 1"))
    assert by_borough == BOROUGHS
    by_service = dict(story.lakehouse.query("select service_zone, count(*) from raw.taxi_zone_lookup group by 1"))
    assert by_service == {"Boro Zone": 205, "Yellow Zone": 55, "Airports": 2, "N/A": 2, "EWR": 1}
