"""The interactive shell: statements of one session, and commands that begin with a backslash."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prompt_toolkit.patch_stdout import patch_stdout

from orchestration.cli.sql import backslash
from orchestration.cli.sql.backslash import ShellState
from orchestration.cli.sql.complete import SqlCompleter
from orchestration.cli.sql.engine import choose_limits, opened_engine
from orchestration.cli.sql.interrupts import Interrupts
from orchestration.cli.sql.marker import place_of, point_at
from orchestration.cli.sql.options import Mode, Output, as_mode
from orchestration.cli.sql.prompt import LEAVE, open_prompt
from orchestration.cli.sql.rows import write_stream
from orchestration.cli.terminal import say
from orchestration.errors import MillraceError
from orchestration.flink.reading.feed import Limits
from orchestration.flink.text.script import split_script
from orchestration.flink.text.validate import Permission, require_valid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestration.flink.engine import SqlEngine, StatementOutcome
    from orchestration.flink.sessions.logical import LogicalSession

HISTORY = "sql_history"
ALLOWED: frozenset[Permission] = frozenset({"ddl", "dml", "destructive"})


class Shell:
    """Reads statements and shows what they give, until `\\q` or end of file."""

    def __init__(self, engine: SqlEngine, session: LogicalSession, limits: Limits, *, read_only: bool = False) -> None:
        self.engine, self.session = engine, session
        self.state = ShellState(limits)
        self._is_read_only = read_only

    def run(self, **options: Any) -> None:
        """Read and run until the end.

        Args:
            options: input and output of the prompt, replaced in tests.
        """
        completer = SqlCompleter(self._candidates, self.table_names, backslash.NAMES)
        prompt = open_prompt(self.engine.settings.instance_dir / HISTORY, completer, **options)
        while not self.state.is_over:
            try:
                with patch_stdout(raw=True):
                    text = prompt.prompt()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            self.run_text(text)

    def run_text(self, text: str) -> None:
        """Run what was entered: one of the shell's commands, or statements. Errors are told, not raised."""
        entered = text.strip()
        try:
            if entered.lower() in LEAVE:
                self.state = replace(self.state, is_over=True)
            elif entered.startswith("\\"):
                self.state = backslash.run(self, entered)
            elif entered.rstrip("; \n"):
                self.run_statements(text)
        except MillraceError as error:
            tell_error(text, error)
        except KeyboardInterrupt:
            say("interrupted")

    def run_statements(self, text: str) -> None:
        """Run statements one after the other; the first error ends them.

        Raises:
            MillraceError: one was refused, or failed.
        """
        if self._is_read_only:
            for statement in split_script(text):
                require_valid(statement.text, mode=self.session.mode)
        with Interrupts() as interrupts:
            outcomes = self.engine.run_script(
                text, session=self.session, mode=self.session.mode, allow=ALLOWED, limits=self.state.limits
            )
            for outcome in outcomes:
                self._show(outcome, interrupts)
                if interrupts.was_interrupted:
                    return

    def _show(self, outcome: StatementOutcome, interrupts: Interrupts) -> None:
        if outcome.stream is None:
            job = f"job {outcome.job_id}: {self.engine.rest.job_url(outcome.job_id)}" if outcome.job_id else "done"
            say(job)
            return
        interrupts.watch(outcome.stream)
        write_stream(outcome.stream, Output.TABLE, None, is_timed=self.state.is_timed)
        interrupts.watch(None)

    def table_names(self) -> list[str]:
        """Return the tables that a statement may name without making them first."""
        return sorted(self.engine.tables.names())

    def _candidates(self, statement: str, position: int) -> Iterable[str]:
        handle = next((handle for mode, handle in self.session.handles if mode == self.session.mode), None)
        return self.engine.gateway.complete_statement(handle, statement, position) if handle else ()


def tell_error(text: str, error: MillraceError) -> None:
    """Show an error on one line, below the place that it is about."""
    place = place_of(error)
    if place is not None:
        for line in point_at(text, *place):
            say(line)
    say(f"error: {' '.join(error.message.split())}")
    if error.hint:
        say(f"hint: {error.hint}")


def run_shell(mode: Mode, *, max_rows: int | None, fetch_timeout_s: float | None, read_only: bool) -> int:
    """Run the shell on this terminal and return its exit code."""
    with opened_engine() as engine:
        from orchestration.flink.sessions.session import SessionSpec

        engine.probe()
        limits = choose_limits(engine.settings, max_rows, fetch_timeout_s)
        with engine.session(SessionSpec(name="shell", mode=as_mode(mode))) as session:
            # The first statement would open it; so completion works from the first word on.
            session.execute("SHOW CURRENT CATALOG").close()
            say("End a statement with ;   \\help lists commands   \\q leaves")
            Shell(engine, session, limits, read_only=read_only).run()
    return 0
