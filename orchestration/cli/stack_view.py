"""How `up` and `status` look on a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orchestration.embedded.stack import TITLES, Event, ServerStatus, UpResult


class UpView:
    """One line a server while the stack starts; plain lines where there is no terminal. Writes to standard error."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._events: dict[str, Event] = {}
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._said_fetching = False
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=8, transient=True)
        self._is_live = self._console.is_terminal and not quiet

    def __enter__(self) -> UpView:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.stop()

    def on_event(self, event: Event) -> None:
        """Show progress."""
        with self._lock:
            self._events[event.server] = event
        if self._is_live:
            return
        if event.state == "fetching":
            if not self._said_fetching:
                self._said_fetching = True
                self._console.print("fetching Java libraries")
        elif event.state == "ready":
            self._console.print(f"{TITLES.get(event.server, event.server)} ready after {event.seconds:.1f} s")

    def on_wait(self, text: str) -> None:
        """Show that another `up` or `down` holds the stack."""
        self._console.print(text)

    def show_result(self, result: UpResult) -> None:
        """Print the endpoints to standard output."""
        if result.ended_leftovers:
            self._console.print(f"ended {result.ended_leftovers} processes that a crashed stack had left")
        state = "was running already" if result.was_running else f"is up after {result.seconds:.1f} s"
        table = Table(title=f"stack {result.settings.instance} {state}", title_justify="left")
        for column in ("server", "endpoint"):
            table.add_column(column)
        for server in result.servers:
            if server.endpoint:
                table.add_row(server.title, server.endpoint)
        table.add_row("tables", result.settings.warehouse)
        Console().print(table)

    def _render(self) -> Group:
        now = time.monotonic() - self._began
        with self._lock:
            events = dict(self._events)
        lines: list[Text | Spinner] = []
        for name in ("jars", *TITLES):
            event = events.get(name)
            title = TITLES.get(name, "Java libraries")
            if event is None:
                if name != "jars":
                    lines.append(Text(f"  {title}", style="dim"))
            elif event.state == "ready":
                lines.append(Text(f"✓ {title:<22} {event.seconds:5.1f} s", style="green"))
            elif name != "jars" or len(events) == 1:
                lines.append(Spinner("dots", f"{title:<22} {now:5.1f} s  {event.state} {event.detail}"))
        return Group(*lines)


def status_table(instance: str, servers: Sequence[ServerStatus]) -> None:
    """Print the status to standard output."""
    table = Table(title=f"stack {instance}", title_justify="left")
    for column in ("server", "state", "pid", "up", "endpoint", "memory"):
        table.add_column(column, justify="right" if column in {"pid", "up", "memory"} else "left")
    for server in servers:
        table.add_row(
            server.name,
            Text(server.state.lower(), style="green" if server.state == "RUNNING" else "red"),
            str(server.pid or ""),
            _duration(server.uptime_s),
            server.endpoint or "",
            f"{server.rss_mb:.0f} MiB" if server.rss_mb is not None else "",
        )
    total = sum(server.rss_mb or 0.0 for server in servers)
    if total:
        table.add_row("", "", "", "", "", f"{total:.0f} MiB", style="bold")
    Console().print(table)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
