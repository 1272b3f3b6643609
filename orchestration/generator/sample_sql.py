"""The SQL behind the sample files: every value a function of (seed, row number)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date

from orchestration.sql import quote_duckdb

MAX_ROWS_A_SECOND = 200
"""Rows that may share a pickup second: they differ by drop-off zone, of which there are 265."""

_COLUMNS: tuple[tuple[str, str], ...] = (
    ("VendorID", "CASE WHEN draw(1, 100) < 24 THEN 1 WHEN draw(1, 100) < 98 THEN 2 ELSE 6 END::BIGINT"),
    ("tpep_pickup_datetime", "pickup"),
    ("tpep_dropoff_datetime", "pickup + to_seconds(duration_s)"),
    ("passenger_count", "CASE WHEN draw(2, 100) < 72 THEN 1 ELSE 1 + draw(3, 4) END::BIGINT"),
    ("trip_distance", "distance_c / 100.0::DOUBLE"),
    ("RatecodeID", "ratecode::BIGINT"),
    ("store_and_fwd_flag", "CASE WHEN draw(4, 250) = 0 THEN 'Y' ELSE 'N' END"),
    ("PULocationID", "pu::BIGINT"),
    # Rows of one second get consecutive zones, which keeps the natural key unique.
    ("DOLocationID", "(1 + (second_draw + in_second) % 265)::BIGINT"),
    ("payment_type", "payment::BIGINT"),
    ("fare_amount", "fare_c / 100.0::DOUBLE"),
    ("extra", "extra_c / 100.0::DOUBLE"),
    ("mta_tax", "0.5::DOUBLE"),
    ("tip_amount", "tip_c / 100.0::DOUBLE"),
    ("tolls_amount", "tolls_c / 100.0::DOUBLE"),
    ("improvement_surcharge", "1.0::DOUBLE"),
    ("total_amount", "(fare_c + extra_c + 50 + tip_c + tolls_c + 100 + 250 + airport_c) / 100.0::DOUBLE"),
    ("congestion_surcharge", "2.5::DOUBLE"),
    ("Airport_fee", "airport_c / 100.0::DOUBLE"),
)


def sample_query(
    *, start: date, seconds: int, rows: int, seed: int, defects: Sequence[Mapping[str, str]], every: int
) -> str:
    """Return the query for rows [?, ?) of a sample, in order.

    Args:
        start, seconds: the month; pickups are spread evenly over it, in order of time.
        defects: of each kind, column to replacing expression; an empty mapping repeats the row before.
        every: number of rows with a defect, spread evenly; they take the kinds in turn.
    """
    # Of `rows` numbers exactly `every` have i * every % rows < every: the first of each stride.
    kind = "-1"
    if every:
        kind = f"CASE WHEN i * {every} % {rows} < {every} THEN (i * {every} // {rows}) % {len(defects)} ELSE -1 END"
    repeats = ", ".join(str(number) for number, values in enumerate(defects) if not values)
    source = f"CASE WHEN kind IN ({repeats}) THEN i - 1 ELSE i END" if repeats else "i"
    columns = ",\n    ".join(f"{_draws(expression, seed)} AS {quote_duckdb(name)}" for name, expression in _COLUMNS)
    replaced = ",\n    ".join(_replaced(name, defects) for name, _ in _COLUMNS)
    return f"""WITH numbered AS (SELECT range AS i, {kind} AS kind FROM range(?::BIGINT, ?::BIGINT)),
placed AS (
    SELECT kind, r, r * {seconds} // {max(rows, 1)} AS sec
    FROM (SELECT kind, {source} AS r FROM numbered)
),
timed AS (
    SELECT *,
        TIMESTAMP '{start.isoformat()} 00:00:00' + to_seconds(sec) AS pickup,
        r - -(-sec * {max(rows, 1)} // {seconds}) AS in_second,
        {_draws("second(20, 265)", seed)} AS second_draw,
        {_draws("180 + draw(5, 1500) + CASE WHEN draw(6, 8) = 0 THEN draw(7, 1921) ELSE 0 END", seed)} AS duration_s,
        {_draws("CASE WHEN draw(8, 20) = 0 THEN 132 WHEN draw(8, 20) = 1 THEN 138 ELSE 1 + draw(9, 265) END", seed)}
            AS pu
    FROM placed
),
driven AS (
    -- 5 to 30 miles an hour, at least a tenth of a mile.
    SELECT *,
        greatest(10, duration_s * ({_draws("5 + draw(10, 26)", seed)}) // 36) AS distance_c,
        {
        _draws(
            "CASE WHEN pu = 132 AND draw(11, 3) = 0 THEN 2 WHEN draw(12, 200) = 0 THEN 5 WHEN draw(12, 200) = 1 "
            "THEN 3 WHEN draw(12, 200) = 2 THEN 4 WHEN draw(12, 200) = 3 THEN 99 ELSE 1 END",
            seed,
        )
    } AS ratecode,
        {_draws("CASE WHEN draw(13, 100) < 78 THEN 1 WHEN draw(13, 100) < 94 THEN 2 ELSE draw(14, 7) END", seed)}
            AS payment,
        CASE WHEN pu IN (132, 138) THEN 125 ELSE 0 END AS airport_c,
        {_draws("CASE WHEN draw(15, 25) = 0 THEN 694 ELSE 0 END", seed)} AS tolls_c,
        {_draws("CASE draw(16, 3) WHEN 0 THEN 0 WHEN 1 THEN 100 ELSE 250 END", seed)} AS extra_c
    FROM timed
),
priced AS (
    SELECT *, CASE WHEN ratecode = 2 THEN 7000 ELSE 300 + distance_c * 250 // 100 + duration_s * 70 // 60 END AS fare_c
    FROM driven
),
tipped AS (
    SELECT *, CASE WHEN payment = 1 THEN fare_c * ({_draws("10 + draw(17, 21)", seed)}) // 100 ELSE 0 END AS tip_c
    FROM priced
),
good AS (
SELECT kind,
    {columns}
FROM tipped
)
SELECT
    {replaced}
FROM good"""


def _draws(expression: str, seed: int) -> str:
    """Replace draw(n, m) and second(n, m) by a number from 0 to m - 1 that hangs on the row, or on its second."""

    def fill(match: re.Match[str]) -> str:
        subject = "r" if match[1] == "draw" else "sec"
        return f"(hash({subject}, {seed}, {match[2]}) % {match[3]})::BIGINT"

    return re.sub(r"\b(draw|second)\((\d+), (\d+)\)", fill, expression)


def _replaced(name: str, defects: Sequence[Mapping[str, str]]) -> str:
    column = quote_duckdb(name)
    whens = " ".join(f"WHEN {kind} THEN {values[name]}" for kind, values in enumerate(defects) if name in values)
    return f"CASE kind {whens} ELSE {column} END AS {column}" if whens else column
