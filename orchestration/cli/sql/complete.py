"""Completion in the shell: the gateway's planner knows columns, tables and keywords; statement starts are ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.document import Document

from orchestration.errors import MillraceError
from orchestration.flink.text.tokens import Token, tokenize

Ask = Callable[[str, int], Iterable[str]]
"""Statement and position to the words that may stand there, as `GatewayClient.complete_statement` gives them."""

STARTS = (
    *("ALTER", "CREATE", "DESCRIBE", "DROP", "EXECUTE STATEMENT SET BEGIN", "EXPLAIN", "INSERT INTO", "LOAD MODULE"),
    *("RESET", "SELECT", "SET", "SHOW", "STOP JOB", "USE", "VALUES", "WITH"),
)
_BEFORE_TABLE = frozenset({"FROM", "JOIN", "INTO", "TABLE", "VIEW", "DESCRIBE", "DESC"})
_PLANNED = frozenset({"SELECT", "WITH"})
_PATH = re.compile(r"[\w.$]*$")
_LEAST = 2
"""Letters from which on words are offered without being asked for."""


class SqlCompleter(Completer):
    """Completes the statement under the cursor.

    Args:
        ask: the planner's words; an error of ours means that it has none.
        tables: tables that exist or are made when a statement names them.
        commands: the shell's own commands, each with its backslash.
    """

    def __init__(self, ask: Ask, tables: Callable[[], Iterable[str]], commands: Iterable[str]) -> None:
        self._ask, self._tables, self._commands = ask, tables, tuple(commands)

    def get_completions(self, document: Document, complete_event: Any) -> Iterator[Completion]:
        """Yield what may stand at the cursor."""
        if document.text.lstrip().startswith("\\"):
            yield from self._of_command(document.text_before_cursor.lstrip())
            return
        before = statement_before(document.text_before_cursor)
        if before is None:
            return
        path = _path_at_end(before)
        if not complete_event.completion_requested and len(path) < _LEAST:
            return
        yield from completions(path, self._words(before, document.text_after_cursor, path))

    def _words(self, before: str, after: str, path: str) -> list[str]:
        head = before.removesuffix(path)
        if not head.strip():
            return list(STARTS)
        known: list[str] = []
        if head.split()[-1].upper() in _BEFORE_TABLE:
            known = sorted(self._tables())
            if head.split()[0].upper() not in _PLANNED:
                # The planner completes queries alone; so it is asked about one.
                before, after = f"SELECT * FROM {path}", ""
        try:
            return known + list(self._ask(before + after.partition(";")[0], len(before)))
        except MillraceError:
            return known

    def _of_command(self, text: str) -> Iterator[Completion]:
        head, blank, rest = text.partition(" ")
        if not blank:
            words = (word for word in self._commands if word.startswith(head))
            yield from (Completion(word, -len(head)) for word in words)
        elif head == "\\d":
            path = _path_at_end(rest)
            yield from completions(path, sorted(self._tables()))


def statement_before(text: str) -> str | None:
    """Return what stands between the last semicolon and the end; None inside a string, a comment or an identifier."""
    tokens: list[Token] = []
    try:
        for token in tokenize(text):
            tokens = [] if token.kind == "end" else [*tokens, token]
    except MillraceError:
        return None
    if tokens and tokens[-1].kind == "comment" and not tokens[-1].text.endswith("*/"):
        return None
    return "".join(token.text for token in tokens).lstrip()


def _path_at_end(text: str) -> str:
    found = _PATH.search(text)
    return found[0] if found else ""


def completions(path: str, words: Iterable[str]) -> Iterator[Completion]:
    """Yield the words that continue `path`, the (dotted) name before the cursor, each once.

    The planner gives tables by their full path, also when the name alone would do: it looks in the current database
    when no dot was typed, so the name is enough then. Keywords follow the case of what was typed.
    """
    start, seen = path.rpartition(".")[2], set[str]()
    for word in words:
        has_path = "." in word
        text = word.rpartition(".")[2] if has_path and "." not in path else word
        replaced = path if has_path and "." in path else start
        if not re.match(r"\w", text) or not text.rpartition(".")[2].lower().startswith(start.lower()):
            continue
        if start.islower() and text.isupper():
            text = text.lower()
        if text not in seen:
            seen.add(text)
            yield Completion(text, -len(replaced))
