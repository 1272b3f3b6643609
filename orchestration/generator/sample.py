"""Deterministic sample files of taxi trips, clean or with a stated number of defects of each kind.

Columns and Arrow types are the official ones of the 2024 yellow taxi files. Everything is a function of (seed, row
number), so the same arguments give the same bytes, and the row counts of every layer are known beforehand.
"""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from orchestration.contracts import DatasetContract, load_contract
from orchestration.errors import InputError
from orchestration.generator.sample_sql import MAX_ROWS_A_SECOND, sample_query

DEFAULT_MONTH = "2024-01"
ROW_GROUP_ROWS = 131_072


@dataclass(frozen=True)
class Defect:
    """A kind of bad row: what it sets, and where it ends.

    Attributes:
        ends_in: `dead_letters`, `duplicates`, or the name of the quality rule that rejects it.
        values: source column to the SQL expression that replaces it.
    """

    name: str
    ends_in: str
    values: Mapping[str, str]


DEAD_LETTERS, DUPLICATES = "dead_letters", "duplicates"

DEFECTS: tuple[Defect, ...] = (
    Defect("pickup_null", DEAD_LETTERS, {"tpep_pickup_datetime": "NULL"}),
    Defect("dropoff_null", DEAD_LETTERS, {"tpep_dropoff_datetime": "NULL"}),
    Defect("fare_not_a_number", DEAD_LETTERS, {"fare_amount": "'NaN'::DOUBLE"}),
    Defect("total_zero", "total_not_positive", {"fare_amount": "0", "total_amount": "0"}),
    Defect("total_negative", "total_not_positive", {"fare_amount": "-fare_amount", "total_amount": "-total_amount"}),
    Defect("total_null", "total_not_positive", {"total_amount": "NULL"}),
    # Two rules are broken; the first one names the rejection.
    Defect(
        "total_and_distance_negative",
        "total_not_positive",
        {"fare_amount": "-fare_amount", "total_amount": "-total_amount", "trip_distance": "-1.5"},
    ),
    Defect("distance_negative", "distance_negative", {"trip_distance": "-trip_distance"}),
    Defect("distance_null", "distance_negative", {"trip_distance": "NULL"}),
    Defect("passengers_negative", "passengers_negative", {"passenger_count": "-1"}),
    Defect("passengers_null", "passengers_negative", {"passenger_count": "NULL"}),
    Defect(
        "clock_in_the_past",
        "pickup_before_window",
        {
            "tpep_pickup_datetime": "tpep_pickup_datetime - INTERVAL 22 YEAR",
            "tpep_dropoff_datetime": "tpep_dropoff_datetime - INTERVAL 22 YEAR",
        },
    ),
    Defect(
        "clock_in_the_future",
        "pickup_after_window",
        {
            "tpep_pickup_datetime": "tpep_pickup_datetime + INTERVAL 50 YEAR",
            "tpep_dropoff_datetime": "tpep_dropoff_datetime + INTERVAL 50 YEAR",
        },
    ),
    Defect("zone_beyond_int", "value_out_of_range", {"DOLocationID": "3000000000"}),
    Defect("tip_beyond_decimal", "value_out_of_range", {"tip_amount": "1e9"}),
    # Last: the first defect sits on row 0, which has no row before it that could be repeated.
    Defect("duplicate", DUPLICATES, {}),
)
"""Every kind of defect that `dirty` spreads over the file, in turn."""


@dataclass(frozen=True)
class SampleExpectation:
    """The exact accounting of a sample after one run through an empty lakehouse.

    Attributes:
        rows, produced: rows of the file; each goes to one of the two topics.
        rejected_by: quality rule to rows; only rules that reject any.
        defects: kind of defect to rows.
    """

    rows: int
    produced: int
    dead_lettered: int
    bronze: int
    silver: int
    duplicates: int
    rejected: int
    rejected_by: Mapping[str, int]
    defects: Mapping[str, int]


