"""What each mart must hold, as types and as plain SQL on silver that knows nothing of the dbt project.

`silver` stands for the trips; seeds are read from their files.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from orchestration.sql import quote_literal
from tests.contract.checkout import ROOT

SEEDS = ROOT / "dbt" / "seeds"

_MONEY = "decimal(10,2)"
TYPES: Mapping[str, Mapping[str, str]] = {
    "fct_trips": {
        "trip_id": "varchar",
        "vendor_id": "integer",
        "rate_code_id": "integer",
        "payment_type_id": "integer",
        "pickup_location_id": "integer",
        "dropoff_location_id": "integer",
        "pickup_datetime": "timestamp",
        "dropoff_datetime": "timestamp",
        "pickup_date": "date",
        "pickup_hour": "bigint",
        "pickup_day_of_week": "varchar",
        "is_weekend": "boolean",
        "passenger_count": "integer",
        "trip_distance_miles": "double",
        "trip_duration_minutes": "bigint",
        "avg_speed_mph": "double",
        "cost_per_mile": "double",
        "fare_amount": _MONEY,
        "extra_amount": _MONEY,
        "mta_tax": _MONEY,
        "tip_amount": _MONEY,
        "tip_percentage": "double",
        "tolls_amount": _MONEY,
        "improvement_surcharge": _MONEY,
        "total_amount": _MONEY,
        "congestion_surcharge": _MONEY,
        "airport_fee": _MONEY,
        "pickup_borough": "varchar",
        "pickup_zone": "varchar",
        "dropoff_borough": "varchar",
        "dropoff_zone": "varchar",
        "ingestion_ts": "timestamp",
    },
    "dim_locations": {
        "location_id": "integer",
        "borough": "varchar",
        "zone_name": "varchar",
        "service_zone": "varchar",
    },
    "dim_vendors": {"vendor_id": "integer", "vendor_name": "varchar", "vendor_abbr": "varchar"},
    "dim_payment_types": {"payment_type_id": "integer", "payment_type_name": "varchar"},
    "dim_rate_codes": {"rate_code_id": "integer", "rate_code_name": "varchar"},
    "dim_dates": {
        "date_key": "date",
        "year": "bigint",
        "month": "bigint",
        "day_of_month": "bigint",
        "day_of_week_num": "bigint",
        "week_of_year": "bigint",
        "day_of_week_name": "varchar",
        "month_name": "varchar",
        "is_weekend": "boolean",
        "is_holiday": "boolean",
    },
    "mart_daily_revenue": {
        "date_key": "date",
        "day_of_week_name": "varchar",
        "is_weekend": "boolean",
        "is_holiday": "boolean",
        "week_of_year": "bigint",
        "total_trips": "bigint",
        "total_passengers": "bigint",
        "total_fare_revenue": "decimal(38,2)",
        "total_tip_revenue": "decimal(38,2)",
        "total_revenue": "decimal(38,2)",
        "avg_trip_revenue": "double",
        "avg_tip_percentage": "double",
        "credit_card_trips": "bigint",
        "cash_trips": "bigint",
        "avg_trip_distance": "double",
        "avg_trip_duration_min": "double",
        "cumulative_revenue": "decimal(38,2)",
        "revenue_change_vs_prior_day": "decimal(38,2)",
    },
    "mart_hourly_demand": {
        "pickup_hour": "bigint",
        "is_weekend": "boolean",
        "days_observed": "bigint",
        "avg_trips_per_period": "double",
        "avg_distance": "double",
        "avg_duration_min": "double",
        "avg_revenue_per_period": "double",
        "total_trips_all_days": "bigint",
    },
    "mart_hourly_patterns": {
        "date_key": "date",
        "pickup_hour": "bigint",
        "day_of_week_name": "varchar",
        "is_weekend": "boolean",
        "is_holiday": "boolean",
        "total_trips": "bigint",
        "avg_distance": "double",
        "avg_duration_min": "double",
        "total_revenue": "decimal(38,2)",
        "avg_revenue": "double",
    },
    "mart_location_performance": {
        "pickup_location_id": "integer",
        "pickup_borough": "varchar",
        "pickup_zone": "varchar",
        "total_pickups": "bigint",
        "avg_trip_distance": "double",
        "avg_trip_duration_min": "double",
        "total_revenue": "decimal(38,2)",
        "avg_revenue_per_trip": "double",
        "avg_tip_pct": "double",
        "avg_passengers": "double",
        "most_common_dropoff_zone": "varchar",
        "peak_pickup_hour": "bigint",
    },
}
"""Columns of each mart in order, and their types."""

# Holidays as a list by name and year, not as a rule for a date.
_PREPARE = f"""
create or replace temp table zones as
select LocationID::int as id, Borough as borough, Zone as zone, service_zone
from read_csv({quote_literal(str(SEEDS / "taxi_zone_lookup.csv"))}, all_varchar = true, nullstr = '');

