"""The rows of a running query on a terminal: the changelog folded in place, redrawn while it comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from orchestration.cli.sql.output import cell
from orchestration.cli.terminal import duration, number

if TYPE_CHECKING:
    from rich.console import Group

    from orchestration.flink.reading.rows import Change, Column, Row

REDRAWS_PER_S = 5
_AROUND = 7
"""Lines of the terminal that are not rows: titles, rules, the line below, the prompt after it."""
_NUMERIC = ("TINYINT", "SMALLINT", "INT", "BIGINT", "DECIMAL", "FLOAT", "DOUBLE")


def right_aligned(columns: Iterable[Column]) -> list[str]:
    """Return the names of the numeric columns."""
    return [column.name for column in columns if column.type.startswith(_NUMERIC)]


def as_cells(values: Iterable[object]) -> list[str]:
    """Return a row as the text of a table's cells."""
    from orchestration.exact_json import to_json

    return [cell(to_json(value)) for value in values]


class LiveTable:
    """Shows rows on a terminal while they come; leaves nothing on the screen. Context manager.

    Args:
        console: a rich console; None: the standard output.
    """

    def __init__(self, columns: Sequence[Column], *, console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live

        from orchestration.flink.reading.encodings import Fold

        self._columns, self._right = tuple(columns), right_aligned(columns)
        self._fold, self._changes, self._lock = Fold(), 0, threading.Lock()
        self._started = time.monotonic()
        self._console: Any = console or Console(markup=False, highlight=False)
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=REDRAWS_PER_S,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def add(self, change: Change) -> None:
        """Take one change."""
        with self._lock:
            self._fold.add(change)
            self._changes += 1

    def rows(self) -> list[Row]:
        """Return all rows as they are now."""
        with self._lock:
            return self._fold.rows()

    def _draw(self) -> Group:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            rows, changes = self._fold.rows(), self._changes
        room = max(self._console.height - _AROUND, 1)
        part = f"the last {number(room)} of " if room < len(rows) else ""
        elapsed = duration(time.monotonic() - self._started)
        text = f"{part}{number(len(rows))} rows, {number(changes)} changes, {elapsed}; Ctrl-C ends the query"
        made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in self._columns:
            side = "right" if column.name in self._right else "left"
            made.add_column(Text(column.name), justify=side, no_wrap=True, overflow="ellipsis")
        for row in rows[-room:]:
            made.add_row(*map(Text, as_cells(row)))
        return Group(made, Text(text, style="dim", no_wrap=True, overflow="ellipsis"))
