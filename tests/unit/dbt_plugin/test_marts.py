"""Every mart, row for row, against plain SQL on the same silver rows: at first, again, after late and replaced trips.

Trips of eight years with ties, gaps, unknown zones and codes, missing values, and rows that the models leave out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import pytest

from orchestration.dbt_plugin.runner import DbtRun
from tests.unit.dbt_plugin.conftest import Lakehouse
from tests.unit.dbt_plugin.mart_sql import EXPECTED, TYPES, content, differences, prepare

TRIPS = 4000
# Digits of hashes, not a random generator: the same rows on every machine.
FILL = f"""
insert into silver.cleaned_trips by name
with drawn as (
    select i, {", ".join(f"(hash(i + {n}00000) // 2)::bigint as {name}" for n, name in enumerate("abcd"))}
    from range({TRIPS}) as t(i)
), timed as (
    -- One day in forty has trips, so that a day has about fifty; the first and the last are years apart.
    select *, timestamp '2019-01-01' + to_days((a % 73)::int * 40) + to_seconds(b % 86400) as pickup from drawn
)
select
    md5(i::varchar) as trip_id,
    [1, 2, 6, 7, 9, null][1 + c % 6] as vendor_id,
    pickup as pickup_datetime,
    if(d % 97 = 0, null, pickup + to_seconds(c % 4000 - 60)) as dropoff_datetime,
    (a // 100 % 5)::int as passenger_count,
    if(b % 31 = 0, 0, (c // 7 % 30000) / 1000) as trip_distance_miles,
    [1, 2, 3, 4, 5, 6, 99, null][1 + d // 3 % 8] as rate_code_id,
    'N' as store_and_fwd_flag,
    [4, 12, 132, 138, 264, 265, 999][1 + d // 11 % 7] as pickup_location_id,
    [1, 56, 57, 103, 104, 105, 265, 888, null][1 + d // 77 % 9] as dropoff_location_id,
    [0, 1, 1, 1, 2, 2, 3, 4, 5, 6, null][1 + b // 5 % 11] as payment_type_id,
    if(b % 29 = 0, 0, (b // 7 % 6000) / 100) as fare_amount,
    0 as extra_amount, 0.5 as mta_tax, (c // 11 % 1500) / 100 as tip_amount, (a // 13 % 700) / 100 as tolls_amount,
    1 as improvement_surcharge, fare_amount + 1.5 + tip_amount + tolls_amount as total_amount,
    2.5 as congestion_surcharge, 0 as airport_fee,
    timestamp '2026-05-01 12:00:00' as ingestion_ts,
    pickup::date as pickup_date
from timed
"""
LATE = """
insert into silver.cleaned_trips by name
select * replace (md5(trip_id || 'late') as trip_id, tip_amount + 1 as tip_amount, total_amount + 1 as total_amount)
from silver.cleaned_trips
where pickup_date in (select distinct pickup_date from silver.cleaned_trips order by 1 limit 3);

update silver.cleaned_trips set fare_amount = 1, ingestion_ts = timestamp '2026-05-01 13:00:00'
where pickup_date = (select distinct pickup_date from silver.cleaned_trips order by 1 desc limit 1);

delete from silver.cleaned_trips
where pickup_date = (select distinct pickup_date from silver.cleaned_trips order by 1 limit 1 offset 20)
"""
Contents = dict[str, tuple[int, int]]


@dataclass
class Look:
    """The marts after a build: as they are, as they should be, and what tells them apart."""

    stored: Contents
    wanted: Contents
    differences: dict[str, list[tuple[Any, ...]]]


@dataclass
class Story:
    """Looks after a first build, one without changes, one after changes; then tests on data made wrong.

    Attributes:
        columns: of every relation after the first build, by `schema.name`: (name, type) in order.
        broken: failures of the singular tests, by name, before and after a row of gold and of silver was made wrong.
        freshness: of silver: nodes looked at when off; statuses of old and of new rows.
    """

    columns: dict[str, list[tuple[str, str]]]
    first: Look
    again: Look
    changed: Look
    broken: tuple[dict[str, int | None], dict[str, int | None]]
    freshness: tuple[int, list[str], list[str]]


def look(lakehouse: Lakehouse) -> Look:
    with duckdb.connect(str(lakehouse.settings.gold_path), read_only=True) as conn:
        conn.execute(f"attach '{lakehouse.file}' as lakehouse (read_only)")
        prepare(conn, "lakehouse.silver.cleaned_trips")
        return Look(
            {mart: content(conn, mart, f"from marts.{mart}") for mart in EXPECTED},
            {mart: content(conn, mart, query) for mart, query in EXPECTED.items()},
            {mart: differences(conn, mart) for mart in EXPECTED},
        )


def failures(run: DbtRun) -> dict[str, int | None]:
    return {node.unique_id.split(".")[2]: node.failures for node in run.nodes}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    lakehouse = Lakehouse(tmp_path_factory.mktemp("lakehouse"))
    lakehouse.change(FILL)
    assert lakehouse.dbt("build", "--exclude-resource-type", "unit_test", "test").is_success
    first = look(lakehouse)
    columns: dict[str, list[tuple[str, str]]] = {}
    for schema, table, name, kind in lakehouse.query(
        "select schema_name, table_name, column_name, data_type from duckdb_columns()"
        " where database_name = 'gold' order by schema_name, table_name, column_index"
    ):
        columns.setdefault(f"{schema}.{table}", []).append((name, kind))
    assert lakehouse.dbt("run").is_success
    again = look(lakehouse)
    lakehouse.change(LATE)
    assert lakehouse.dbt("run").is_success
    changed = look(lakehouse)

    singular = ("test", "--select", "test_type:singular")
    sound = failures(lakehouse.dbt(*singular))
    with duckdb.connect(str(lakehouse.settings.gold_path)) as conn:
        one = "(select min(trip_id) from marts.fct_trips)"
        conn.execute(f"update marts.fct_trips set dropoff_datetime = pickup_datetime where trip_id = {one}")
    lakehouse.change(
        "update silver.cleaned_trips set fare_amount = total_amount + 0.02 where trip_id in"
        " (select trip_id from silver.cleaned_trips where dropoff_datetime is not null order by 1 limit 2)"
    )
    broken = failures(lakehouse.dbt(*singular))

    when_on = ("source", "freshness", "--vars", "{silver_warn_after_hours: 24, silver_error_after_hours: 48}")
    off = len(lakehouse.dbt("source", "freshness").nodes)
    old = [node.status for node in lakehouse.dbt(*when_on).nodes]
    lakehouse.change("update silver.cleaned_trips set ingestion_ts = now() at time zone 'UTC'")
    new = [node.status for node in lakehouse.dbt(*when_on).nodes]
    return Story(columns, first, again, changed, (sound, broken), (off, old, new))


@pytest.mark.parametrize("mart", EXPECTED)
def test_mart_holds_what_plain_sql_computes(story: Story, mart: str) -> None:
    assert story.first.differences[mart] == []
    assert story.first.stored[mart] == story.first.wanted[mart]
    assert story.first.stored[mart][0] > 0


@pytest.mark.parametrize("mart", EXPECTED)
def test_second_build_without_changes_changes_no_content(story: Story, mart: str) -> None:
    assert story.again.stored[mart] == story.first.stored[mart]


@pytest.mark.parametrize("mart", EXPECTED)
def test_late_replaced_and_removed_trips_are_in_the_mart(story: Story, mart: str) -> None:
    assert story.changed.differences[mart] == []
    assert story.changed.stored[mart] == story.changed.wanted[mart]
    has_trips = mart == "fct_trips" or (mart.startswith("mart_") and mart != "mart_daily_revenue")
    assert (story.changed.stored[mart] != story.first.stored[mart]) or not has_trips


@pytest.mark.parametrize("mart", EXPECTED)
def test_columns_of_the_mart_are_the_promised_ones(story: Story, mart: str) -> None:
    found = [(name, kind.lower()) for name, kind in story.columns[f"marts.{mart}"]]
    assert found == [(name, kind) for name, kind in TYPES[mart].items()]


def test_there_is_no_mart_without_sql_of_its_own(story: Story) -> None:
    assert {name.removeprefix("marts.") for name in story.columns if name.startswith("marts.")} == set(EXPECTED)


@pytest.mark.parametrize("test", ["assert_fare_not_exceeds_total", "assert_trip_duration_positive"])
def test_singular_test_passes_on_sound_data_and_fails_on_broken(story: Story, test: str) -> None:
    sound, broken = story.broken
    assert sound[test] == 0
    assert broken[test] == {"assert_fare_not_exceeds_total": 2, "assert_trip_duration_positive": 1}[test]


def test_freshness_is_off_until_hours_are_given_and_then_by_the_time_of_loading(story: Story) -> None:
    assert story.freshness == (0, ["error"], ["pass"])
