"""Shows the place in a statement that an error is about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestration.errors import MillraceError

_PLACE = re.compile(r"(?i)\bline (\d+), column (\d+)(?: to line (\d+), column (\d+))?")
_WIDTH = 100
_ELLIPSIS = "…"


def place_of(error: MillraceError) -> tuple[int, int] | None:
    """Return line and column that an error is about, counted from 1; None if it names none."""
    line, column = error.context.get("line", ""), error.context.get("column", "")
    if line.isdigit() and column.isdigit():
        return int(line), int(column)
    found = _PLACE.search(error.message)
    return (int(found[1]), int(found[2])) if found else None


def point_at(text: str, line: int, column: int) -> Iterator[str]:
    """Yield the line of `text` and a line with `^` under the column; nothing if `text` has no such place.

    A long line is cut around the column. Tabs become one blank, so that the mark stands where it should.
    """
    lines = text.splitlines()
    if not (1 <= line <= len(lines) and 1 <= column <= len(lines[line - 1]) + 1):
        return
    shown, place = lines[line - 1].replace("\t", " ").rstrip(), column - 1
    if len(shown) > _WIDTH:
        start = max(min(place - _WIDTH // 2, len(shown) - _WIDTH), 0)
        end = start + _WIDTH
        before, after = _ELLIPSIS if start else "", _ELLIPSIS if end < len(shown) else ""
        shown, place = f"{before}{shown[start:end]}{after}", place - start + len(before)
    yield shown
    yield " " * place + "^"
