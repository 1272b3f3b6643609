"""The plots as data: what each shows, in words, as a table, and as a chart. Pure functions over rows of the marts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from orchestration.report.charts import Palette, Spec, bars_by_day, lines_by_hour, ranking

Row = tuple[Any, ...]

MOST_DAYS = 92
"""Days that a plot shows: a quarter. More bars than that are a grey area, and the page would grow with the years."""
MOST_ZONES = 15

WEEKDAY, WEEKEND, HOLIDAY = KINDS = ("Weekday", "Weekend", "Holiday")


@dataclass(frozen=True)
class Column:
    """A column of the table behind a plot; `unit` is one of "", "$", "%" and "average"."""

    title: str
    unit: str = ""


@dataclass(frozen=True)
class Plot:
    """What a mart says at one glance.

    Attributes:
        name: for machines.
        model: whose rows it shows; empty: not of the dbt project.
        summary: what the picture shows, in words, also for people who do not see it.
        columns, rows: the table behind the picture; no rows: there is nothing to draw.
        draw: makes the chart for a width in pixels.
    """

    name: str
    title: str
    model: str
    summary: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    draw: Callable[[int, Palette], Spec]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.rows


def revenue_by_day(rows: Sequence[Row]) -> Plot:
    """Return the plot of `mart_daily_revenue`.

    Args:
        rows: (day, is_weekend, is_holiday or None, trips, revenue in dollars), by day; of many the last are shown.
    """
    shown = [
        (day, _kind_of_day(is_weekend, is_holiday), int(trips), float(revenue))
        for day, is_weekend, is_holiday, trips, revenue in rows
        if day > rows[-1][0] - timedelta(days=MOST_DAYS)
    ]
    summary = ""
    if shown:
        best = max(shown, key=lambda row: row[3])
        cut = f", the last {len(shown)} of {len(rows):,} days" if len(rows) > len(shown) else ""
        summary = (
            f"{money(sum(row[3] for row in shown))} from {_day(shown[0][0])} to {_day(shown[-1][0])}{cut}. "
            f"Best day: {_day(best[0])} ({best[1].lower()}) with {money(best[3])} from {best[2]:,} trips."
        )
    values = [
        {"day": day.isoformat(), "kind": kind, "dollars": revenue, "tip": f"{_day(day)}, {kind}: {money(revenue)}"}
        for day, kind, _, revenue in shown
    ]
    kinds = [kind for kind in KINDS if any(row[1] == kind for row in shown)]
    columns = (Column("Day"), Column("Kind of day"), Column("Trips"), Column("Revenue", "$"))
    return Plot(
        "revenue",
        "Revenue by day",
        "mart_daily_revenue",
        summary,
        columns,
        tuple(shown),
        lambda width, palette: bars_by_day(values, kinds, width, palette),
    )


def demand_by_hour(rows: Sequence[Row]) -> Plot:
    """Return the plot of `mart_hourly_demand`.

    Args:
        rows: (hour 0 to 23, is_weekend, days observed, average trips in the hour), by kind of day and hour.
    """
    shown = [
        (int(hour), WEEKEND if is_weekend else WEEKDAY, int(days), float(trips))
        for hour, is_weekend, days, trips in rows
    ]
    kinds = [kind for kind in (WEEKDAY, WEEKEND) if any(row[1] == kind for row in shown)]
    best = {kind: max((row for row in shown if row[1] == kind), key=lambda row: row[3]) for kind in kinds}
    peaks = [f"{kind}s peak at {top[0]}:00 with {_average(top[3])} trips an hour." for kind, top in best.items()]
    values = [
        {"hour": hour, "kind": kind, "trips": trips, "tip": f"{kind}, {hour}:00: {_average(trips)} trips"}
        for hour, kind, _, trips in shown
    ]
    return Plot(
        "demand",
        "Demand by hour of the day",
        "mart_hourly_demand",
        " ".join(["Average trips in each hour of the day.", *peaks]) if peaks else "",
        (Column("Hour"), Column("Kind of day"), Column("Days observed"), Column("Average trips", "average")),
        tuple(shown),
        lambda width, palette: lines_by_hour(values, kinds, width, palette),
    )


def busiest_zones(rows: Sequence[Row]) -> Plot:
    """Return the plot of `mart_location_performance`.

    Args:
        rows: (zone, borough or None, pickups, revenue in dollars), the busiest first; only the first are shown.
    """
    shown = [
        (str(zone), str(borough or "unknown"), int(pickups), float(revenue))
        for zone, borough, pickups, revenue in rows[:MOST_ZONES]
    ]
    summary = ""
    if shown:
        zone, borough, pickups, _ = shown[0]
        which = f"the first {len(shown)} of {len(rows):,}" if len(rows) > len(shown) else f"all {len(shown)}"
        summary = f"Pickups by zone, {which}. {zone} ({borough}) leads with {pickups:,} pickups."
    values = [
        {
            "place": place,
            "name": zone,
            "count": pickups,
            "label": f"{pickups:,}",
            "tip": f"{zone}, {borough}: {pickups:,} pickups, {money(revenue)}",
        }
        for place, (zone, borough, pickups, revenue) in enumerate(shown)
    ]
    return Plot(
        "zones",
        "Busiest pickup zones",
        "mart_location_performance",
        summary,
        (Column("Zone"), Column("Borough"), Column("Pickups"), Column("Revenue", "$")),
        tuple(shown),
        lambda width, palette: ranking(values, width, palette, palette.first),
    )


def payment_mix(rows: Sequence[Row]) -> Plot:
    """Return the plot of the payment types in `fct_trips`.

    Args:
        rows: (payment type, trips, revenue in dollars), the most frequent first.
    """
    total = sum(int(row[1]) for row in rows)
    shown = [(str(kind), int(trips), 100 * int(trips) / total, float(revenue)) for kind, trips, revenue in rows]
    values = [
        {
            "place": place,
            "name": kind,
            "count": trips,
            "label": f"{share:.1f} %",
            "tip": f"{kind}: {trips:,} trips, {share:.1f} %, {money(revenue)}",
        }
        for place, (kind, trips, share, revenue) in enumerate(shown)
    ]
    return Plot(
        "payments",
        "How trips are paid",
        "fct_trips",
        f"{shown[0][0]} pays {shown[0][2]:.1f} % of {total:,} trips." if shown else "",
        (Column("Payment type"), Column("Trips"), Column("Share", "%"), Column("Revenue", "$")),
        tuple(shown),
        lambda width, palette: ranking(values, width, palette, palette.first),
    )


def rejected_by_rule(rows: Sequence[Row]) -> Plot:
    """Return the plot of the rows that quality rules refused: (rule, rows, what the rule means), the most first."""
    shown = [(str(rule), int(count), str(meaning)) for rule, count, meaning in rows]
    values = [
        {"place": place, "name": rule, "count": count, "label": f"{count:,}", "tip": f"{rule}: {count:,} rows"}
        for place, (rule, count, _) in enumerate(shown)
    ]
    total = sum(row[1] for row in shown)
    return Plot(
        "rejected",
        "Refused rows by rule",
        "",
        f"{total:,} rows refused by {len(shown)} rules, most by {shown[0][0]}." if shown else "",
        (Column("Rule"), Column("Rows"), Column("Meaning")),
        tuple(shown),
        lambda width, palette: ranking(values, width, palette, palette.third),
    )


def money(dollars: float) -> str:
    """Return an amount as people read it, to the dollar."""
    return f"${dollars:,.0f}" if dollars >= 0 else f"-${-dollars:,.0f}"


def _average(value: float) -> str:
    """Return an average with as many digits as say something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _kind_of_day(is_weekend: bool, is_holiday: bool | None) -> str:
    return HOLIDAY if is_holiday else (WEEKEND if is_weekend else WEEKDAY)


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"