create or replace temp table mondays as
select d::date as d from generate_series(date '2018-01-01', date '2028-12-31', interval 1 day) as g(d)
where isodow(d) = 1;

create or replace temp table thursdays as
select d::date as d from generate_series(date '2018-01-01', date '2028-12-31', interval 1 day) as g(d)
where isodow(d) = 4;

create or replace temp table holidays as
select make_date(y, m, day) as d
from range(2018, 2029) as years(y), (values (1, 1), (7, 4), (11, 11), (12, 25)) as fixed(m, day)
union all select make_date(y, 6, 19) from range(2021, 2029) as years(y)
union all select list_sort(list(d))[3] from mondays where month(d) = 1 group by year(d)
union all select list_sort(list(d))[3] from mondays where month(d) = 2 group by year(d)
union all select max(d) from mondays where month(d) = 5 group by year(d)
union all select min(d) from mondays where month(d) = 9 group by year(d)
union all select list_sort(list(d))[2] from mondays where month(d) = 10 group by year(d)
union all select list_sort(list(d))[4] from thursdays where month(d) = 11 group by year(d);

create or replace temp table plain as
with timed as (
    select *,
        epoch(date_trunc('minute', dropoff_datetime) - date_trunc('minute', pickup_datetime))::bigint // 60 as minutes
    from silver
    where pickup_datetime is not null and dropoff_datetime is not null
)
select timed.*,
    round(trip_distance_miles / (minutes / 60.0), 2) as mph,
    if(trip_distance_miles > 0, round(fare_amount / trip_distance_miles, 2), null) as a_mile,
    if(fare_amount > 0, round(tip_amount / fare_amount * 100, 2), null) as tip_pct,
    pickup_datetime::date as day,
    strftime(pickup_datetime, '%A') as day_name,
    hour(pickup_datetime) as clock_hour,
    isodow(pickup_datetime) >= 6 as weekend,
    here.borough as from_borough, here.zone as from_zone, there.borough as to_borough, there.zone as to_zone
from timed
left join zones as here on here.id = pickup_location_id
left join zones as there on there.id = dropoff_location_id
where minutes >= 1 and minutes <= 720
    and (trip_distance_miles is null or round(trip_distance_miles / (minutes / 60.0), 2) < 100);

create or replace temp table each_hour as
select day, clock_hour, day_name, weekend, count(*) as trips,
    round(avg(trip_distance_miles::decimal(38, 6)), 2) as miles,
    round(avg(minutes), 2) as mins,
    sum(total_amount) as revenue,
    round(avg(total_amount), 2) as a_trip
