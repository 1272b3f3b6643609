"""Marks: written after the data, without a snapshot, and never misread."""

from __future__ import annotations

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from orchestration.catalog.progress import BronzeMark, SilverMark, clear_mark, read_mark, write_mark
from orchestration.errors import CatalogError
from tests.unit.tables import append_offsets, bronze_table

MARK = BronzeMark(snapshot_id=5, next_offsets={0: 3, 1: 9}, dead_lettered=2)


@pytest.fixture
def table(iceberg: Catalog) -> Table:
    return bronze_table(iceberg)


def reload(iceberg: Catalog) -> Table:
    return iceberg.load_table("bronze.raw_rides")


def test_a_new_table_has_no_mark(table: Table) -> None:
    assert read_mark(table, BronzeMark) is None


@pytest.mark.parametrize(
    "mark",
    [
        MARK,
        BronzeMark(),
        SilverMark(bronze_snapshot_id=2**62, snapshot_id=None, rejected_snapshot_id=7, fingerprint="ab"),
    ],
    ids=["bronze", "empty bronze", "silver"],
)
def test_a_mark_survives_the_table(iceberg: Catalog, table: Table, mark: BronzeMark | SilverMark) -> None:
    write_mark(table, mark)
    assert read_mark(reload(iceberg), type(mark)) == mark


def test_a_mark_adds_no_snapshot(iceberg: Catalog, table: Table) -> None:
    append_offsets(table, (0, 0))
    write_mark(table, MARK)
    assert len(reload(iceberg).snapshots()) == 1


def test_writing_the_same_mark_again_commits_nothing(iceberg: Catalog, table: Table) -> None:
    write_mark(table, MARK)
    before = reload(iceberg).metadata_location
    write_mark(reload(iceberg), MARK)
    assert reload(iceberg).metadata_location == before


def test_clearing_takes_the_mark_away_and_may_be_repeated(iceberg: Catalog, table: Table) -> None:
    write_mark(table, MARK)
    clear_mark(table)
    before = reload(iceberg).metadata_location
    clear_mark(reload(iceberg))
    assert read_mark(reload(iceberg), BronzeMark) is None
    assert reload(iceberg).metadata_location == before


def test_a_mark_is_set_although_another_writer_came_between(iceberg: Catalog, table: Table) -> None:
    stale = reload(iceberg)
    append_offsets(table, (0, 0))
    write_mark(stale, MARK)
    assert read_mark(reload(iceberg), BronzeMark) == MARK


def test_a_table_that_always_changes_under_the_mark_is_an_error(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def refuse(*_: object) -> None:
        tries.append(1)
        raise CommitFailedException("branch main changed")

    monkeypatch.setattr(table.catalog, "commit_table", refuse)
    with pytest.raises(CommitFailedException):
        write_mark(table, MARK)
    assert len(tries) >= 2


@pytest.mark.parametrize("text", ["", "[]", "no JSON", '{"next_offsets": {"a": 1}}', '{"dead_lettered": "many"}'])
def test_a_property_that_is_no_mark_is_refused(table: Table, text: str) -> None:
    with table.transaction() as transaction:
        transaction.set_properties({"millrace.progress": text})
    with pytest.raises(CatalogError) as error:
        read_mark(table, BronzeMark)
    assert "millrace.progress of bronze.raw_rides is not a BronzeMark" in error.value.message


def test_a_field_of_a_later_version_is_ignored(table: Table) -> None:
    with table.transaction() as transaction:
        transaction.set_properties({"millrace.progress": MARK.model_dump_json()[:-1] + ', "more": 1}'})
    assert read_mark(table, BronzeMark) == MARK
