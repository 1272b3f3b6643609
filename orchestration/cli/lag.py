"""`millrace lag`: records of the topic that bronze does not hold yet, once or again and again."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.terminal import AsJson, number, print_json, show, stdout_reserved, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestration.lakehouse.lag import LagReport

_COLUMNS = ("partition", "log start", "log end", "next in bronze", "lag")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("lag")(lag)


def lag(
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.2, help="Seconds between two looks.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Show, for each partition of the topic, how far bronze is behind, and how many dead letters there are.

    Bronze itself knows which offset comes next, so this is the truth also when no consumer group commits. With --watch
    a terminal shows one table that changes in place, --json one line a look.

    Examples:

        millrace lag

        millrace lag --json | jq .lag_records

        millrace lag --watch --interval 5
    """
    with stdout_reserved():
        from orchestration.contracts.resolve import active_contract
        from orchestration.lakehouse.lag import read_lag
        from orchestration.settings import load_settings

        settings = load_settings()
        contract = active_contract(settings)
        report = read_lag(settings, contract)
    if watch:
        _watch(report, lambda: read_lag(settings, contract), interval, as_json=as_json)
    elif as_json:
        print_json(report.as_dict())
    else:
        table(_COLUMNS, rows_of(report), right=_COLUMNS)
        show(summary(report))


def rows_of(report: LagReport) -> list[tuple[str, ...]]:
    """Return the partitions as cells."""
    return [
        (str(one.partition), number(one.start), number(one.end), number(one.next_offset), number(one.lag_records))
        for one in report.partitions
    ]


def summary(report: LagReport) -> str:
    """Return the lag of all partitions in one line."""
    behind = f"bronze is {number(report.lag_records)} records behind" if report.lag_records else "bronze is up to date"
    return f"{report.topic}: {behind}; {report.dlq_topic} holds {number(report.dead_letters)} dead letters"


class Look:
    """One look at the lag, and how fast things moved since the one before; `error`: the look failed."""

    def __init__(self, at: datetime, report: LagReport, earlier: Look | None = None, error: str | None = None) -> None:
        self.at, self.report, self.error = at, report, error
        elapsed_s = (at - earlier.at).total_seconds() if earlier is not None and error is None else 0.0
        self.produced_per_s = self._moved("end", earlier, elapsed_s)
        self.loaded_per_s = self._moved("next_offset", earlier, elapsed_s)

    def _moved(self, name: str, earlier: Look | None, elapsed_s: float) -> float | None:
        if earlier is None or elapsed_s <= 0:
            return None
        now, before = (sum(getattr(one, name) for one in look.report.partitions) for look in (self, earlier))
        return (now - before) / elapsed_s

    def as_dict(self) -> dict[str, Any]:
        """Return the look as JSON values; the report of a look that failed is the last one that did not."""
        if self.error is not None:
            return {"at": self.at.isoformat(), "error": self.error}
        rates = {"produced_per_s": self.produced_per_s, "loaded_per_s": self.loaded_per_s}
        return {"at": self.at.isoformat(), **self.report.as_dict(), **rates}

    @property
    def text(self) -> str:
        """The line below the table."""
        if self.error is not None:
            return f"{self.at.astimezone():%H:%M:%S}  {self.error}"
        rates = (
            f"; {number(self.produced_per_s)}/s in, {number(self.loaded_per_s)}/s loaded"
            if self.produced_per_s is not None and self.loaded_per_s is not None
            else ""
        )
        return f"{self.at.astimezone():%H:%M:%S}  {summary(self.report)}{rates}"


def _watch(first: LagReport, read: Callable[[], LagReport], interval_s: float, *, as_json: bool) -> None:
    """Show looks until somebody interrupts, which is the way to end it. A service that is down is waited for."""
    from orchestration.errors import MillraceError

    is_live = sys.stdout.isatty() and not as_json
    screen: Any = _live() if is_live else nullcontext()
    pause = threading.Event()
    look = Look(datetime.now(UTC), first)
    try:
        with screen:
            while True:
                if as_json:
                    show(json.dumps(look.as_dict()))
                    sys.stdout.flush()
                elif is_live:
                    screen.update(_drawn(look), refresh=True)
                else:
                    show(look.text)
                pause.wait(interval_s)
                try:
                    look = Look(datetime.now(UTC), read(), look)
                except MillraceError as error:
                    look = Look(datetime.now(UTC), look.report, error=error.message)
    except KeyboardInterrupt:
        return


def _live() -> Any:
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(markup=False, highlight=False), auto_refresh=False)


def _drawn(look: Look) -> Any:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in _COLUMNS:
        made.add_column(title, justify="right")
    rows: Sequence[Sequence[str]] = rows_of(look.report)
    for row in rows:
        made.add_row(*row)
    return Group(made, Text(look.text, style="red" if look.error else ""))
