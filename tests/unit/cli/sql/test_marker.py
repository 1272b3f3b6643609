"""The mark under the place that an error is about."""

from __future__ import annotations

import pytest

from orchestration.cli.sql.marker import place_of, point_at
from orchestration.errors import StatementError

TEXT = "SELECT a,\n\tb FROM nope\nWHERE c"


def test_the_mark_stands_under_the_column() -> None:
    assert list(point_at(TEXT, 2, 9)) == [" b FROM nope", "        ^"]
    assert list(point_at(TEXT, 1, 1)) == ["SELECT a,", "^"]


@pytest.mark.parametrize(("line", "column"), [(0, 1), (4, 1), (1, 0), (1, 99)])
def test_a_place_outside_the_text_gets_no_mark(line: int, column: int) -> None:
    assert list(point_at(TEXT, line, column)) == []


@pytest.mark.parametrize("column", [1, 60, 150, 250, 290])
def test_a_long_line_is_cut_around_the_place(column: int) -> None:
    text = "".join(chr(ord("a") + place % 26) for place in range(290))
    shown, mark = point_at(text, 1, column)
    assert len(shown) <= 102
    assert shown[len(mark) - 1] == text[column - 1]


@pytest.mark.parametrize(
    ("error", "place"),
    [
        pytest.param(StatementError("x", context={"line": 3, "column": 7}), (3, 7), id="context"),
        pytest.param(StatementError("From line 1, column 15 to line 1, column 18: no"), (1, 15), id="message"),
        pytest.param(StatementError("no table"), None, id="none"),
    ],
)
def test_an_error_says_where_it_is(error: StatementError, place: tuple[int, int] | None) -> None:
    assert place_of(error) == place