from plain group by all;
"""

_AVERAGES = "round(avg(trip_distance_miles::decimal(38, 6)), 2) as miles, round(avg(minutes), 2) as mins"


def _seed(name: str) -> str:
    return f"select * from read_csv({quote_literal(str(SEEDS / name))})"


EXPECTED: Mapping[str, str] = {
    "fct_trips": """
        select trip_id, vendor_id, rate_code_id, payment_type_id, pickup_location_id, dropoff_location_id,
            pickup_datetime, dropoff_datetime, day, clock_hour, day_name, weekend, passenger_count,
            trip_distance_miles, minutes, mph, a_mile, fare_amount, extra_amount, mta_tax, tip_amount, tip_pct,
            tolls_amount, improvement_surcharge, total_amount, congestion_surcharge, airport_fee, from_borough,
            from_zone, to_borough, to_zone, ingestion_ts
        from plain""",
    "dim_locations": "select id, borough, zone, service_zone from zones",
    "dim_vendors": _seed("vendor_lookup.csv"),
    "dim_payment_types": _seed("payment_type_lookup.csv"),
    "dim_rate_codes": _seed("rate_code_lookup.csv"),
    "dim_dates": """
        select d, year(d), month(d), day(d), isodow(d) % 7, weekofyear(d), strftime(d, '%A'), strftime(d, '%B'),
            isodow(d) >= 6, d in (select d from holidays)
        from (
            select unnest(generate_series(min(pickup_date), max(pickup_date), interval 1 day))::date as d from silver
        )""",
    "mart_daily_revenue": f"""
        with days as (
            select day, count(*) as trips, sum(passenger_count) as passengers, sum(fare_amount) as fares,
                sum(tip_amount) as tips, sum(total_amount) as revenue, round(avg(total_amount), 2) as a_trip,
                round(avg(tip_pct::decimal(38, 6)), 2) as tip_pct, count_if(payment_type_id = 1) as card,
                count_if(payment_type_id = 2) as cash, {_AVERAGES}
            from plain group by day
        ), numbered as (select *, row_number() over (order by day) as n from days)
        select day, strftime(day, '%A'), isodow(day) >= 6, day in (select d from holidays), weekofyear(day),
            trips, passengers, fares, tips, revenue, a_trip, tip_pct, card, cash, miles, mins,
            (select sum(revenue) from days as before where before.day <= numbered.day),
            revenue - (select revenue from numbered as before where before.n = numbered.n - 1)
        from numbered""",
    "mart_hourly_demand": """
        select clock_hour, weekend, count(*), round(sum(trips) / count(*), 0), round(avg(miles::decimal(38, 6)), 2),
            round(avg(mins::decimal(38, 6)), 2), round(avg(revenue), 2), sum(trips)
        from each_hour group by clock_hour, weekend""",
    "mart_hourly_patterns": """
        select day, clock_hour, day_name, weekend, day in (select d from holidays), trips, miles, mins, revenue, a_trip
        from each_hour""",
    "mart_location_performance": f"""
        with most as (
            select pickup_location_id as id, to_zone from plain where to_zone is not null group by id, to_zone
            qualify row_number() over (partition by id order by count(*) desc, to_zone) = 1
        ), peak as (
            select pickup_location_id as id, clock_hour from plain group by id, clock_hour
            qualify row_number() over (partition by id order by count(*) desc, clock_hour) = 1
        ), sums as (
            select pickup_location_id as id, from_borough, from_zone, count(*) as trips, {_AVERAGES}, sum(total_amount),
                round(avg(total_amount), 2), round(avg(tip_pct::decimal(38, 6)), 2), round(avg(passenger_count), 2)
            from plain where from_zone is not null group by all
        )
        select sums.*, most.to_zone, peak.clock_hour
        from sums left join most using (id) left join peak using (id)""",
}
"""A query of each mart's rows, columns in its order."""


def prepare(conn: duckdb.DuckDBPyConnection, silver: str) -> None:
    """Make the temporary tables of the queries from the relation that holds the trips."""
    conn.execute(f"create or replace temp view silver as select * from {silver}")
    conn.execute(_PREPARE)


def content(conn: duckdb.DuckDBPyConnection, mart: str, query: str) -> tuple[int, int]:
    """Return number and hash of the query's rows as the mart's types; the order of rows does not count."""
    columns = ", ".join(f'cast("{name}" as {kind})' for name, kind in TYPES[mart].items())
    names = ", ".join(f'"{name}"' for name in TYPES[mart])
    row = conn.execute(f"select count(*), sum(hash({columns})) from ({query}) as t({names})").fetchone()
    assert row is not None
    return row[0], row[1]


def differences(
    conn: duckdb.DuckDBPyConnection, mart: str, table: str | None = None, limit: int = 4
) -> list[tuple[object, ...]]:
    """Return rows that only one side has, for the eyes of who reads a failed test.

    Args:
        table: where the mart is; None: `marts.<mart>`.
    """
    wanted = f"({EXPECTED[mart]})"
    stored = f"(select * from {table or f'marts.{mart}'})"
    return conn.execute(
        f"(select 'too many', * from ({stored} except all {wanted}) limit {limit})"
        f" union all (select 'missing', * from ({wanted} except all {stored}) limit {limit})"
    ).fetchall()
