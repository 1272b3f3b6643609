"""Four encodings of one changelog, and JSON that loses nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.flink.reading.async_results import AsyncRowStream
from orchestration.flink.reading.encodings import (
    ENCODINGS,
    Encoder,
    Encoding,
    encode,
    encode_async,
    fold,
    unique_names,
)
from orchestration.flink.reading.result import Result
from orchestration.flink.reading.rows import Change, Column
from orchestration.flink.reading.stream import End, RowStream
from tests.unit.flink.fakes import EOS, FakeFlink, page, server_error

COLUMNS = (Column("name", "STRING", True), Column("n", "BIGINT", False))
COUNTING = [
    Change("INSERT", ("a", 1)),
    Change("INSERT", ("b", 1)),
    Change("UPDATE_BEFORE", ("a", 1)),
    Change("UPDATE_AFTER", ("a", 2)),
]
STOPPED = End("max_rows", 4, 1.0, "stopped after 4 rows")
COMPLETE = End("eos", 4, 1.0, "the result is complete")
BOOM = "org.apache.flink.runtime.client.JobExecutionException: Job execution failed.\nCaused by: java.lang.Error: boom"


def encoded(encoding: Encoding, changes: list[Change], end: End = COMPLETE) -> tuple[list[object], list[str]]:
    encoder = Encoder(COLUMNS, encoding)
    records: list[object] = [record for change in changes for record in encoder.encode(change)]
    return [*records, *encoder.finish(end)], encoder.warnings


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("array", [["a", 1], ["b", 1], ["a", 2]]),
        ("object", [{"name": "a", "n": 1}, {"name": "b", "n": 1}, {"name": "a", "n": 2}]),
        (
            "changelog",
            [
                {"op": "+I", "name": "a", "n": 1},
                {"op": "+I", "name": "b", "n": 1},
                {"op": "-U", "name": "a", "n": 1},
                {"op": "+U", "name": "a", "n": 2},
            ],
        ),
        ("fold", [["a", 2], ["b", 1]]),
    ],
)
def test_one_changelog_in_each_encoding(encoding: Encoding, expected: list[object]) -> None:
    assert encoded(encoding, COUNTING)[0] == expected


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rows_that_were_taken_back_are_told_once_where_they_are_left_out(encoding: Encoding) -> None:
    warnings = encoded(encoding, [*COUNTING, *COUNTING, Change("DELETE", ("a", 2))])[1]
    if encoding in ("array", "object"):
        assert len(warnings) == 1
        assert "use the encoding 'changelog'" in warnings[0]
    else:
        assert warnings == []


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rows_that_are_only_added_need_no_warning(encoding: Encoding) -> None:
    assert encoded(encoding, [Change("INSERT", ("a", 1))] * 3)[1] == []


def test_a_fold_that_was_stopped_early_says_so() -> None:
    records, warnings = encoded("fold", COUNTING, STOPPED)
    assert records == [["a", 2], ["b", 1]]
    assert len(warnings) == 1
    assert "(max_rows)" in warnings[0]


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ("+Ia +Ia -Da", "a"),
        ("+Ua", "a"),  # GROUP BY … HAVING: the first record of a row may be an update
        ("+Ua -Ua +Ub", "b"),
        ("+Ia +Ib -Ua +Uc", "cb"),
        ("+Ia +Ib -Da +Ic", "bc"),
        ("-Da +Ia", "a"),  # nothing there to remove
        ("+Ia -Da -Da +Ia", "a"),
        ("+Ia -Ua +Ib +Uc", "bc"),
        ("", ""),
    ],
)
def test_a_fold_is_a_multiset(changes: str, rows: str) -> None:
    kinds = {"+I": "INSERT", "-U": "UPDATE_BEFORE", "+U": "UPDATE_AFTER", "-D": "DELETE"}
    assert fold(Change(kinds[text[:2]], (text[2:],)) for text in changes.split()) == [(row,) for row in rows]


@given(st.lists(st.tuples(st.sampled_from(["INSERT", "UPDATE_AFTER", "UPDATE_BEFORE", "DELETE"]), st.integers(0, 3))))
def test_a_fold_counts_as_a_counter_does(changes: list[tuple[str, int]]) -> None:
    left = Counter[int]()
    for kind, value in changes:
        if kind in ("INSERT", "UPDATE_AFTER"):
            left[value] += 1
        elif left[value]:
            left[value] -= 1
    assert Counter(value for (value,) in fold(Change(kind, (value,)) for kind, value in changes)) == +left


def test_rows_of_nested_values_fold() -> None:
    def row() -> tuple[object, ...]:
        return ([1, None], {"a": Decimal("1.50")}, b"\x01", float("nan"))

    assert fold([Change("INSERT", row()), Change("DELETE", row())]) == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a_2", "a_3"]),
        (["a", "a_2", "a"], ["a", "a_2", "a_3"]),
        (["a", "a", "a_2"], ["a", "a_2", "a_2_2"]),
    ],
)
def test_a_name_that_is_there_already_gets_a_number(names: list[str], expected: list[str]) -> None:
    assert unique_names(names) == expected


def test_a_column_called_op_does_not_hide_the_kind_of_change() -> None:
    encoder = Encoder([Column("op", "STRING", True)], "changelog")
    assert list(encoder.encode(Change("INSERT", ("x",)))) == [{"op": "+I", "op_2": "x"}]


def opened(flink: FakeFlink) -> RowStream:
    result = Result(flink.gateway(), "s1", "op", "SELECT n FROM t", flink.timing)
    return RowStream(result)


def test_a_stream_is_encoded_and_warns_its_reader(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1), page([[1]], token=2, kind="UPDATE_BEFORE"), EOS]
    warnings: list[str] = []
    assert list(encode(opened(flink), "object", warnings.append)) == [{"n": 1}]
    assert len(warnings) == 1


def test_leaving_the_records_closes_the_stream(flink: FakeFlink) -> None:
    flink.overrides["GET /v2"] = lambda request: httpx.Response(200, json=page([[1]], token=1))
    stream = opened(flink)
    for _ in encode(stream):
        break
    assert stream.end is not None
    assert stream.end.reason == "cancelled"


def test_a_fold_of_a_query_that_fails_gives_no_rows(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1), server_error(BOOM)]
    records: list[object] = []
    with pytest.raises(Exception, match="boom"):
        for record in encode(opened(flink), "fold"):
            records.append(record)
    assert records == []


def test_an_asynchronous_stream_is_encoded_alike(flink: FakeFlink) -> None:
    flink.pages = [page([[1]], token=1), page([[1]], token=2, kind="UPDATE_BEFORE"), page([[2]], token=3), EOS]

    async def main() -> list[object]:
        return [record async for record in encode_async(AsyncRowStream(opened(flink)), "fold")]

    assert asyncio.run(main()) == [[2]]
