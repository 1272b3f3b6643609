"""A report of made-up numbers, with hostile names in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from orchestration.lakehouse.counts import Counts
from orchestration.lakehouse.freshness import LayerState
from orchestration.report.accounting import Part, balance
from orchestration.report.content import Report, RunLine
from orchestration.report.plots import busiest_zones, demand_by_hour, payment_mix, revenue_by_day
from orchestration.report.tables import TableFacts

HOSTILE = "<img src=x onerror=alert(1)> & \"Co\" 'x'"
AT = datetime(2024, 2, 1, 8, 30, tzinfo=UTC)
COUNTS = Counts(produced=1000, dead_lettered=10, bronze=990, silver=940, duplicates=20, rejected=30)


@pytest.fixture
def report() -> Report:
    """A week of trips."""
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(7)]
    return Report(
        dataset="taxi",
        instance="default",
        written_at=AT,
        plots=(
            revenue_by_day([(day, day.weekday() > 4, day.day == 1, 100, 1000 + day.day) for day in days]),
            demand_by_hour([(hour, late, 5, 10 + hour) for late in (False, True) for hour in range(24)]),
            busiest_zones([(HOSTILE, "Queens", 500, 9000), ("Corona", "Queens", 200, 100), ("Corona", None, 100, 50)]),
            payment_mix([("Credit card", 600, 6000), ("Cash", 100, 1028)]),
        ),
        accounting=balance(COUNTS, [Part("fare_negative", 30)], waiting_for_bronze=0, waiting_for_silver=0),
        descriptions={"fare_negative": "A fare is <not> negative"},
        layers=(LayerState("bronze", AT, 0, "records"), LayerState("silver", None, None, "rows")),
        tables=(
            TableFacts("silver.cleaned_trips", 940, 123_456_789, 31, 2, 7781204431926514123, AT),
            TableFacts("marts.fct_trips", 940, None, None, None, None, AT),
        ),
        mart_names={
            name: f"lakehouse.gold.{name}"
            for name in ("mart_daily_revenue", "mart_hourly_demand", "mart_location_performance", "fct_trips")
        },
        runs=(RunLine("0b2e5f0e", "lakehouse_batch", "success", AT, 72.25), RunLine("1c", "x", "started", None, None)),
    )


@pytest.fixture
def empty_report(report: Report) -> Report:
    """A lakehouse that holds nothing yet."""
    return replace(
        report,
        plots=(revenue_by_day([]), demand_by_hour([]), busiest_zones([]), payment_mix([])),
        accounting=balance(Counts(0, 0, 0, 0, 0, 0), [], waiting_for_bronze=0, waiting_for_silver=0),
        layers=(),
        tables=(),
        runs=(),
    )
