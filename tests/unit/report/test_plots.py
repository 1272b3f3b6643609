"""What each plot shows of its rows."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orchestration.report.charts import IN_PAGE, NARROW
from orchestration.report.plots import (
    MOST_DAYS,
    MOST_ZONES,
    Plot,
    busiest_zones,
    demand_by_hour,
    money,
    payment_mix,
    rejected_by_rule,
    revenue_by_day,
)

FIRST = date(2024, 1, 1)


def day(number: int, *, weekend: bool = False, holiday: bool | None = False, revenue: object = 10) -> tuple[Any, ...]:
    """Return a row of the daily mart."""
    return FIRST + timedelta(days=number), weekend, holiday, 3, revenue


def values(plot: Plot) -> list[dict[str, Any]]:
    """Return what is drawn."""
    return plot.draw(800, IN_PAGE)["data"]["values"]


def test_days_are_told_apart_by_kind_and_a_holiday_counts_more_than_a_weekend() -> None:
    plot = revenue_by_day([day(0, holiday=True, weekend=True), day(1), day(2, weekend=True, holiday=None)])
    assert [row[1] for row in plot.rows] == ["Holiday", "Weekday", "Weekend"]
    assert plot.draw(800, IN_PAGE)["encoding"]["color"]["scale"]["domain"] == ["Weekday", "Weekend", "Holiday"]


def test_a_day_without_trips_is_a_gap_in_the_calendar() -> None:
    spec = revenue_by_day([day(0), day(3)]).draw(800, IN_PAGE)
    assert spec["encoding"]["x"]["scale"]["domain"] == ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
    assert len(spec["data"]["values"]) == 2


def test_the_summary_names_sum_and_best_day() -> None:
    plot = revenue_by_day([day(0, revenue=Decimal("1000.40")), day(1, revenue=Decimal("2000.40"))])
    assert plot.summary == (
        "$3,001 from 1 Jan 2024 to 2 Jan 2024. Best day: 2 Jan 2024 (weekday) with $2,000 from 3 trips."
    )


def test_of_years_the_last_quarter_is_drawn_and_the_summary_says_so() -> None:
    plot = revenue_by_day([day(number) for number in range(1000)])
    assert len(plot.rows) == len(values(plot)) == MOST_DAYS
    assert plot.rows[-1][0] == FIRST + timedelta(days=999)
    assert "the last 92 of 1,000 days" in plot.summary


def test_a_lone_day_long_ago_does_not_stretch_the_axis_over_years() -> None:
    plot = revenue_by_day([day(-8000), day(0), day(1)])
    assert [row[0] for row in plot.rows] == [FIRST, FIRST + timedelta(days=1)]


def test_a_phone_gets_fewer_labels() -> None:
    plot = revenue_by_day([day(number) for number in range(62)])
    wide, narrow = (plot.draw(width, IN_PAGE)["encoding"]["x"]["axis"]["values"] for width in (NARROW + 1, NARROW))
    assert 0 < len(narrow) < len(wide)


def test_demand_names_the_peak_of_each_kind_of_day() -> None:
    plot = demand_by_hour([(8, False, 5, 120.4), (9, False, 5, 12), (2, True, 2, 13.46)])
    assert plot.summary == (
        "Average trips in each hour of the day. Weekdays peak at 8:00 with 120 trips an hour. "
        "Weekends peak at 2:00 with 13.5 trips an hour."
    )


def test_two_zones_of_one_name_are_two_bars() -> None:
    plot = busiest_zones([("Corona", "Queens", 5, 1), ("Corona", None, 4, 1)])
    assert [(value["place"], value["name"], value["count"]) for value in values(plot)] == [
        (0, "Corona", 5),
        (1, "Corona", 4),
    ]
    assert plot.rows[1][1] == "unknown"


def test_only_the_busiest_zones_are_drawn() -> None:
    plot = busiest_zones([(f"zone {place}", "Queens", 100 - place, 1) for place in range(40)])
    assert len(plot.rows) == MOST_ZONES
    assert plot.summary == "Pickups by zone, the first 15 of 40. zone 0 (Queens) leads with 100 pickups."


def test_shares_of_payment_types_are_of_all_trips() -> None:
    plot = payment_mix([("Credit card", 3, Decimal(30)), ("Cash", 1, Decimal(5))])
    assert [row[2] for row in plot.rows] == [75.0, 25.0]
    assert [value["label"] for value in values(plot)] == ["75.0 %", "25.0 %"]


@pytest.mark.parametrize("make", [revenue_by_day, demand_by_hour, busiest_zones, payment_mix, rejected_by_rule])
def test_a_plot_of_nothing_is_empty_and_says_nothing(make: Any) -> None:
    plot = make([])
    assert plot.is_empty
    assert plot.summary == ""
    plot.draw(800, IN_PAGE)


@pytest.mark.parametrize(
    ("dollars", "text"), [(0, "$0"), (1234.5, "$1,234"), (-12.6, "-$13")], ids=["zero", "thousands", "negative"]
)
def test_money_is_written_to_the_dollar(dollars: float, text: str) -> None:
    assert money(dollars) == text
