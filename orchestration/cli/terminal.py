"""What commands print: one JSON document or tables on stdout, all else on stderr."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]

_BARS = " ▏▎▍▌▋▊▉█"
_MARKS = {"PASS": "green", "WARN": "yellow", "FAIL": "red"}


def say(text: str) -> None:
    """Tell a person something, on stderr."""
    typer.echo(text, err=True)


def show(text: str = "") -> None:
    """Print a line of the result, on stdout."""
    typer.echo(text)


def print_json(document: object) -> None:
    """Print the command's JSON document; what JSON does not know (paths, times) as text."""
    typer.echo(json.dumps(document, indent=2, default=str))


@contextmanager
def stdout_reserved() -> Iterator[None]:
    """Send to stderr whatever this process, its libraries or their child processes print to stdout in the block."""
    sys.stdout.flush()
    with redirect_stdout(sys.stderr):
        if _descriptor(sys.__stdout__) != 1:
            yield
            return
        kept = os.dup(1)
        try:
            os.dup2(2, 1)
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def _descriptor(stream: Any) -> int | None:
    try:
        return stream.fileno()
    except (AttributeError, ValueError, io.UnsupportedOperation):
        return None


def number(value: float) -> str:
    """Return a count with thousands separators."""
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """Return a duration as people say it: `0.8 s`, `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def rate(rows: int, seconds: float) -> str:
    """Return rows a second; `-` where it says nothing."""
    return f"{number(rows / seconds)}/s" if rows and seconds > 0 else "-"


def mark(word: str) -> str:
    """Return PASS, WARN or FAIL, coloured on a terminal."""
    color = _MARKS[word]
    return typer.style(word, fg=color, bold=True) if _is_coloured() else word


def dim(text: str) -> str:
    """Return text that matters less, grey on a terminal."""
    return typer.style(text, dim=True) if _is_coloured() else text


def bold(text: str) -> str:
    """Return a heading, bold on a terminal."""
    return typer.style(text, bold=True) if _is_coloured() else text


def _is_coloured() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print rows under column titles, with rich on a terminal and as plain aligned text elsewhere.

    Args:
        right: titles of the columns that are aligned to the right (numbers).
    """
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table

        made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in columns:
            made.add_column(title, justify="right" if title in right else "left", overflow="fold")
        for row in rows:
            made.add_row(*row)
        Console(markup=False, highlight=False).print(made)
        return
    lines = [tuple(columns), *map(tuple, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        cells = (
            cell.rjust(width) if title in right else cell.ljust(width)
            for cell, width, title in zip(line, widths, columns, strict=True)
        )
        show("  ".join(cells).rstrip())


def bar_chart(values: Mapping[str, float], *, width: int = 40, unit: str = "") -> Iterator[str]:
    """Yield one line a value: label, a bar as long as the value's share of the largest, the value."""
    most = max(values.values(), default=0)
    label_width = max(map(len, values), default=0)
    value_width = max((len(number(value)) for value in values.values()), default=0)
    for label, value in values.items():
        eighths = round(max(value, 0) / most * width * 8) if most > 0 else 0
        bar = _BARS[8] * (eighths // 8) + (_BARS[eighths % 8] if eighths % 8 else "")
        yield f"{label:<{label_width}}  {bar:<{width}}  {number(value):>{value_width}}{unit}"
