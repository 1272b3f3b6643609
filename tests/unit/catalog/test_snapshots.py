"""What happened in a table since a snapshot, on real Iceberg metadata."""

from __future__ import annotations

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table

from orchestration.catalog.snapshots import (
    added_rows,
    ancestry,
    current_id,
    read_appended,
    snapshots_after,
    total_rows,
)
from tests.unit.tables import append_offsets, bronze_table, expire, pairs, roll_back

PLACE = ("_kafka_partition", "_kafka_offset")


@pytest.fixture
def table(iceberg: Catalog) -> Table:
    return bronze_table(iceberg)


def ids_after(table: Table, snapshot: int | None) -> list[int] | None:
    newer = snapshots_after(table, snapshot)
    return None if newer is None else [item.snapshot_id for item in newer]


def read(table: Table, *, after: int | None, upto: int | None = None) -> list[tuple[int, int]]:
    return pairs(read_appended(table, PLACE, after=after, upto=upto))


def test_a_table_that_was_never_written_has_no_history(table: Table) -> None:
    assert ancestry(table) == []
    assert snapshots_after(table, None) == []
    assert (current_id(table), total_rows(table)) == (None, 0)
    assert read(table, after=None) == []


def test_a_table_that_does_not_exist_has_no_rows() -> None:
    assert total_rows(None) == 0


def test_history_is_newest_first(table: Table) -> None:
    first, second, third = (append_offsets(table, (0, n)) for n in range(3))
    assert [item.snapshot_id for item in ancestry(table)] == [third, second, first]
    assert ids_after(table, None) == [third, second, first]
    assert ids_after(table, first) == [third, second]
    assert ids_after(table, third) == []
    assert current_id(table) == third


def test_only_appended_rows_count_as_added(table: Table) -> None:
    first = append_offsets(table, (0, 0))
    append_offsets(table, (0, 1), (0, 2))
    table.delete(EqualTo("_kafka_offset", 1))
    newer = snapshots_after(table, first)
    assert newer is not None
    assert len(newer) >= 2
    assert added_rows(newer) == 2
    assert total_rows(table) == 2


def test_a_snapshot_that_was_rolled_back_is_no_ancestor(table: Table) -> None:
    first = append_offsets(table, (0, 0))
    gone = append_offsets(table, (0, 1))
    roll_back(table, first)
    assert ids_after(table, gone) is None
    fresh = append_offsets(table, (0, 2))
    assert ids_after(table, gone) is None
    assert ids_after(table, first) == [fresh]


def test_an_expired_snapshot_is_a_valid_start_while_the_oldest_kept_one_follows_it(table: Table) -> None:
    first, second, third = (append_offsets(table, (0, n)) for n in range(3))
    # As Iceberg's own expiry leaves it: the parent's id stays (PyIceberg's expiry forgets it).
    kept = [item for item in table.metadata.snapshots if item.snapshot_id != first]
    table.metadata = table.metadata.model_copy(update={"snapshots": kept})
    assert ids_after(table, first) == [third, second]
    assert read(table, after=first) == [(0, 1), (0, 2)]


def test_a_snapshot_further_back_than_the_kept_history_is_no_start(table: Table) -> None:
    first, second, third = (append_offsets(table, (0, n)) for n in range(3))
    expire(table, first, second)
    assert ids_after(table, first) is None
    assert ids_after(table, third) == []


@pytest.mark.parametrize(
    ("after", "upto", "rows"),
    [
        (None, None, [(0, 0), (0, 1), (1, 0), (1, 1)]),
        (None, 0, [(0, 0), (1, 0)]),
        (0, None, [(0, 1), (1, 1)]),
        (0, 1, [(0, 1)]),
        (2, 2, []),
    ],
    ids=["all", "up to the first", "after the first", "between", "after the last"],
)
def test_rows_are_read_by_the_snapshots_that_added_them(
    table: Table, after: int | None, upto: int | None, rows: list[tuple[int, int]]
) -> None:
    ids = [append_offsets(table, (0, 0), (1, 0)), append_offsets(table, (0, 1)), append_offsets(table, (1, 1))]
    found = read(table, after=None if after is None else ids[after], upto=None if upto is None else ids[upto])
    assert found == rows


def test_all_rows_are_read_although_the_snapshots_that_added_them_expired(table: Table) -> None:
    first = append_offsets(table, (0, 0), (1, 7))
    append_offsets(table, (0, 1))
    expire(table, first)
    assert read(table, after=None) == [(0, 0), (0, 1), (1, 7)]
