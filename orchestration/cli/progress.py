"""How a run shows itself on stderr: one line that moves on a terminal, a line a note elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from orchestration.cli.terminal import say

if TYPE_CHECKING:
    from orchestration.pipeline import Note


class RunProgress:
    """Takes the notes of a run. Context manager."""

    def __init__(self, *, is_quiet: bool = False) -> None:
        self._is_quiet = is_quiet
        self._status: Any = None

    def __enter__(self) -> RunProgress:
        if sys.stderr.isatty() and not self._is_quiet:
            from rich.console import Console

            self._status = Console(stderr=True, markup=False, highlight=False).status("starting Dagster")
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._status is not None:
            self._status.stop()

    def message(self, text: str) -> None:
        """Say something that is no note of a run."""
        if self._is_quiet:
            return
        if self._status is not None:
            self._status.update(text)
        else:
            say(text)

    def note(self, note: Note) -> None:
        """Show a note; the hundred dbt tests are counted in the end, not told one by one."""
        if self._is_quiet or (note.stage == "gold" and note.text.startswith("test.") and " pass in " in note.text):
            return
        line = f"{note.elapsed_s:6.1f} s  {note.stage:<8} {note.text}"
        if self._status is None:
            say(line)
        elif note.text.startswith("done"):
            self._status.console.print(line)
        else:
            self._status.update(line)
