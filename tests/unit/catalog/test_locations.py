"""One spelling for each file, and what a store does with files below a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.io.pyarrow import PyArrowFileIO

from orchestration.catalog.journal import Journal
from orchestration.catalog.locations import Store, guarded_by, is_below, normalize


@pytest.mark.parametrize(
    ("spelled", "wanted"),
    [
        ("/warehouse/t/a.parquet", "/warehouse/t/a.parquet"),
        ("file:/warehouse/t/a.parquet", "/warehouse/t/a.parquet"),
        ("file:///warehouse/t/a.parquet", "/warehouse/t/a.parquet"),
        ("file://localhost/warehouse/t/a.parquet", "/warehouse/t/a.parquet"),
        ("FILE:///warehouse//t/a.parquet", "/warehouse/t/a.parquet"),
        ("file:/warehouse/day=2024-01-01 00%3A00/a", "/warehouse/day=2024-01-01 00%3A00/a"),
        ("s3://bucket/t/a.parquet", "s3://bucket/t/a.parquet"),
        ("s3a://bucket/t/a.parquet", "s3://bucket/t/a.parquet"),
        ("s3n://bucket/t/a.parquet", "s3://bucket/t/a.parquet"),
        ("s3://bucket/t//a", "s3://bucket/t//a"),
        ("s3://Bucket/T/", "s3://Bucket/T"),
        ("gcs://bucket/a", "gs://bucket/a"),
        ("abfs://c@account.dfs.core.windows.net/a", "abfss://c@account.dfs.core.windows.net/a"),
    ],
)
def test_spellings_of_a_location(spelled: str, wanted: str) -> None:
    assert normalize(spelled) == wanted


path = st.lists(st.text("ab =%-.", min_size=1).filter(lambda part: part.strip("/")), min_size=1).map("/".join)


@given(path)
def test_all_spellings_of_a_local_file_are_one(name: str) -> None:
    assert len({normalize(f"{prefix}/{name}") for prefix in ("", "file:", "file://", "file://localhost")}) == 1


@given(path, st.sampled_from(["file:/", "s3a://bucket/", "/"]))
def test_the_one_spelling_stays_as_it_is(name: str, prefix: str) -> None:
    assert normalize(normalize(prefix + name)) == normalize(prefix + name)


def test_a_folder_holds_what_lies_in_it_and_not_what_only_starts_alike() -> None:
    assert is_below("file:/w/t/data/a", "file:///w/t/")
    assert is_below("/w/t", "file:/w/t")
    assert not is_below("/w/t2/a", "/w/t")


def test_a_checksum_file_speaks_of_its_file() -> None:
    assert guarded_by("/t/metadata/.snap-1.avro.crc") == "/t/metadata/snap-1.avro"
    assert guarded_by("/t/.hidden") == "/t/.hidden"
    assert guarded_by("/t/a.crc") == "/t/a.crc"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    for name in ("data/a", "data/.a.crc", "data/day=1/b", "metadata/c"):
        file = tmp_path / "t" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("abc")
    (tmp_path / "t2").mkdir()
    (tmp_path / "t2" / "other").write_text("not ours")
    return Store(PyArrowFileIO(), f"file:{tmp_path}/t/")


def names(store: Store, folder: str | None = None) -> set[str]:
    return {file.location.removeprefix(f"{store.root}/") for file in store.list(folder)}


def test_a_store_lists_the_files_of_its_folder_with_size_and_time(store: Store) -> None:
    assert names(store) == {"data/a", "data/.a.crc", "data/day=1/b", "metadata/c"}
    assert {file.size_bytes for file in store.list()} == {3}
    assert all(file.modified_at is not None and file.modified_at.tzinfo is not None for file in store.list())
    assert names(store, f"{store.root}/metadata") == {"metadata/c"}
    assert names(store, f"file://{store.root}/nothing") == set()


def test_deleting_takes_the_checksum_along_and_does_not_mind_what_is_gone(store: Store) -> None:
    assert store.delete([f"file:{store.root}/data/a", f"{store.root}/data/gone"]) == 1
    assert names(store) == {"data/day=1/b", "metadata/c"}


def test_moving_makes_the_folder_and_can_be_repeated(store: Store) -> None:
    target = f"{store.root}/quarantine/x/data/a"
    assert store.move(f"file://{store.root}/data/a", target)
    assert not store.move(f"{store.root}/data/a", target)
    assert names(store) == {"quarantine/x/data/a", "data/.a.crc", "data/day=1/b", "metadata/c"}


def test_a_journal_remembers_until_it_is_cleared(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "t.jsonl")
    assert journal.locations() == []
    journal.add(["file:/a b", "/c\n"])
    journal.add(["s3://d"])
    assert Journal(tmp_path / "deep" / "t.jsonl").locations() == ["file:/a b", "/c\n", "s3://d"]
    journal.clear()
    journal.clear()
    assert journal.locations() == []


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "t.jsonl")
    journal.add(["/a"])
    with (tmp_path / "t.jsonl").open("a") as file:
        file.write('"/b')
    assert journal.locations() == ["/a"]
