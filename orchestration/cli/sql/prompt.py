"""The shell's input: statements over several lines, with colours, history and completion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer
from prompt_toolkit.filters import completion_is_selected
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexer import inherit, words
from pygments.lexers.sql import SqlLexer
from pygments.token import Comment, Keyword, Name

from orchestration.errors import StatementError
from orchestration.flink.text.script import split_script
from orchestration.flink.text.tokens import significant, tokenize
from orchestration.redaction import redact

PROMPT, MORE = "flink> ", "   ...> "
LEAVE = frozenset({"exit", "quit", "exit;", "quit;"})

_FLINK_WORDS = (
    *("CATALOG", "CATALOGS", "CUMULATE", "DATABASES", "DESCRIPTOR", "ENFORCED", "EXPLAIN", "HOP", "JAR", "JARS"),
    *("JOBS", "MATCH_RECOGNIZE", "METADATA", "MODULE", "MODULES", "OVERWRITE", "PROCTIME", "RESET", "SAVEPOINT"),
    *("SHOW", "TABLES", "TUMBLE", "UNNEST", "USE", "VIEWS", "VIRTUAL", "WATERMARK"),
)


class FlinkSqlLexer(SqlLexer):
    """SQL with Flink's quoted identifiers, hints and words."""

    name = "Flink SQL"
    tokens = {  # noqa: RUF012 - the form that pygments asks for
        "root": [
            (r"`(?:``|[^`])*`", Name),
            (r"/\*\+.*?\*/", Comment.Preproc),
            (words(_FLINK_WORDS, suffix=r"\b", prefix=r"\b"), Keyword),
            inherit,
        ]
    }


class SecretFreeHistory(FileHistory):
    """What was typed, readable by its owner alone; passwords and keys in it are never written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        super().__init__(str(path))

    def store_string(self, string: str) -> None:
        """Append one entry to the file."""
        super().store_string(redact(string))


def is_complete(text: str) -> bool:
    """Whether Enter runs the text: it ends with a semicolon, or is one of the shell's own commands, or is blank."""
    stripped = text.strip()
    if not stripped or stripped.startswith("\\") or stripped.lower() in LEAVE:
        return True
    try:
        split_script(text)
        last = significant(tokenize(text))[-1:]
    except StatementError:
        return False
    return not last or last[0].kind == "end"


def open_prompt(history: Path, completer: Completer, **options: Any) -> PromptSession[str]:
    """Return the prompt.

    Args:
        options: input and output, replaced in tests.
    """
    bindings = KeyBindings()

    @bindings.add("enter", filter=~completion_is_selected)
    def run_or_continue(event: KeyPressEvent) -> None:
        if is_complete(event.current_buffer.text):
            event.current_buffer.validate_and_handle()
        else:
            event.current_buffer.insert_text("\n")

    @bindings.add("enter", filter=completion_is_selected)
    def take(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    return PromptSession(
        message=PROMPT,
        multiline=True,
        prompt_continuation=lambda width, line, wraps: MORE,
        lexer=PygmentsLexer(FlinkSqlLexer),
        history=SecretFreeHistory(history),
        completer=completer,
        complete_in_thread=True,
        key_bindings=bindings,
        **options,
    )
