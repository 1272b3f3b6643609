"""Certification: sets whose every row is known, and what each layer must hold of them (CIT-10)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.settings import Settings
from tests.integration.lake import Lake, make_lake

pytestmark = pytest.mark.stack

VALID, EXACT_DUPLICATES = 50, 20
VIOLATIONS: dict[str, Mapping[str, Any]] = {
    "pickup_missing": {"tpep_pickup_datetime": None},
    "dropoff_missing": {"tpep_dropoff_datetime": None},
    "total_not_positive": {"total_amount": 0.0},
    "distance_negative": {"trip_distance": -0.1},
    "passengers_negative": {"passenger_count": -1},
    "pickup_before_window": {"tpep_pickup_datetime": "2023-12-31T23:59:59"},
    "pickup_after_window": {"tpep_pickup_datetime": "2025-01-01T00:00:00"},
    "value_out_of_range": {"fare_amount": 100_000_000.0},
}
"""Rule to the values that break it and no rule before it."""
REQUIRED = ("pickup_missing", "dropoff_missing")
"""Rules about required fields: a landing that validates refuses these rows before the topic."""


def write_edge_set(lake: Lake) -> Path:
    """Write valid rows, one row for each rule that only this rule refuses, and copies of the first valid rows."""
    clean = pq.read_table(lake.sample("2024-03", VALID + len(VIOLATIONS), seed=43)).to_pylist()
    rows = clean[:VALID]
    for row, values in zip(clean[VALID:], VIOLATIONS.values(), strict=True):
        rows.append(row | {name: datetime.fromisoformat(v) if isinstance(v, str) else v for name, v in values.items()})
    rows += clean[:EXACT_DUPLICATES]
    path = lake.folder / "edge_2024-03.parquet"
    schema = pq.read_schema(lake.folder / "trips_2024-03_43.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def report(lake: Lake) -> dict[str, Any]:
    return {**lake.counts().as_dict(), "rejected_by": lake.rejected_by()}


def test_the_sets_cover_every_rule_of_the_contract(settings: Settings, tmp_path: Path) -> None:
    assert list(VIOLATIONS) == [name for name, _ in make_lake(settings, tmp_path).contract.rules()]


def test_a_clean_set_passes_whole(settings: Settings, tmp_path: Path) -> None:
    lake = make_lake(settings, tmp_path)
    lake.land(lake.sample("2024-01", 1000, seed=42))
    lake.load()
    assert report(lake) == {
        "produced": 1000,
        "dead_lettered": 0,
        "bronze": 1000,
        "silver": 1000,
        "duplicates": 0,
        "rejected": 0,
        "rejected_by": {},
    }
    lake.drop()


@pytest.mark.parametrize(
    ("is_validating", "refused"), [pytest.param(False, (), id="unchecked"), pytest.param(True, REQUIRED, id="checked")]
)
def test_each_row_of_the_edge_set_ends_where_it_belongs(
    settings: Settings, tmp_path: Path, is_validating: bool, refused: tuple[str, ...]
) -> None:
    lake = make_lake(settings, tmp_path, validate_schema=is_validating)
    lake.land(write_edge_set(lake))
    lake.load()
    produced = VALID + len(VIOLATIONS) + EXACT_DUPLICATES
    assert report(lake) == {
        "produced": produced,
        "dead_lettered": len(refused),
        "bronze": produced - len(refused),
        "silver": VALID,
        "duplicates": EXACT_DUPLICATES,
        "rejected": len(VIOLATIONS) - len(refused),
        "rejected_by": {rule: 1 for rule in VIOLATIONS if rule not in refused},
    }
    lake.drop()