def defect_count(rows: int, dirty: float) -> int:
    """Return how many rows have a defect: the share `dirty` of all, as a multiple of the kinds, at least one of each.

    Raises:
        InputError: the share is not within 0 to 0.5, or the file is too small to hold one defect of each kind.
    """
    if not 0 <= dirty <= 0.5:
        raise InputError(f"--dirty {dirty} is not a share from 0 to 0.5")
    if dirty == 0:
        return 0
    count = max(int(rows * dirty) // len(DEFECTS), 1) * len(DEFECTS)
    if count * 2 > rows:
        raise InputError(
            f"{rows} rows cannot hold one of each of {len(DEFECTS)} defects between good rows",
            hint=f"use --rows {len(DEFECTS) * 2} or more",
        )
    return count


def sample_expectation(rows: int, dirty: float = 0.0) -> SampleExpectation:
    """Return what a sample of so many rows and this share of defects becomes; its month lies within the window."""
    each = defect_count(rows, dirty) // len(DEFECTS)
    ends = Counter({DEAD_LETTERS: 0, DUPLICATES: 0})
    for defect in DEFECTS:
        ends[defect.ends_in] += each
    dead, duplicates = ends.pop(DEAD_LETTERS), ends.pop(DUPLICATES)
    rejected = sum(ends.values())
    return SampleExpectation(
        rows=rows,
        produced=rows,
        dead_lettered=dead,
        bronze=rows - dead,
        silver=rows - dead - duplicates - rejected,
        duplicates=duplicates,
        rejected=rejected,
        rejected_by={rule: count for rule, count in ends.items() if count},
        defects={defect.name: each for defect in DEFECTS if each},
    )


def write_sample(
    path: Path,
    *,
    rows: int,
    seed: int = 42,
    dirty: float = 0.0,
    month: str | None = None,
    contract: DatasetContract | None = None,
) -> SampleExpectation:
    """Write a sample file and return its exact accounting; the file appears whole or not at all.

    Args:
        dirty: share of rows with a defect, spread evenly over the kinds of DEFECTS and over the file.
        month: YYYY-MM of the pickups; None: as in the file's name, else DEFAULT_MONTH.
        contract: gives the window that the month must lie in; None: the taxi contract.

    Raises:
        InputError: an argument is out of its range, or the path cannot be written.
    """
    import duckdb
    import pyarrow.parquet as pq

    from orchestration.generator.sources import month_of

    start, days = _month_span(month or month_of(str(path)) or DEFAULT_MONTH, contract or load_contract("taxi"))
    seconds = days * 86_400
    if not 0 <= rows <= seconds * MAX_ROWS_A_SECOND:
        raise InputError(f"--rows {rows} is not within 0 to {seconds * MAX_ROWS_A_SECOND}")
    expectation = sample_expectation(rows, dirty)
    defects = [defect.values for defect in DEFECTS] if expectation.defects else []
    query = sample_query(
        start=start, seconds=seconds, rows=rows, seed=seed, defects=defects, every=defect_count(rows, dirty)
    )
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            schema = connection.execute(query, [0, 0]).to_arrow_table().schema
            with pq.ParquetWriter(part, schema, compression="zstd") as writer:
                for first in range(0, rows, ROW_GROUP_ROWS):
                    group = connection.execute(query, [first, min(first + ROW_GROUP_ROWS, rows)])
                    writer.write_table(group.to_arrow_table(), row_group_size=ROW_GROUP_ROWS)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    return expectation


def _month_span(month: str, contract: DatasetContract) -> tuple[date, int]:
    """Return (first day, number of days) of YYYY-MM."""
    try:
        start = date.fromisoformat(f"{month}-01")
    except ValueError:
        raise InputError(f"--month {month} is not of the form YYYY-MM") from None
    days = calendar.monthrange(start.year, start.month)[1]
    first, end = contract.parameters.get("window_start"), contract.parameters.get("window_end")
    last_day = start.replace(day=days)
    if (first and start < first) or (end and last_day >= end):
        raise InputError(
            f"month {month} is not within the contract's window {first} to {end}: every row would be rejected",
            hint="choose another --month, or widen the window in dataset.yml",
        )
    return start, days
