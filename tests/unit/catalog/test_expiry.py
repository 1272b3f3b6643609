"""Expiry on a real Iceberg table: out of the metadata, then out of the store, and nothing that is still needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.table import Table

from orchestration.catalog import commits
from orchestration.catalog.compact import compact_table
from orchestration.catalog.compaction import SizePolicy
from orchestration.catalog.expiry import Expired, clean_up, expire_table, plan_table
from orchestration.catalog.files import reachable
from orchestration.catalog.journal import Journal
from orchestration.catalog.retention import Needed, Retention
from orchestration.catalog.snapshots import ancestry, current_id, read_appended
from orchestration.errors import CatalogError
from tests.unit.catalog.many_commits import NAME, add, make_table, meanwhile, rows, stored

NOW = datetime.now(UTC) + timedelta(days=30)
LAST_TWO = Retention(max_age_ms=0, retain_last=2)


@pytest.fixture
def table(iceberg: Catalog) -> Table:
    return make_table(iceberg, commits=8)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def expire(
    table: Table, journal: Journal, retention: Retention = LAST_TWO, *, is_dry_run: bool = False, **marks: int
) -> Expired:
    table.refresh()
    needed = Needed({snapshot: name for name, snapshot in marks.items()}, jobs=())
    return expire_table(table, retention, lambda: needed, journal, NOW, is_dry_run=is_dry_run)


def ids(table: Table) -> list[int]:
    """Return the ids of the history, oldest first."""
    table.refresh()
    return [snapshot.snapshot_id for snapshot in reversed(ancestry(table))]


def leftovers(table: Table) -> set[str]:
    """Return names of files in the store that the metadata does not know."""
    table.refresh()
    return {path.name for path in stored(table) if str(path) not in reachable(table)}


def test_old_snapshots_go_and_what_only_they_needed_goes_with_them(table: Table, journal: Journal) -> None:
    compact_table(table, SizePolicy(), journal)
    before = rows(table)
    done = expire(table, journal, Retention(0, 1))
    assert (done.snapshots, done.kept) == (8, 1)
    assert rows(table) == before
    assert leftovers(table) == set()
    assert len(list(Path(table.location().removeprefix("file://"), "data").rglob("*.parquet"))) == 2
    assert journal.locations() == []


def test_a_second_run_does_nothing(table: Table, journal: Journal) -> None:
    expire(table, journal)
    files, again = stored(table), expire(table, journal)
    assert (again.snapshots, again.kept) == (0, 2)
    assert stored(table) == files


def test_data_that_a_kept_snapshot_shares_stays(table: Table, journal: Journal) -> None:
    before = rows(table)
    assert expire(table, journal).snapshots == 6
    assert rows(table) == before


def test_a_dry_run_tells_what_would_go_and_changes_nothing(table: Table, journal: Journal) -> None:
    files = stored(table)
    done = expire(table, journal, is_dry_run=True)
    assert (done.snapshots, done.kept, done.files) == (6, 2, 6)
    assert stored(table) == files
    assert len(ids(table)) == 8


def test_a_reader_of_changes_still_finds_its_start(table: Table, journal: Journal) -> None:
    third = ids(table)[2]
    done = expire(table, journal, reader=third)
    assert (done.snapshots, done.held) == (2, {third: "reader"})
    assert sorted(read_appended(table, ("id",), after=third).read_all()["id"].to_pylist()) == sorted(
        [3, 4, 5, 6, 7] * 2
    )


def test_a_tagged_snapshot_can_be_read_afterwards(table: Table, journal: Journal) -> None:
    second = ids(table)[1]
    table.manage_snapshots().create_tag(second, "release").commit()
    compact_table(table, SizePolicy(), journal)
    expire(table, journal, Retention(0, 1))
    assert len(table.scan(snapshot_id=second).to_arrow()) == 4
    assert len(rows(table)) == 16


def test_properties_of_the_table_go_before_the_settings(table: Table, journal: Journal) -> None:
    with table.transaction() as transaction:
        transaction.set_properties({"history.expire.min-snapshots-to-keep": "5"})
    assert expire(table, journal).kept == 5
    with table.transaction() as transaction:
        transaction.set_properties({"history.expire.max-snapshot-age-ms": str(60 * 86_400_000)})
    assert expire(table, journal).kept == 5


def test_a_table_that_shares_its_files_is_left_alone(table: Table, journal: Journal) -> None:
    with table.transaction() as transaction:
        transaction.set_properties({"gc.enabled": "false"})
    assert expire(table, journal).skipped == "its property gc.enabled is false"
    assert len(ids(table)) == 8


def test_nobody_is_asked_while_nothing_is_old(table: Table, journal: Journal) -> None:
    def ask() -> Needed:
        raise AssertionError("asked")

    assert expire_table(table, Retention(), ask, journal, datetime.now(UTC)).kept == 8


def test_what_was_rolled_back_expires_with_age(table: Table, journal: Journal) -> None:
    table.manage_snapshots().rollback_to_snapshot(ids(table)[5]).commit()
    before = rows(table)
    assert expire(table, journal).snapshots == 6
    assert rows(table) == before
    assert leftovers(table) == set()


# --- beside others ----------------------------------------------------------------------------------------------------


def test_an_append_meanwhile_costs_another_try(table: Table, journal: Journal) -> None:
    other = table.catalog.load_table(NAME)
    with meanwhile(table, lambda: add(other, 100)):
        done = expire(table, journal)
    assert (done.snapshots, done.kept) == (6, 3)
    assert len(rows(table)) == 18
    assert leftovers(table) == set()


def test_a_rollback_meanwhile_keeps_what_it_went_to(table: Table, journal: Journal) -> None:
    other, third = table.catalog.load_table(NAME), ids(table)[2]
    with meanwhile(table, lambda: other.manage_snapshots().rollback_to_snapshot(third).commit()):
        expire(table, journal)
    table.refresh()
    assert current_id(table) == third
    assert len(rows(table)) == 6


def test_a_table_that_never_stands_still_is_left_alone(
    table: Table, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CommitFailedException("moved")

    files = stored(table)
    monkeypatch.setattr(commits, "_COMMIT_S", 0.1)
    monkeypatch.setattr(table.catalog, "commit_table", refuse)
    with pytest.raises(CatalogError, match="faster than the expiry"):
        expire(table, journal)
    monkeypatch.undo()
    assert clean_up(table, journal) == 0
    assert stored(table) == files


# --- killed -----------------------------------------------------------------------------------------------------------


class KilledError(Exception):
    """The process ended here."""


@pytest.mark.parametrize("moment", ["before the commit", "after the commit", "answer lost", "while deleting"])
def test_a_kill_leaves_the_rows_and_the_next_run_cleans_up(
    table: Table, journal: Journal, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before, commit = rows(table), table.catalog.commit_table

    def be_killed(*arguments: object) -> None:
        if moment != "before the commit":
            commit(*arguments)  # pyright: ignore[reportArgumentType]
        if moment == "answer lost":
            raise CommitStateUnknownException("504")
        raise KilledError

    def delete_some(self: object, locations: set[str]) -> None:
        Path(min(locations)).unlink()
        raise KilledError

    with monkeypatch.context() as patch:
        if moment == "while deleting":
            patch.setattr("orchestration.catalog.expiry.Store.delete", delete_some)
        else:
            patch.setattr(table.catalog, "commit_table", be_killed)
        with pytest.raises((KilledError, CatalogError)):
            expire(table, journal)
    assert rows(table) == before

    clean_up(table, journal)
    expire(table, journal)
    assert len(ids(table)) == 2
    assert rows(table) == before
    assert leftovers(table) == set()
    assert journal.locations() == []


def test_a_journal_of_another_table_of_this_name_deletes_nothing(
    table: Table, journal: Journal, tmp_path: Path
) -> None:
    foreign = tmp_path / "elsewhere"
    foreign.write_text("kept")
    journal.add([f"file:{foreign}"])
    assert clean_up(table, journal) == 0
    assert foreign.exists()
    assert journal.locations() == []


def test_the_commits_of_flink_jobs_are_seen(iceberg: Catalog) -> None:
    table = make_table(iceberg, commits=0)
    for checkpoint in range(1, 6):
        add_by_flink(table, "stream" if checkpoint < 3 else "next", checkpoint)
    plan = plan_table(table, LAST_TWO, Needed(jobs={"stream"}), NOW)
    assert plan.expired == tuple(ids(table)[:1])
    assert plan.held == {ids(table)[1]: "last commit of Flink job stream"}


def add_by_flink(table: Table, job: str, checkpoint: int) -> None:
    summary = {"flink.job-id": job, "flink.max-committed-checkpoint-id": str(checkpoint)}
    table.append(table.schema().as_arrow().empty_table(), snapshot_properties=summary)
