"""A changed file is refused with every reason, before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.errors import InputError
from orchestration.generator.drift import check_files, find_drift
from orchestration.generator.sources import find_sources
from orchestration.settings import Settings
from tests.unit.tiny import tiny_contract

CONTRACT = tiny_contract()
GOOD: dict[str, pa.DataType] = {
    "Zone": pa.int64(),
    "start": pa.timestamp("us"),
    "fare": pa.float64(),
    "shared": pa.bool_(),
    "note": pa.string(),
}


def without(name: str, **more: pa.DataType) -> dict[str, pa.DataType]:
    return {key: kind for key, kind in GOOD.items() if key != name} | more


@pytest.mark.parametrize(
    ("schema", "reasons"),
    [
        pytest.param(GOOD, [], id="as promised"),
        pytest.param(GOOD | {"more": pa.int8()}, [], id="an extra column is allowed"),
        pytest.param(dict(reversed(GOOD.items())), [], id="order does not matter"),
        pytest.param(GOOD | {"note": pa.null()}, [], id="a column without a value has no type"),
        pytest.param(GOOD | {"note": pa.dictionary(pa.int32(), pa.string())}, [], id="dictionary of text"),
        pytest.param(without("fare"), ["column fare is missing"], id="missing"),
        pytest.param(without("start"), ["required column start is missing"], id="required missing"),
        pytest.param(
            without("Zone", zone=pa.int64()), ["column Zone is missing (was it renamed to zone?)"], id="other case"
        ),
        pytest.param(
            without("shared", is_shared=pa.bool_()),
            ["column shared is missing (was it renamed to is_shared?)"],
            id="renamed",
        ),
        pytest.param(GOOD | {"start": pa.string()}, ["column start is string, expected timestamp"], id="retyped"),
        pytest.param(GOOD | {"note": pa.binary()}, ["column note is binary, expected string"], id="bytes are no text"),
        pytest.param(
            GOOD | {"fare": pa.string(), "shared": pa.int8()},
            [
                "column fare is string, expected floating or integer or decimal",
                "column shared is int8, expected boolean",
            ],
            id="all reasons at once",
        ),
    ],
)
def test_drift_is_a_list_of_reasons(schema: dict[str, pa.DataType], reasons: list[str]) -> None:
    assert find_drift(CONTRACT, pa.schema(list(schema.items()))) == reasons


def test_a_column_that_is_there_twice_is_refused() -> None:
    schema = pa.schema([*GOOD.items(), ("fare", pa.float64())])
    assert find_drift(CONTRACT, schema) == ["column fare is there 2 times"]


def test_the_problems_of_all_files_are_named_together(tmp_path: Path) -> None:
    pq.write_table(pa.schema(list(GOOD.items())).empty_table(), tmp_path / "empty.parquet")
    pq.write_table(pa.schema(list(without("fare").items())).empty_table(), tmp_path / "drifted.parquet")
    (tmp_path / "text.parquet").write_text("a,b")
    with pytest.raises(InputError) as caught:
        check_files(CONTRACT, find_sources(Settings(), str(tmp_path)))
    assert "drifted.parquet does not fit dataset rides: column fare is missing" in caught.value.message
    assert "text.parquet is not a readable Parquet file" in caught.value.message
    assert "empty.parquet" not in caught.value.message


def test_an_empty_file_has_no_rows_and_is_allowed(tmp_path: Path) -> None:
    pq.write_table(pa.schema(list(GOOD.items())).empty_table(), tmp_path / "empty.parquet")
    assert list(check_files(CONTRACT, find_sources(Settings(), str(tmp_path))).values()) == [0]
