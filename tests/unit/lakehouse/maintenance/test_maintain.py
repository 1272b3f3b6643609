"""A maintenance run over a whole catalog: what it does, what it leaves alone, and what it says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from orchestration.catalog.compaction import SizePolicy
from orchestration.catalog.journal import Journal
from orchestration.catalog.progress import BronzeMark, SilverMark, write_mark
from orchestration.errors import NotFoundError
from orchestration.lakehouse.maintenance import due, run
from orchestration.lakehouse.maintenance.due import find_due
from orchestration.lakehouse.maintenance.needed import Activity
from orchestration.lakehouse.maintenance.report import MaintenanceReport, Step, TableReport
from orchestration.lakehouse.maintenance.run import maintain, size_policy
from orchestration.locking import hold
from orchestration.settings import Settings
from tests.unit.catalog.many_commits import NAME, add, make_table, rows
from tests.unit.tables import append_offsets, bronze_table, silver_table, snapshot_id

NOW = datetime.now(UTC) + timedelta(days=30)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state", iceberg_snapshot_retain_last=2, lock_timeout_s=1)


@pytest.fixture
def catalog(iceberg: Catalog, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.setattr(run, "open_catalog", lambda _: iceberg)
    monkeypatch.setattr(due, "open_catalog", lambda _: iceberg)
    monkeypatch.setattr(run, "look_around", lambda _: Activity((), ()))
    return iceberg


def report_of(report: MaintenanceReport, name: str = NAME) -> TableReport:
    [found] = [table for table in report.tables if table.table == name]
    return found


def test_every_table_of_the_catalog_is_maintained(catalog: Catalog, settings: Settings) -> None:
    table = make_table(catalog, commits=6)
    before = rows(table)
    bronze = bronze_table(catalog)
    for offset in range(6):
        append_offsets(bronze, (0, offset))
    report = maintain(settings, now=NOW)
    assert [one.table for one in report.tables] == ["bronze.raw_rides", NAME]
    for one in report.tables:
        assert one.compact is not None
        assert one.expire is not None
        assert one.vacuum is not None
        assert (one.error, one.compact.removed >= 6, one.expire.kept) == (None, True, 2)
    assert rows(table) == before


def test_a_second_run_does_nothing_and_says_so(catalog: Catalog, settings: Settings) -> None:
    make_table(catalog, commits=6)
    assert maintain(settings, now=NOW).did_something
    assert not maintain(settings, now=NOW).did_something


def test_a_dry_run_tells_the_same_and_changes_nothing(catalog: Catalog, settings: Settings) -> None:
    table = make_table(catalog, commits=6)
    location = table.metadata_location
    report = maintain(settings, is_dry_run=True, now=NOW)
    [found] = report.tables
    assert found.planned is not None
    assert (found.planned.input_files, len(found.planned.groups)) == (12, 2)
    assert report.did_something
    table.refresh()
    assert table.metadata_location == location
    assert json.loads(json.dumps(report.as_dict()))["tables"][0]["compact"]["input_files"] == 12


@pytest.mark.parametrize("step", ["compact", "expire", "vacuum"])
def test_one_step_alone(catalog: Catalog, settings: Settings, step: Step) -> None:
    make_table(catalog, commits=6)
    found = report_of(maintain(settings, [step], now=NOW))
    assert [name for name in ("compact", "expire", "vacuum") if getattr(found, name) is not None] == [step]


def test_one_table_alone(catalog: Catalog, settings: Settings) -> None:
    make_table(catalog, commits=6)
    bronze_table(catalog)
    assert [one.table for one in maintain(settings, table=NAME).tables] == [NAME]
    with pytest.raises(NotFoundError, match=r"no table silver.absent") as error:
        maintain(settings, table="silver.absent")
    assert error.value.hint == f"tables: bronze.raw_rides, {NAME}"


def test_marks_of_other_tables_hold_the_snapshots_that_they_name(catalog: Catalog, settings: Settings) -> None:
    bronze, silver = bronze_table(catalog), silver_table(catalog)
    snapshots = [append_offsets(bronze, (0, offset)) for offset in range(6)]
    write_mark(silver, SilverMark(bronze_snapshot_id=snapshots[1], fingerprint="f"))
    write_mark(bronze, BronzeMark(snapshot_id=snapshots[3]))
    found = report_of(maintain(settings, ["expire"], now=NOW), "bronze.raw_rides").expire
    assert found is not None
    assert (found.snapshots, found.kept) == (1, 5)
    assert found.held == {
        snapshots[1]: "progress mark of silver.rides",
        snapshots[3]: "progress mark of bronze.raw_rides",
    }


def test_a_commit_waits_for_the_batch_run_that_holds_the_table(catalog: Catalog, settings: Settings) -> None:
    make_table(catalog, commits=6)
    said: list[str] = []
    with hold(settings.instance_dir / "locks", NAME, wait_s=0):
        found = report_of(maintain(settings, ["compact"], say=said.append))
    assert found.error is not None
    assert "in use" in found.error
    assert any("waiting for silver.many" in text for text in said)
    assert report_of(maintain(settings, ["compact"])).left_over == 2


def test_two_runs_at_once_do_not_share_a_table(catalog: Catalog, settings: Settings) -> None:
    make_table(catalog, commits=6)
    bronze_table(catalog)
    with hold(settings.instance_dir / "locks", f"maintain.{NAME}", wait_s=0):
        report = maintain(settings)
    assert "in use" in (report_of(report).error or "")
    assert report_of(report, "bronze.raw_rides").error is None
    assert [one.table for one in report.failed] == [NAME]


def test_what_a_killed_run_left_is_deleted_first(catalog: Catalog, settings: Settings) -> None:
    table = make_table(catalog, commits=1)
    left = Path(table.location().removeprefix("file://"), "data", "compact-killed.parquet")
    left.write_text("half")
    Journal(settings.instance_dir / "maintenance" / f"{NAME}.jsonl").add([f"file:{left}"])
    assert report_of(maintain(settings, is_dry_run=True)).left_over == 0
    assert report_of(maintain(settings)).left_over == 1
    assert not left.exists()


def test_sizes_of_a_table_go_before_the_settings(catalog: Catalog, settings: Settings) -> None:
    table = make_table(catalog, commits=0, **{"write.target-file-size-bytes": "1048576"})
    assert size_policy(settings, table) == SizePolicy(1_048_576, 786_432, 5)


def test_a_table_is_due_once_for_each_snapshot(catalog: Catalog, settings: Settings) -> None:
    table = make_table(catalog, commits=5)
    first = find_due(settings, {})
    assert [(one.table, one.snapshot_id, one.input_files, one.groups) for one in first.due] == [
        (NAME, snapshot_id(table), 10, 2)
    ]
    assert find_due(settings, first.seen).due == ()
    add(table, 9)
    assert len(find_due(settings, first.seen).due) == 1


def test_a_compacted_table_is_not_due(catalog: Catalog, settings: Settings) -> None:
    table: Table = make_table(catalog, commits=5)
    maintain(settings, ["compact"])
    table.refresh()
    assert find_due(settings, {}) == due.Found((), {NAME: snapshot_id(table)})
