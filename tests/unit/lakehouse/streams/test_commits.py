"""Whether a saved state of a stream still fits its tables."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from orchestration.errors import NotFoundError
from orchestration.lakehouse.streams.commits import Commit, History, SavedState, read_history, read_state, why_not
from tests.unit.tables import BRONZE, append, bronze_table, roll_back, snapshot_id

A, B, C = "a" * 32, "b" * 32, "c" * 32


def history(*commits: tuple[str, int], **facts: Any) -> History:
    rolled_back = tuple(Commit(0, job, number) for job, number in facts.pop("rolled_back", ()))
    made = tuple(Commit(n, job, number) for n, (job, number) in enumerate(commits))
    return History("bronze.raw", made, rolled_back=rolled_back, **facts)


def saved(job: str, checkpoint: int) -> SavedState:
    name = f"{job}/chk-{checkpoint}" if len(job) == 32 else f"savepoint-{job}-0123456789ab"
    return SavedState(f"file:/s/{name}", checkpoint, job)


@pytest.mark.parametrize(
    ("state", "bronze", "newest_job"),
    [
        pytest.param(saved(A, 5), history(), A, id="nothing was committed"),
        pytest.param(saved(A, 5), history((A, 5)), A, id="the last commit is of this very checkpoint"),
        pytest.param(saved(A, 9), history((A, 5)), A, id="checkpoints without a row make no commit"),
        pytest.param(saved("aaaaaa", 5), history((A, 5)), B, id="a savepoint names six digits of its job"),
        pytest.param(saved(B, 9), history((A, 5)), B, id="a restored job counts on, and has committed nothing yet"),
        pytest.param(saved(A, 5), history((A, 4), rolled_back=[(A, 9)]), A, id="what was rolled back came after it"),
    ],
)
def test_a_state_that_fits_is_taken(state: SavedState, bronze: History, newest_job: str) -> None:
    assert why_not(state, [bronze], newest_job=newest_job) is None


@pytest.mark.parametrize(
    ("state", "bronze", "reason"),
    [
        pytest.param(saved(A, 5), history((A, 6)), "would skip commits", id="the table went on"),
        pytest.param(saved(A, 5), history((A, 5), loaded_since=True), "by other means", id="a batch run loaded since"),
        pytest.param(saved(A, 5), history(loaded_since=True), "by other means", id="only batch runs loaded"),
        pytest.param(saved(A, 9), history((A, 9), (B, 3)), "another job", id="a fresh job wrote since"),
        pytest.param(saved(A, 9), history((A, 4), rolled_back=[(A, 8)]), "rolled back", id="rolled back behind it"),
        pytest.param(saved(A, 9), history(rolled_back=[(A, 8)]), "rolled back", id="rolled back to nothing"),
        pytest.param(saved(C, 3), history((A, 9)), "skip commits", id="a fresh job that committed nothing"),
    ],
)
def test_a_state_that_would_lose_or_repeat_rows_is_refused(state: SavedState, bronze: History, reason: str) -> None:
    newest = C if state.job == C else B
    assert reason in (why_not(state, [bronze], newest_job=newest) or "")


def test_every_table_of_the_stream_is_looked_at() -> None:
    silver = History("silver.clean", (Commit(1, A, 7),))
    assert "silver.clean" in (why_not(saved(A, 6), [history((A, 6)), silver], newest_job=A) or "")


@pytest.mark.parametrize(
    ("state", "silver", "refreshed", "fits"),
    [
        pytest.param(saved(A, 7), 6, 7, False, id="silver got what the dead job had not committed from a refresh"),
        pytest.param(saved(A, 7), 7, 7, True, id="silver had it before"),
        pytest.param(saved(A, 7), 5, 6, True, id="the refresh was of before the checkpoint"),
        pytest.param(saved("aaaaaa", 7), 6, 7, True, id="a job that stops with a savepoint commits everything"),
    ],
)
def test_rows_that_a_refresh_added_are_not_committed_again(
    state: SavedState, silver: int, refreshed: int, fits: bool
) -> None:
    tables = [history((A, 7)), History("silver.clean", (Commit(1, A, silver),))]
    reason = why_not(state, tables, newest_job=A, refreshed=Commit(1, A, refreshed))
    assert (reason is None) is fits


def commit(table: Table, job: str, checkpoint: int) -> int:
    rows = pa.Table.from_pylist([{"_kafka_offset": checkpoint}], schema=BRONZE)
    properties = {"flink.job-id": job, "flink.max-committed-checkpoint-id": str(checkpoint)}
    table.append(rows, snapshot_properties=properties)
    return snapshot_id(table)


def test_commits_of_a_stream_are_told_from_those_of_batch_runs(iceberg: Catalog) -> None:
    table = bronze_table(iceberg)
    commit(table, B, 2**63 - 1)
    first = commit(table, A, 1)
    found = read_history("bronze.raw", table)
    assert (found.commits, found.loaded_since) == ((Commit(first, A, 1),), False)
    commit(table, B, 2**63 - 1)
    assert read_history("bronze.raw", table).loaded_since
    append(table, {})
    assert read_history("bronze.raw", table).last == Commit(first, A, 1)


def test_a_rollback_is_seen(iceberg: Catalog) -> None:
    table = bronze_table(iceberg)
    first, second = commit(table, A, 1), commit(table, A, 2)
    roll_back(table, first)
    found = read_history("bronze.raw", table)
    assert (found.commits, found.rolled_back) == ((Commit(first, A, 1),), (Commit(second, A, 2),))


def test_a_table_that_does_not_exist_has_no_history() -> None:
    assert read_history("bronze.raw", None) == History("bronze.raw")


def test_a_retained_checkpoint_says_its_number_in_its_path() -> None:
    path = f"file:/checkpoints/{A}/chk-17"
    assert read_state(path, None) == SavedState(path, 17, A)


def test_the_number_of_a_savepoint_is_read_from_its_metadata(tmp_path: Path) -> None:
    folder = tmp_path / "savepoint-abcdef-0123456789ab"
    folder.mkdir()
    (folder / "_metadata").write_bytes(struct.pack(">IIq", 0x4960672D, 5, 42) + b"rest")
    assert read_state(folder.as_uri(), folder) == SavedState(folder.as_uri(), 42, "abcdef")


@pytest.mark.parametrize("content", [None, b"", b"something else, and long enough"])
def test_what_is_no_savepoint_is_not_taken_for_one(tmp_path: Path, content: bytes | None) -> None:
    folder = tmp_path / "savepoint-abcdef-0123456789ab"
    folder.mkdir()
    if content is not None:
        (folder / "_metadata").write_bytes(content)
    with pytest.raises(NotFoundError):
        read_state(folder.as_uri(), folder)
