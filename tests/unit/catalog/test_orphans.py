"""Orphans on a real Iceberg table: into quarantine, back if they are needed, and away when their time is over."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from orchestration.catalog.compact import compact_table
from orchestration.catalog.compaction import SizePolicy
from orchestration.catalog.journal import Journal
from orchestration.catalog.locations import StoredFile
from orchestration.catalog.orphans import OrphanPolicy, Vacuumed, plan_vacuum, vacuum_table
from orchestration.errors import CatalogError
from tests.unit.catalog.many_commits import make_table, rows, stored

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
POLICY = OrphanPolicy(min_age=timedelta(days=3), quarantine_age=timedelta(days=2))
OLD, YOUNG = NOW - timedelta(days=3), NOW - timedelta(days=2, hours=23)


@pytest.fixture
def table(iceberg: Catalog) -> Table:
    made = make_table(iceberg, commits=3)
    for path in stored(made):
        touch(path, OLD)
    return made


def touch(path: Path, at: datetime) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text("orphan")
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def root(table: Table) -> Path:
    return Path(table.location().removeprefix("file://"))


def vacuum(table: Table, now: datetime = NOW, *others: Table, is_dry_run: bool = False) -> Vacuumed:
    table.refresh()
    return vacuum_table(table, others, POLICY, now, is_dry_run=is_dry_run)


def file(name: str, at: datetime | None = OLD) -> StoredFile:
    return StoredFile(f"/t/{name}", 10, at)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        pytest.param(file("data/used"), "", id="needed"),
        pytest.param(file("data/.used.crc"), "", id="checksum of a needed one"),
        pytest.param(file("data/gone"), "quarantine", id="orphan"),
        pytest.param(file("data/.gone.crc"), "quarantine", id="checksum of an orphan"),
        pytest.param(file("data/gone", YOUNG), "young", id="too young"),
        pytest.param(file("data/gone", None), "young", id="of unknown age"),
        pytest.param(file("quarantine/20260308T120000Z/data/gone"), "delete", id="two days in quarantine"),
        pytest.param(file("quarantine/20260308T120001Z/data/gone"), "", id="not quite"),
        pytest.param(file("quarantine/20260101T000000Z/data/used"), "restore", id="needed after all"),
        pytest.param(file("quarantine/20260101T000000Z/data/.used.crc"), "restore", id="its checksum"),
        pytest.param(file("quarantine/something/else"), "quarantine", id="not put there by us"),
    ],
)
def test_what_happens_to_a_file(found: StoredFile, wanted: str) -> None:
    plan = plan_vacuum("/t", [found], {"/t/data/used"}, POLICY, NOW)
    fate = {
        "quarantine": bool(plan.quarantine),
        "delete": bool(plan.delete),
        "restore": bool(plan.restore),
        "young": bool(plan.young),
    }
    assert [name for name, is_so in fate.items() if is_so] == ([wanted] if wanted else [])


def test_nothing_is_an_orphan_in_a_table_that_only_we_wrote(table: Table, tmp_path: Path) -> None:
    compact_table(table, SizePolicy(min_files=2), Journal(tmp_path / "journal"))
    for path in stored(table):
        touch(path, OLD)
    before = stored(table)
    assert vacuum(table) == Vacuumed()
    assert stored(table) == before


def test_a_dry_run_names_them_and_touches_nothing(table: Table) -> None:
    orphan = touch(root(table) / "data" / "day=0" / "lost.parquet", OLD)
    before = stored(table)
    done = vacuum(table, is_dry_run=True)
    assert (done.quarantined, done.quarantined_bytes) == ((str(orphan),), 6)
    assert stored(table) == before


def test_an_orphan_is_moved_kept_and_deleted_in_this_order(table: Table) -> None:
    before = rows(table)
    orphan = touch(root(table) / "data" / "day=0" / "lost.parquet", OLD)
    assert vacuum(table).quarantined == (str(orphan),)
    moved = root(table) / "quarantine" / "20260310T120000Z" / "data" / "day=0" / "lost.parquet"
    assert (orphan.exists(), moved.read_text()) == (False, "orphan")
    assert vacuum(table) == Vacuumed()
    done = vacuum(table, NOW + timedelta(days=2))
    assert (done.deleted, done.deleted_bytes, moved.exists()) == ((str(moved),), 6, False)
    assert rows(table) == before


def test_a_young_file_may_be_of_a_writer_at_work(table: Table) -> None:
    young = touch(root(table) / "data" / "at-work.parquet", YOUNG)
    assert vacuum(table) == Vacuumed(young=1)
    assert young.exists()


def test_what_a_snapshot_needs_after_all_comes_back(table: Table) -> None:
    before = rows(table)
    needed = Path(next(iter(table.scan().plan_files())).file.file_path.removeprefix("file://"))
    hidden = root(table) / "quarantine" / "20260310T110000Z" / needed.relative_to(root(table))
    hidden.parent.mkdir(parents=True)
    needed.rename(hidden)
    assert vacuum(table).restored == (str(needed),)
    assert rows(table) == before


def test_nothing_is_touched_when_the_listing_is_not_that_of_the_table(table: Table) -> None:
    orphan = touch(root(table) / "data" / "lost.parquet", OLD)
    Path(next(iter(table.scan().plan_files())).file.file_path.removeprefix("file://")).unlink()
    with pytest.raises(CatalogError, match="1 files of its snapshots are not in its folder"):
        vacuum(table)
    assert orphan.exists()


def test_a_folder_that_holds_another_table_is_left_alone(iceberg: Catalog, table: Table) -> None:
    schema = table.schema()
    inside = iceberg.create_table("silver.inside", schema, location=f"file:{root(table)}/data/inside")
    assert vacuum(table, NOW, inside).skipped == "its folder is shared with silver.inside"
    assert vacuum(inside, NOW, table).skipped == "its folder is shared with silver.many"


def test_files_of_other_tables_beside_it_are_not_looked_at(iceberg: Catalog, table: Table) -> None:
    beside = iceberg.create_table("silver.many2", table.schema())
    other = touch(root(beside) / "data" / "lost.parquet", OLD)
    assert vacuum(table, NOW, beside) == Vacuumed()
    assert other.exists()


def test_a_table_that_shares_its_files_is_left_alone(table: Table) -> None:
    with table.transaction() as transaction:
        transaction.set_properties({"gc.enabled": "false"})
    assert vacuum(table).skipped == "its property gc.enabled is false"
