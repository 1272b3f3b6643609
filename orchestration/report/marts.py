"""Reading the marts: the rows behind each plot, and the first rows of any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestration.dbt_plugin.gold import mart_relation, mart_table
from orchestration.dbt_plugin.query import QueryResult, run_query
from orchestration.errors import CatalogError
from orchestration.redaction import redact
from orchestration.report.plots import Plot, busiest_zones, demand_by_hour, payment_mix, revenue_by_day
from orchestration.settings import Settings

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class _Source:
    """Where a plot comes from: the query names models in braces."""

    models: tuple[str, ...]
    query: str
    plot: Callable[[Sequence[tuple[object, ...]]], Plot]


_SOURCES = {
    "mart_daily_revenue": _Source(
        ("mart_daily_revenue",),
        "select date_key, is_weekend, is_holiday, total_trips, total_revenue from {mart_daily_revenue}"
        " order by date_key",
        revenue_by_day,
    ),
    "mart_hourly_demand": _Source(
        ("mart_hourly_demand",),
        "select pickup_hour, is_weekend, days_observed, total_trips_all_days / days_observed from {mart_hourly_demand}"
        " order by is_weekend, pickup_hour",
        demand_by_hour,
    ),
    "mart_location_performance": _Source(
        ("mart_location_performance",),
        "select pickup_zone, pickup_borough, total_pickups, total_revenue from {mart_location_performance}"
        " order by total_pickups desc, pickup_location_id",
        busiest_zones,
    ),
    "fct_trips": _Source(
        ("fct_trips", "dim_payment_types"),
        "select coalesce(types.payment_type_name, 'code ' || trips.payment_type_id, 'not given') as payment_type,"
        " count(*) as trips, sum(trips.total_amount) as revenue"
        " from {fct_trips} as trips left join {dim_payment_types} as types using (payment_type_id)"
        " group by all order by trips desc, payment_type",
        payment_mix,
    ),
}

PLOTTED = tuple(_SOURCES)
"""Models that have a plot, in the order of the page."""


def read_plot(connection: duckdb.DuckDBPyConnection, settings: Settings, model: str) -> Plot:
    """Return the plot of a model of `PLOTTED`; it is empty if the model holds no rows or was not built yet.

    Args:
        connection: as `connect_gold` gives it.

    Raises:
        MillraceError: the query fails for another reason; DuckDB's, in one line.
    """
    source = _SOURCES[model]
    if not all(is_built(connection, settings, name) for name in source.models):
        return source.plot([])
    relations = {name: mart_relation(settings, name) for name in source.models}
    return source.plot(run_query(connection, source.query.format(**relations)).rows)


def read_first_rows(
    connection: duckdb.DuckDBPyConnection, settings: Settings, model: str, rows: int, *, is_sorted: bool
) -> QueryResult:
    """Return some rows of a mart.

    Args:
        is_sorted: whether they shall be the first by the first column, which costs a look at all rows.
    """
    order = " order by 1" if is_sorted else ""
    return run_query(connection, f"select * from {mart_relation(settings, model)}{order} limit {rows:d}")


def is_built(connection: duckdb.DuckDBPyConnection, settings: Settings, model: str) -> bool:
    """Whether a mart is there.

    Raises:
        CatalogError: that cannot be told.
    """
    import duckdb

    try:
        connection.execute(f"select 1 from {mart_relation(settings, model)} limit 0")
    except duckdb.CatalogException:
        return False
    except duckdb.Error as error:
        reason = redact(str(error).splitlines()[0])
        raise CatalogError(f"{mart_table(settings, model)} cannot be read: {reason}") from None
    return True
