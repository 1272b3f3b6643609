"""Replacing single rows beside a writer that appends."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table, Transaction

from orchestration.catalog.mend import replace_rows
from orchestration.catalog.snapshots import total_rows

SCHEMA = pa.schema([("day", pa.int32()), ("key", pa.string()), ("value", pa.int64())])


def rows(*values: tuple[int, str, int]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, one, strict=True)) for one in values], schema=SCHEMA)


def keys(*values: tuple[int, str]) -> list[dict[str, Any]]:
    return [{"day": day, "key": key} for day, key in values]


def content(table: Table) -> list[tuple[int, str, int]]:
    return sorted(tuple(row.values()) for row in table.refresh().scan().to_arrow().to_pylist())


@pytest.fixture
def table(iceberg: Catalog) -> Table:
    iceberg.create_namespace_if_not_exists("silver")
    made = iceberg.create_table("silver.mended", schema=SCHEMA)
    made.append(rows((1, "a", 1), (1, "b", 1), (2, "a", 1)))
    made.append(rows((1, "a", 2), (2, "c", 1)))
    return made


def test_all_rows_of_a_key_are_replaced_and_no_others(table: Table) -> None:
    assert replace_rows(table, keys((1, "a")), rows((1, "a", 9))) == 2
    assert content(table) == [(1, "a", 9), (1, "b", 1), (2, "a", 1), (2, "c", 1)]
    assert total_rows(table) == 4


def test_a_missing_row_is_added_and_a_wrong_one_removed(table: Table) -> None:
    assert replace_rows(table, keys((2, "c"), (3, "x")), rows((3, "x", 5))) == 1
    assert content(table) == [(1, "a", 1), (1, "a", 2), (1, "b", 1), (2, "a", 1), (3, "x", 5)]


def test_nothing_to_mend_commits_nothing(table: Table) -> None:
    before = len(table.snapshots())
    assert replace_rows(table, [], rows()) == 0
    assert len(table.refresh().snapshots()) == before


def test_rows_that_are_not_there_are_no_error(table: Table) -> None:
    assert replace_rows(table, keys((7, "z")), rows()) == 0


def test_what_is_appended_meanwhile_is_kept(table: Table, iceberg: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, faster = Transaction.commit_transaction, iter([rows((1, "a", 7), (5, "n", 1))])

    def commit_after_a_stream(transaction: Transaction) -> Table:
        appended = next(faster, None)
        if appended is not None:
            iceberg.load_table("silver.mended").append(appended)
        return commit(transaction)

    replace_rows(table, [], rows((9, "isolation", 0)))
    monkeypatch.setattr(Transaction, "commit_transaction", commit_after_a_stream)
    replace_rows(table, keys((1, "a")), rows((1, "a", 9)))
    assert content(table) == [
        (1, "a", 7),
        (1, "a", 9),
        (1, "b", 1),
        (2, "a", 1),
        (2, "c", 1),
        (5, "n", 1),
        (9, "isolation", 0),
    ]
