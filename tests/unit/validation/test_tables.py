"""Tables and their files, on a real Iceberg catalog."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog

from orchestration.validation import iceberg as checks
from tests.unit.tables import append, bronze_table


def test_files_that_are_all_there_pass(iceberg: Catalog) -> None:
    table = bronze_table(iceberg)
    append(table, {"_kafka_offset": 0})
    append(table, {"_kafka_offset": 1})
    outcome = checks.judge_files("bronze.raw_rides", checks.data_files(table), table.io)
    assert outcome.passed
    assert outcome.message.startswith("bronze.raw_rides: 2 files")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        pytest.param(lambda path: path.unlink(), "is missing", id="deleted"),
        pytest.param(lambda path: path.write_bytes(b"PAR1"), "has 4 bytes instead of", id="truncated"),
    ],
)
def test_a_damaged_data_file_fails_and_is_named(iceberg: Catalog, damage: object, complaint: str) -> None:
    table = bronze_table(iceberg)
    append(table, {"_kafka_offset": 0})
    (file,) = checks.data_files(table)
    damage(Path(file.path.removeprefix("file://")))  # type: ignore[operator]
    outcome = checks.judge_files("bronze.raw_rides", [file], table.io)
    assert not outcome.passed
    assert file.path in outcome.message
    assert complaint in outcome.message
    assert outcome.hint


@pytest.mark.parametrize("is_optional", [True, False])
def test_a_missing_table_passes_only_where_it_may_miss(is_optional: bool) -> None:
    assert checks.judge_metadata("a.b", None, is_optional=is_optional).passed is is_optional


@pytest.mark.parametrize("is_optional", [True, False])
def test_a_table_that_was_never_written_passes_only_where_it_may_be_empty(iceberg: Catalog, is_optional: bool) -> None:
    assert checks.judge_metadata("a.b", bronze_table(iceberg), is_optional=is_optional).passed is is_optional


def test_a_written_table_passes_and_names_its_metadata(iceberg: Catalog) -> None:
    table = bronze_table(iceberg)
    append(table, {"_kafka_offset": 0})
    outcome = checks.judge_metadata("bronze.raw_rides", table, is_optional=False)
    assert (outcome.passed, outcome.message) == (True, "bronze.raw_rides: 1 snapshots")
    assert outcome.detail == table.metadata_location
