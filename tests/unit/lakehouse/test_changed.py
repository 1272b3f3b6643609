"""Whether the rows of a table changed, on real Iceberg metadata and on summaries as Flink writes them."""

from __future__ import annotations

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot, Summary

from orchestration.lakehouse.changed import changes_rows, has_changed
from tests.unit.tables import append_offsets, bronze_table, expire, roll_back


@pytest.fixture
def table(iceberg: Catalog) -> Table:
    return bronze_table(iceberg)


def test_an_empty_table_has_not_changed(table: Table) -> None:
    assert not has_changed(table, None)


def test_appends_and_deletes_are_changes(table: Table) -> None:
    first = append_offsets(table, (0, 1), (0, 2))
    assert has_changed(table, None)
    assert not has_changed(table, first)
    table.delete(EqualTo("_kafka_offset", 2))
    assert has_changed(table, first)


def test_a_history_that_is_gone_counts_as_changed(table: Table) -> None:
    first, second, third = (append_offsets(table, (0, n)) for n in range(3))
    roll_back(table, second)
    assert has_changed(table, third)
    expire(table, first)
    assert has_changed(table, 12345)


@pytest.mark.parametrize(
    ("operation", "summary", "expected"),
    [
        pytest.param(Operation.APPEND, {"added-records": "3", "added-data-files": "1"}, True, id="append"),
        pytest.param(Operation.OVERWRITE, {"deleted-records": "3", "deleted-data-files": "1"}, True, id="overwrite"),
        pytest.param(Operation.DELETE, {"added-delete-files": "1"}, True, id="delete file"),
        pytest.param(Operation.REPLACE, {"added-records": "3", "deleted-records": "3"}, False, id="compaction"),
        pytest.param(
            Operation.APPEND,
            {"flink.job-id": "ab", "flink.max-committed-checkpoint-id": "30", "total-records": "9"},
            False,
            id="empty commit of Flink's sink",
        ),
    ],
)
def test_what_a_snapshot_says_decides(operation: Operation, summary: dict[str, str], expected: bool) -> None:
    snapshot = Snapshot(
        snapshot_id=1, timestamp_ms=1, manifest_list="m", summary=Summary(operation, **summary), schema_id=0
    )
    assert changes_rows(snapshot) is expected
