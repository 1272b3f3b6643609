"""The shell's own commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from orchestration.cli.terminal import number, say, show
from orchestration.errors import InputError
from orchestration.flink.reading.feed import Limits


@dataclass(frozen=True)
class ShellState:
    """What the commands change."""

    limits: Limits
    is_timed: bool = False
    is_over: bool = False


class Shell(Protocol):
    """What the commands need of the shell."""

    @property
    def state(self) -> ShellState:
        """What they changed so far."""
        ...

    def run_statements(self, text: str) -> None:
        """Run SQL and show what it gives."""
        ...

    def table_names(self) -> list[str]:
        """Return the tables that are made when a statement names them."""
        ...


@dataclass(frozen=True)
class Command:
    """One command: what it does in one line, and the function that does it with the rest of the line."""

    name: str
    arguments: str
    summary: str
    run: Callable[[Shell, str], ShellState]


def run(shell: Shell, text: str) -> ShellState:
    """Run a command and return the shell's new state.

    Raises:
        InputError: there is no such command, or its arguments are wrong.
        MillraceError: the statement behind it failed.
    """
    name, _, rest = text.strip().rstrip(";").partition(" ")
    command = _BY_NAME.get(_OTHER_NAMES.get(name, name))
    if command is None:
        raise InputError(f"there is no command {name}", hint="\\help lists them")
    return command.run(shell, rest.strip())


def _help(shell: Shell, rest: str) -> ShellState:
    width = max(len(f"{one.name} {one.arguments}") for one in COMMANDS)
    for one in COMMANDS:
        show(f"{f'{one.name} {one.arguments}':<{width}}  {one.summary}")
    show("\nTab completes. Enter runs what ends with a semicolon. Ctrl-C ends a query, Ctrl-D leaves.")
    show("SET 'key' = 'value'; and RESET; change Flink's settings; SET 'execution.runtime-mode' = 'batch'; too.")
    return shell.state


def _describe(shell: Shell, rest: str) -> ShellState:
    if rest:
        shell.run_statements(f"DESCRIBE {rest}")
        return shell.state
    shell.run_statements("SHOW TABLES")
    known = shell.table_names()
    if known:
        say(f"made when a statement names them: {', '.join(known)}")
    return shell.state


def _timing(shell: Shell, rest: str) -> ShellState:
    is_timed = not shell.state.is_timed
    say(f"timing is {'on' if is_timed else 'off'}")
    return replace(shell.state, is_timed=is_timed)


def _limit(shell: Shell, rest: str) -> ShellState:
    words = rest.split()
    if len(words) > 2 or not all(word.isdecimal() for word in words):
        raise InputError("\\limit takes a number of rows and a number of seconds", hint="such as \\limit 1000 60")
    limits = shell.state.limits
    if words:
        limits = replace(limits, max_rows=int(words[0]))
    if len(words) == 2:
        limits = replace(limits, fetch_timeout_s=float(words[1]))
    rows = f"{number(limits.max_rows)} changes" if limits.max_rows else "any number of changes"
    seconds = f"{limits.fetch_timeout_s:g} s" if limits.fetch_timeout_s else "any time"
    say(f"a query ends by itself after {rows} or {seconds}")
    return replace(shell.state, limits=limits)


def _quit(shell: Shell, rest: str) -> ShellState:
    return replace(shell.state, is_over=True)


COMMANDS = (
    Command("\\help", "", "this list", _help),
    Command("\\d", "[TABLE]", "the columns of a table; without one, the tables", _describe),
    Command("\\timing", "", "tell how long queries take, or stop telling", _timing),
    Command("\\limit", "[ROWS [SECONDS]]", "when a query ends by itself; 0: never", _limit),
    Command("\\q", "", "leave", _quit),
)
NAMES = tuple(command.name for command in COMMANDS)
_BY_NAME = {command.name: command for command in COMMANDS}
_OTHER_NAMES = {"\\?": "\\help", "\\h": "\\help", "\\quit": "\\q"}
