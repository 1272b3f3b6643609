"""Compaction on a real Iceberg table: the same rows in fewer files, beside writers, and after a kill at each step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.types import LongType

from orchestration.catalog import commits, rewrite
from orchestration.catalog.compact import Compacted, compact_table, plan_compaction
from orchestration.catalog.compaction import SizePolicy
from orchestration.catalog.expiry import clean_up
from orchestration.catalog.journal import Journal
from orchestration.catalog.snapshots import added_rows, current_id, holds_rows_of, read_appended, snapshots_after
from orchestration.errors import CatalogError
from tests.unit.catalog.many_commits import NAME, add, data_files, delete_positions, make_table, meanwhile, rows, stored

POLICY = SizePolicy()


@pytest.fixture
def table(iceberg: Catalog) -> Table:
    return make_table(iceberg)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def writer(table: Table) -> Table:
    """Return the table as another process sees it."""
    return table.catalog.load_table(NAME)


def compact(table: Table, journal: Journal) -> Compacted:
    table.refresh()
    return compact_table(table, POLICY, journal)


def summary(table: Table, key: str) -> str | None:
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    return snapshot.summary.get(key)


def test_each_partition_becomes_one_file_with_the_same_rows(table: Table, journal: Journal) -> None:
    before = rows(table)
    done = compact(table, journal)
    assert (done.files_before, done.files_after, done.removed, done.added) == (24, 2, 24, 2)
    assert (done.manifests_before, done.conflicts, done.deletes_removed) == (12, 0, 0)
    assert rows(table) == before
    assert len(data_files(table)) == 2
    assert journal.locations() == []


def test_a_second_run_does_nothing(table: Table, journal: Journal) -> None:
    compact(table, journal)
    files, again = stored(table), compact(table, journal)
    assert (again.snapshot_ids, again.removed, again.added) == ((), 0, 0)
    assert stored(table) == files


def test_a_table_that_was_never_written_needs_nothing(iceberg: Catalog, journal: Journal) -> None:
    assert compact(make_table(iceberg, commits=0), journal) == Compacted()


def test_the_commit_is_a_replace_and_its_totals_are_those_of_before(table: Table, journal: Journal) -> None:
    compact(table, journal)
    assert summary(table, "operation") is Operation.REPLACE
    assert (summary(table, "total-records"), summary(table, "total-data-files")) == ("24", "2")
    assert (summary(table, "added-records"), summary(table, "deleted-records")) == ("24", "24")


def test_readers_of_appends_pass_over_it(table: Table, journal: Journal) -> None:
    start = current_id(table)
    compact(table, journal)
    assert holds_rows_of(table, start)
    add(table, 100)
    newer = snapshots_after(table, start)
    assert newer is not None
    assert [one.summary.operation for one in newer if one.summary] == [Operation.APPEND, Operation.REPLACE]
    assert added_rows(newer) == 2
    assert sorted(read_appended(table, ("id",), after=start).read_all()["id"].to_pylist()) == [100, 100]
    assert not holds_rows_of(table, start)


def test_old_snapshots_can_still_be_read(table: Table, journal: Journal) -> None:
    before, start = rows(table), current_id(table)
    compact(table, journal)
    old = table.scan(snapshot_id=start).to_arrow().to_pylist()
    assert sorted((row["day"], row["id"], row["note"]) for row in old) == before


def test_columns_that_came_later_are_null_in_rows_of_before(table: Table, journal: Journal) -> None:
    with table.update_schema() as schema:
        schema.add_column("extra", LongType())
    before = rows(table)
    compact(table, journal)
    assert rows(table) == before
    assert set(table.scan().to_arrow()["extra"].to_pylist()) == {None}


def test_properties_that_the_writer_does_not_know_are_not_handed_to_it(table: Table, journal: Journal) -> None:
    # PyIceberg warns of this one, and a warning fails a test.
    with table.transaction() as transaction:
        transaction.set_properties({"write.parquet.row-group-size-bytes": "1"})
    assert compact(table, journal).added == 2


def test_many_manifests_of_large_files_are_merged_alone(table: Table, journal: Journal) -> None:
    before, files = rows(table), sorted(data_files(table))
    done = compact_table(table, SizePolicy(min_bytes=1), journal)
    assert (done.removed, done.manifests_before, done.manifests_after) == (0, 12, 1)
    assert (rows(table), sorted(data_files(table))) == (before, files)
    assert summary(table, "operation") is Operation.REPLACE


# --- deletes ----------------------------------------------------------------------------------------------------------


def test_deleted_rows_and_their_delete_files_go(table: Table, journal: Journal) -> None:
    files = data_files(table)
    delete_positions(table, files[0], 0)
    delete_positions(table, files[5], 0)
    before = rows(table)
    assert len(before) == 22
    done = compact(table, journal)
    assert (done.deletes_removed, done.files_after) == (2, 2)
    assert rows(table) == before
    assert (summary(table, "total-records"), summary(table, "total-delete-files")) == ("22", "0")
    assert not plan_compaction(table, POLICY).is_needed


def test_a_partition_that_is_deleted_whole_leaves_no_file(iceberg: Catalog, journal: Journal) -> None:
    table = make_table(iceberg, commits=1)
    for file in data_files(table):
        delete_positions(table, file, 0)
    done = compact(table, journal)
    assert (done.removed, done.added, done.files_after) == (2, 0, 0)
    assert rows(table) == []


def test_a_delete_file_that_no_live_row_needs_goes_alone(iceberg: Catalog, journal: Journal) -> None:
    table = make_table(iceberg, commits=1)
    delete_positions(table, data_files(table)[0], 0)
    table.delete(EqualTo("day", 0))
    table.delete(EqualTo("day", 1))
    add(table, 7)
    assert plan_compaction(table, POLICY).dangling == 1
    done = compact(table, journal)
    assert (done.removed, done.deletes_removed) == (0, 1)
    assert len(rows(table)) == 2


def test_deletes_by_value_are_left_alone_with_a_reason(table: Table, journal: Journal) -> None:
    delete_positions(table, data_files(table)[0], 0, content=2)
    assert "deletes by value" in (compact(table, journal).skipped or "")


def test_other_format_versions_are_left_alone_with_a_reason(iceberg: Catalog, journal: Journal) -> None:
    table = make_table(iceberg, commits=6, **{"format-version": "1"})
    assert compact(table, journal).skipped == "format version 1: only version 2 is compacted"


def test_nothing_changes_when_other_rows_come_out_than_the_metadata_says(
    table: Table, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, head, files = rows(table), current_id(table), stored(table)
    monkeypatch.setattr(rewrite, "_read", lambda *_: iter(()))
    with pytest.raises(CatalogError, match="12 files hold 12 live rows by their metadata, but 0 were read"):
        compact(table, journal)
    clean_up(table, journal)
    assert (rows(table), current_id(table), stored(table)) == (before, head, files)


# --- beside writers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
def test_a_faster_append_costs_another_try_and_no_row(table: Table, journal: Journal, times: int) -> None:
    other, numbers = writer(table), iter(range(100, 200))
    with meanwhile(table, lambda: add(other, next(numbers)), times):
        done = compact(table, journal)
    assert (done.conflicts, done.removed) == (0, 24)
    assert len(rows(table)) == 2 * (12 + times)
    assert len(data_files(table)) == 2 * (1 + times)
    assert len([path for path in stored(table) if path.name.startswith("compact-")]) == 2


def test_files_that_a_writer_replaced_are_left_to_it(table: Table, journal: Journal) -> None:
    other = writer(table)
    with meanwhile(table, lambda: other.delete(EqualTo("day", 1))):
        done = compact(table, journal)
    assert (done.conflicts, done.removed, done.added) == (1, 12, 1)
    assert {row[0] for row in rows(table)} == {0}
    assert len(rows(table)) == 12
    assert len([path for path in stored(table) if path.name.startswith("compact-")]) == 1


def test_rows_that_a_writer_deleted_do_not_come_back(table: Table, journal: Journal) -> None:
    other, target = writer(table), data_files(table)[0]
    with meanwhile(table, lambda: delete_positions(other, target, 0)):
        compact(table, journal)
    assert len(rows(table)) == 23


def test_manifests_that_a_writer_merged_are_planned_anew(table: Table, journal: Journal, tmp_path: Path) -> None:
    other, second = writer(table), Journal(tmp_path / "second")
    before = rows(table)
    with meanwhile(table, lambda: compact_table(other, SizePolicy(min_bytes=1), second)):
        done = compact(table, journal)
    assert (done.conflicts, done.removed) == (0, 24)
    assert rows(table) == before


def test_two_compactions_at_once_do_the_work_once(table: Table, journal: Journal, tmp_path: Path) -> None:
    other, second, before = writer(table), Journal(tmp_path / "second"), rows(table)
    with meanwhile(table, lambda: compact_table(other, POLICY, second)):
        done = compact(table, journal)
    assert (done.conflicts, done.removed, done.snapshot_ids) == (2, 0, ())
    assert rows(table) == before
    assert len(data_files(table)) == 2
    assert len([path for path in stored(table) if path.name.startswith("compact-")]) == 2


def test_writers_that_never_rest_win(table: Table, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    before, files = rows(table), stored(table)

    def refuse(*_: object) -> None:
        raise CommitFailedException("somebody was faster")

    monkeypatch.setattr(commits, "_COMMIT_S", 0.2)
    monkeypatch.setattr(table.catalog, "commit_table", refuse)
    with pytest.raises(CatalogError, match="writers committed faster"):
        compact(table, journal)
    monkeypatch.undo()
    assert (rows(table), stored(table)) == (before, files)


def test_a_commit_whose_answer_was_lost_counts(table: Table, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, before = table.catalog.commit_table, rows(table)

    def lose_the_answer(*arguments: object) -> None:
        commit(*arguments)  # pyright: ignore[reportArgumentType]
        raise CommitStateUnknownException("504")

    monkeypatch.setattr(table.catalog, "commit_table", lose_the_answer)
    assert compact(table, journal).removed == 24
    assert rows(table) == before


def test_a_commit_that_may_still_arrive_leaves_its_files_to_the_next_run(
    table: Table, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, files = rows(table), stored(table)

    def be_silent(*_: object) -> None:
        raise CommitStateUnknownException("504")

    monkeypatch.setattr(table.catalog, "commit_table", be_silent)
    with pytest.raises(CatalogError, match="did not say whether it took the commit"):
        compact(table, journal)
    monkeypatch.undo()
    assert stored(table) > files
    assert clean_up(table, journal) == 5
    assert (rows(table), stored(table)) == (before, files)


# --- killed -----------------------------------------------------------------------------------------------------------


class KilledError(Exception):
    """The process ended here."""


def kill(*_: object, **__: object) -> None:
    raise KilledError


def kill_after(step: Callable[..., object]) -> Callable[..., object]:
    def run(*arguments: object, **named: object) -> None:
        step(*arguments, **named)
        raise KilledError

    return run


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("orchestration.catalog.compact", "write_merged"),
        ("orchestration.catalog.replace", "write_manifests"),
        ("orchestration.catalog.replace", "write_list"),
        ("orchestration.catalog.replace.Replacement", "_send"),
        ("orchestration.catalog.replace.Replacement", "_discard"),
    ],
)
def test_a_kill_leaves_the_rows_and_the_next_run_cleans_up(
    table: Table, journal: Journal, monkeypatch: pytest.MonkeyPatch, owner: str, name: str, moment: str
) -> None:
    before = rows(table)
    with monkeypatch.context() as patch:
        place = f"{owner}.{name}"
        if moment == "before":
            patch.setattr(place, kill)
        else:
            module, _, leaf = owner.rpartition(".")
            holder = getattr(__import__(module, fromlist=[leaf]), leaf)
            patch.setattr(place, kill_after(getattr(holder, name)))
        with pytest.raises(KilledError):
            compact(table, journal)
    assert rows(table) == before

    table.refresh()
    clean_up(table, journal)
    compact(table, journal)
    assert rows(table) == before
    assert len(data_files(table)) == 2
    assert len([path for path in stored(table) if path.name.startswith("compact-")]) == 2
    assert journal.locations() == []
