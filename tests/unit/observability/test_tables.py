"""Figures of Iceberg tables, by metadata alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog

from orchestration.observability import tables as tables_module
from orchestration.observability.tables import table_families
from tests.unit.observability.samples import by_name
from tests.unit.tables import append_offsets, bronze_table, silver_table


def test_the_figures_of_a_table_are_those_of_its_snapshots(iceberg: Catalog) -> None:
    table = bronze_table(iceberg)
    append_offsets(table, (0, 0), (0, 1))
    append_offsets(table, (0, 2))
    found = by_name(table_families([table]))
    name = ("bronze.raw_rides",)
    assert found["millrace_table_rows"] == {name: 3}
    assert found["millrace_table_data_files"] == {name: 2}
    assert found["millrace_table_delete_files"] == {name: 0}
    assert found["millrace_table_snapshots"] == {name: 2}
    assert found["millrace_table_commits_total"] == {name: 2}
    assert found["millrace_table_size_bytes"][name] > 0
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert found["millrace_table_last_commit_timestamp_seconds"] == {name: snapshot.timestamp_ms / 1000}


def test_a_table_that_was_never_written_is_empty_and_has_no_last_commit(iceberg: Catalog) -> None:
    found = by_name(table_families([silver_table(iceberg)]))
    assert found["millrace_table_rows"] == {("silver.rides",): 0}
    assert "millrace_table_last_commit_timestamp_seconds" not in found


def test_no_data_file_and_no_manifest_is_read(iceberg: Catalog, tmp_path: Path) -> None:
    table = bronze_table(iceberg)
    append_offsets(table, (0, 0))
    gone = [path for path in (tmp_path / "warehouse").rglob("*") if path.suffix in (".parquet", ".avro")]
    for path in gone:
        path.unlink()
    assert len(gone) >= 3
    assert by_name(table_families([iceberg.load_table("bronze.raw_rides")]))["millrace_table_rows"]


def test_tables_beyond_the_bound_are_counted(iceberg: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "MAX_TABLES", 1)
    found = by_name(table_families([bronze_table(iceberg), silver_table(iceberg)]))
    assert set(found["millrace_table_snapshots"]) == {("bronze.raw_rides",)}
    assert found["millrace_tables_left_out"] == {(): 1}
