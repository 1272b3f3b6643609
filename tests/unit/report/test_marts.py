"""Rows of the marts as plots: what DuckDB holds is what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from orchestration.errors import CatalogError, MillraceError
from orchestration.report.marts import PLOTTED, is_built, read_first_rows, read_plot
from orchestration.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Marts in a local file."""
    return Settings(state_dir=tmp_path, gold_target="duckdb")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with small marts, their rows in no order."""
    with duckdb.connect() as opened:
        opened.execute(
            """
            create schema marts;
            create table marts.mart_daily_revenue as
                select date '2024-01-01' + i::int as date_key, i = 1 as is_weekend, null::boolean as is_holiday,
                    10 as total_trips, (100 + i)::decimal(38, 2) as total_revenue
                from (values (2), (0), (1)) as days (i);
            create table marts.mart_hourly_demand as
                select i as pickup_hour, true as is_weekend, 4 as days_observed, 6::hugeint as total_trips_all_days
                from (values (5), (3)) as hours (i);
            create table marts.mart_location_performance as
                select * from (values
                    (2, 'Corona', 'Queens', 7, 1.5), (1, 'Corona', null, 7, 2.5), (3, 'JFK', 'Q', 9, 1))
                    as zones (pickup_location_id, pickup_zone, pickup_borough, total_pickups, total_revenue);
            create table marts.dim_payment_types as
                select * from (values (1, 'Credit card'), (2, 'Cash')) as types (payment_type_id, payment_type_name);
            create table marts.fct_trips as
                select * from (values (1, 5.0), (1, 6.0), (2, 1.0), (77, 1.0), (77, 1.0), (77, 1.0), (null, 2.0))
                    as trips (payment_type_id, total_amount);
            """
        )
        yield opened


def test_days_come_in_order(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    plot = read_plot(connection, settings, "mart_daily_revenue")
    assert [(row[0].day, row[1], row[3]) for row in plot.rows] == [
        (1, "Weekday", 100.0),
        (2, "Weekend", 101.0),
        (3, "Weekday", 102.0),
    ]


def test_an_hour_is_an_average_over_the_days_that_have_it(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    rows = read_plot(connection, settings, "mart_hourly_demand").rows
    assert rows == ((3, "Weekend", 4, 1.5), (5, "Weekend", 4, 1.5))


def test_zones_with_the_same_count_are_ordered_by_id(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    rows = read_plot(connection, settings, "mart_location_performance").rows
    assert [(row[0], row[1]) for row in rows] == [("JFK", "Q"), ("Corona", "unknown"), ("Corona", "Queens")]


def test_payments_without_a_known_type_are_shown_too(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    rows = read_plot(connection, settings, "fct_trips").rows
    assert [(row[0], row[1]) for row in rows] == [("code 77", 3), ("Credit card", 2), ("Cash", 1), ("not given", 1)]


@pytest.mark.parametrize("model", PLOTTED)
def test_a_mart_that_was_not_built_yet_gives_an_empty_plot(settings: Settings, model: str) -> None:
    with duckdb.connect() as empty:
        assert not is_built(empty, settings, model)
        assert read_plot(empty, settings, model).is_empty


@pytest.mark.parametrize("model", PLOTTED)
def test_a_mart_without_rows_gives_an_empty_plot(
    connection: duckdb.DuckDBPyConnection, settings: Settings, model: str
) -> None:
    connection.execute(f"delete from marts.{model}")
    assert read_plot(connection, settings, model).is_empty


def test_a_mart_with_other_columns_is_an_error_and_not_an_empty_plot(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    connection.execute("alter table marts.mart_daily_revenue drop column total_revenue")
    with pytest.raises(MillraceError, match="total_revenue"):
        read_plot(connection, settings, "mart_daily_revenue")


def test_a_mart_that_cannot_be_asked_for_is_no_empty_plot(settings: Settings) -> None:
    with duckdb.connect() as empty, pytest.raises(CatalogError, match=r"lakehouse\.gold\.fct_trips cannot be read"):
        # No catalog is attached.
        is_built(empty, settings.with_changes(gold_target="iceberg"), "fct_trips")


def test_first_rows_are_the_first_by_the_first_column(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    found = read_first_rows(connection, settings, "mart_daily_revenue", 2, is_sorted=True)
    assert found.columns[:2] == ("date_key", "is_weekend")
    assert [str(row[0]) for row in found.rows] == ["2024-01-01", "2024-01-02"]
    assert len(read_first_rows(connection, settings, "fct_trips", 3, is_sorted=False).rows) == 3
