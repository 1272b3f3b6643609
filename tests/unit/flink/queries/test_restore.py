"""The newest state of a job that the cluster forgot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestration.errors import NotFoundError
from orchestration.flink.queries.restore import RestorePoint, find_restore_point
from tests.unit.flink.queries.records import JOB, record, spec


def checkpoint(folder: Path, age_s: float, *, complete: bool = True) -> str:
    """Make a checkpoint or savepoint that was completed `age_s` ago."""
    folder.mkdir(parents=True)
    if complete:
        (folder / "_metadata").touch()
        os.utime(folder / "_metadata", (1_000_000 - age_s, 1_000_000 - age_s))
    return folder.as_uri()


def test_a_query_without_state_has_none(tmp_path: Path) -> None:
    assert find_restore_point(record(), tmp_path.as_uri()) is None
    assert find_restore_point(record(), None) is None


def test_a_checkpoint_younger_than_the_last_look_is_found_on_disk(tmp_path: Path) -> None:
    seen = checkpoint(tmp_path / JOB / "chk-9", 20)
    newest = checkpoint(tmp_path / JOB / "chk-10", 10)
    checkpoint(tmp_path / JOB / "chk-11", 0, complete=False)
    checkpoint(tmp_path / "other" / "chk-99", 0)
    found = find_restore_point(record(checkpoint_path=seen), tmp_path.as_uri())
    assert found == RestorePoint("checkpoint", newest)


def test_the_newest_of_savepoint_and_checkpoint_counts(tmp_path: Path) -> None:
    old, new = checkpoint(tmp_path / "a", 20), checkpoint(tmp_path / "b", 10)
    assert find_restore_point(record(checkpoint_path=old, savepoint_path=new), None) == RestorePoint("savepoint", new)
    assert find_restore_point(record(checkpoint_path=new, savepoint_path=old), None) == RestorePoint("checkpoint", new)


def test_a_checkpoint_that_flink_removed_gives_way_to_one_that_is_there(tmp_path: Path) -> None:
    there = checkpoint(tmp_path / JOB / "chk-10", 10)
    gone = (tmp_path / JOB / "chk-9").as_uri()
    assert find_restore_point(record(checkpoint_path=gone), str(tmp_path)) == RestorePoint("checkpoint", there)


def test_state_that_is_gone_is_an_error_and_not_a_start_from_nothing(tmp_path: Path) -> None:
    gone = (tmp_path / JOB / "chk-1").as_uri()
    with pytest.raises(NotFoundError, match=f"the last state of query 'orders' is gone: {gone}") as caught:
        find_restore_point(record(checkpoint_path=gone), tmp_path.as_uri())
    assert "--from fresh" in str(caught.value.hint)


def test_the_folder_of_the_query_itself_counts_more_than_the_cluster_s(tmp_path: Path) -> None:
    mine = checkpoint(tmp_path / "mine" / JOB / "chk-1", 10)
    own = spec(execution={"execution.checkpointing.dir": (tmp_path / "mine").as_uri()})
    found = find_restore_point(record(spec=own), (tmp_path / "cluster").as_uri())
    assert found == RestorePoint("checkpoint", mine)


def test_the_disk_of_a_cluster_in_containers_is_not_this_machine_s() -> None:
    path = "file:///flink-data/checkpoints/chk-1"
    assert find_restore_point(record(checkpoint_path=path), "file:///flink-data/checkpoints") == RestorePoint(
        "checkpoint", path
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"savepoint_path": "s3://b/sp"}, RestorePoint("savepoint", "s3://b/sp")),
        ({"savepoint_path": "s3://b/sp", "checkpoint_path": "s3://b/c"}, RestorePoint("checkpoint", "s3://b/c")),
    ],
)
def test_on_another_file_system_the_record_is_believed(fields: dict[str, str], expected: RestorePoint) -> None:
    assert find_restore_point(record(**fields), "s3://b/checkpoints") == expected
