"""Which files stand behind an address, and how they are read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as fs
import pyarrow.parquet as pq
import pytest

from orchestration.errors import InputError
from orchestration.generator import sources
from orchestration.generator.sources import find_sources, month_of, read_chunks
from orchestration.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b_2024-02.parquet", "a_2024-01.parquet", ".hidden.parquet", "notes.txt"):
        pq.write_table(pa.table({"n": [1]}), tmp_path / name)
    (tmp_path / "deep").mkdir()
    pq.write_table(pa.table({"n": [2]}), tmp_path / "deep" / "c_2024-03.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("address", "names"),
    [
        pytest.param("", ["a_2024-01.parquet", "b_2024-02.parquet"], id="folder, sorted, without hidden and others"),
        pytest.param("a_2024-01.parquet", ["a_2024-01.parquet"], id="file"),
        pytest.param("*_2024-02.parquet", ["b_2024-02.parquet"], id="glob"),
        pytest.param("**/*.parquet", ["a_2024-01.parquet", "b_2024-02.parquet", "c_2024-03.parquet"], id="deep glob"),
    ],
)
def test_an_address_stands_for_files(folder: Path, address: str, names: list[str]) -> None:
    found = find_sources(Settings(), str(folder / address))
    assert [Path(file.path).name for file in found] == names


def test_the_data_path_is_the_default(folder: Path) -> None:
    assert [file.month for file in find_sources(Settings(data_path=str(folder)))] == ["2024-01", "2024-02"]


def test_nothing_there_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_sources(Settings(data_path=str(tmp_path / "none.parquet")))
    assert str(tmp_path / "none.parquet") in caught.value.message
    assert "DATA_PATH" in caught.value.message
    assert "millrace sample" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "month"),
    [
        ("yellow_tripdata_2024-01.parquet", "2024-01"),
        ("x/2023-12/trips_2024-02_v2.parquet", "2024-02"),
        ("2024-13.parquet", None),
        ("12024-01.parquet", None),
        ("trips.parquet", None),
    ],
)
def test_the_month_is_in_the_name(name: str, month: str | None) -> None:
    assert month_of(name) == month


def test_the_hash_is_that_of_the_content(folder: Path) -> None:
    [file] = find_sources(Settings(), str(folder / "a_2024-01.parquet"))
    assert file.sha256() == hashlib.sha256((folder / "a_2024-01.parquet").read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n" * 10, b"PAR1" + b"\0" * 50 + b"PAR1"])
def test_a_file_that_is_not_parquet_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    [file] = find_sources(Settings(), str(tmp_path))
    with pytest.raises(InputError, match=r"x\.parquet is not a readable Parquet file"), file.open_parquet():
        pass


@pytest.mark.parametrize(
    ("address", "keys"),
    [
        pytest.param("s3://lake/raw", ["lake/raw/a.parquet", "lake/raw/b.parquet"], id="prefix"),
        pytest.param("s3a://lake/raw/", ["lake/raw/a.parquet", "lake/raw/b.parquet"], id="hadoop spelling"),
        pytest.param("s3://lake/raw/a.parquet", ["lake/raw/a.parquet"], id="object"),
        pytest.param("s3://lake/*/a.parquet", ["lake/raw/a.parquet"], id="glob"),
        pytest.param("s3://lake/*.parquet", [], id="a star does not cross a slash"),
    ],
)
def test_an_s3_address_stands_for_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, keys: list[str]
) -> None:
    (tmp_path / "lake" / "raw" / "deep").mkdir(parents=True)
    for name in ("a.parquet", "b.parquet", "notes.txt", "deep/c.parquet"):
        (tmp_path / "lake" / "raw" / name).touch()
    bucket = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(sources, "_s3", lambda _: bucket)
    if not keys:
        with pytest.raises(InputError, match="no Parquet file at s3://"):
            find_sources(Settings(), address)
        return
    assert [file.key for file in find_sources(Settings(), address)] == keys


@pytest.mark.parametrize(
    ("row_group", "wanted", "chunk", "expected"),
    [
        pytest.param(10, 25, 10, [(0, 10), (10, 10), (20, 5)], id="aligned groups"),
        pytest.param(7, 25, 10, [(0, 7), (7, 3), (10, 4), (14, 6), (20, 1), (21, 4)], id="groups across chunks"),
        pytest.param(100, 12, 10, [(0, 10), (10, 2)], id="not all rows"),
        pytest.param(100, 0, 10, [], id="no row"),
    ],
)
def test_no_batch_crosses_a_chunk(
    tmp_path: Path, row_group: int, wanted: int, chunk: int, expected: list[tuple[int, int]]
) -> None:
    pq.write_table(pa.table({"n": list(range(25))}), tmp_path / "x.parquet", row_group_size=row_group)
    with pq.ParquetFile(tmp_path / "x.parquet") as parquet:
        chunks = list(read_chunks(parquet, ["n"], wanted, chunk))
    rows = [value for _, batch in chunks for value in batch.column("n").to_pylist()]
    assert rows == list(range(wanted))
    assert all(first // chunk == (first + batch.num_rows - 1) // chunk for first, batch in chunks)
    if row_group != 7:
        assert [(first, batch.num_rows) for first, batch in chunks] == expected
