"""Splits Flink SQL scripts into statements, and maps positions that Flink names back to the script.

It is not a parser: it knows comments, hints, string literals and quoted identifiers, so that a semicolon or a keyword
inside them does not count. The gateway parses.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import TypeVar

from orchestration.errors import MillraceError, StatementError
from orchestration.flink.text.kinds import (
    FIRST_WORDS,
    Setting,
    StatementFamily,
    StatementKind,
    classify,
    kind_of,
    setting_of,
)
from orchestration.flink.text.tokens import Token, offset_of, position, significant, string_value, tokenize

__all__ = [
    "Setting",
    "Statement",
    "StatementFamily",
    "StatementKind",
    "Token",
    "classify",
    "kind_of",
    "locate_error",
    "position",
    "setting_of",
    "significant",
    "split_script",
    "split_tokens",
    "string_value",
    "tokenize",
]

_ErrorT = TypeVar("_ErrorT", bound=MillraceError)
_POSITION = re.compile(r"\bline (\d+), column (\d+)")


@dataclass(frozen=True)
class Statement:
    """One statement without its semicolon and the comments around it.

    Args:
        line, column: of its first token in the script, counted from 1.
        moved: (line of `text`, columns): how far left the rest of that line stands in `text` than in the script, where
            a statement set got another head. (0, 0) for all other statements.
    """

    text: str
    line: int = 1
    column: int = 1
    moved: tuple[int, int] = (0, 0)

    @property
    def kind(self) -> StatementKind:
        """Kind of the statement."""
        return classify(self.text)

    def locate(self, line: int, column: int) -> tuple[int, int] | None:
        """Return where in the script a position of `text` stands that Flink gave; None when there is no such line."""
        offset = offset_of(self.text, line, column)
        if offset is None:
            return None
        inside, at = position(self.text, offset)
        if inside == self.moved[0]:
            at += self.moved[1]
        return self.line + inside - 1, at + (self.column - 1 if inside == 1 else 0)


def locate_error(error: _ErrorT, statement: Statement) -> _ErrorT:
    """Return the same error with each "line 1, column 15" of its texts as the position in the statement's script.

    The first one is in the context too, as `line` and `column`. A position that the statement does not have (Flink
    counts inside a view's stored query) stays as it is. Of a text that is no statement at all Flink names neither the
    position nor the word, so its start and the likely word are added.
    """
    places: list[tuple[int, int]] = []

    def place(line: str, column: str) -> str:
        found = statement.locate(int(line), int(column))
        if found is None:
            return f"line {line}, column {column}"
        places.append(found)
        return f"line {found[0]}, column {found[1]}"

    located = copy.copy(error)
    located.message = _POSITION.sub(lambda match: place(match[1], match[2]), error.message)
    located.args = (located.message,)
    line, column = error.context.get("line"), error.context.get("column")
    if not places and line and column:
        place(line, column)
    if not places and error.code == "sql_parse_error" and statement.kind is StatementKind.OTHER:
        places.append((statement.line, statement.column))
        located.hint = _likely_word(statement.text)
    if places:
        located.context = {**error.context, "line": str(places[0][0]), "column": str(places[0][1])}
    return located


def _likely_word(sql: str) -> str:
    first = significant(tokenize(sql))[0].text
    close = get_close_matches(first.upper(), FIRST_WORDS, n=1)
    return f"no statement starts with {first!r}" + (f"; did you mean {close[0]}?" if close else "")


def split_script(text: str) -> list[Statement]:
    """Cut a script at its semicolons; parts that hold only comments are dropped, statement sets stay whole.

    `BEGIN STATEMENT SET; …; END` is an interactive form that the gateway does not take in one request. It comes out as
    its equal, `EXECUTE STATEMENT SET BEGIN … END`, with the lines of the inside unchanged.

    Raises:
        StatementError: something is never closed: a comment, a string, an identifier, a statement set.
    """
    statements: list[Statement] = []
    for tokens in split_tokens(text):
        line, column = position(text, tokens[0].start)
        if _is_begin(_words(tokens)[:3]):
            statements.append(_as_execute(tokens, line, column))
        else:
            statements.append(Statement("".join(token.text for token in tokens), line, column))
    return statements


def split_tokens(text: str) -> list[list[Token]]:
    """Return the tokens of each statement, with their offsets in the script; as `split_script`, but unchanged.

    Raises:
        StatementError: as `split_script`.
    """
    parts: list[list[Token]] = []
    part: list[Token] = []
    opened: Token | None = None  # what the inside of a statement set comes after
    for token in tokenize(text):
        if token.kind == "end" and opened is None:
            if _is_begin(_words(part)):
                opened = token
                part.append(token)
                continue
            parts.append(part)
            part = []
            continue
        if token.is_blank and not part:
            continue
        part.append(token)
        if opened is None and token.word == "BEGIN" and _opens_set(part):
            opened = token
        elif opened is not None and token.word == "END" and _starts_statement(part, opened):
            opened = None
    if opened is not None:
        line, column = position(text, part[0].start)
        raise StatementError(
            f"line {line}, column {column}: this statement set has no END",
            hint="each INSERT of a set ends with a semicolon, and END stands alone",
            context={"code": "sql_parse_error", "line": line, "column": column},
        )
    parts.append(part)
    for part in parts:
        while part and part[-1].is_blank:
            part.pop()
    return [part for part in parts if part]


def _as_execute(tokens: Sequence[Token], line: int, column: int) -> Statement:
    """Rewrite BEGIN STATEMENT SET; … END: only the head changes, and it keeps its line breaks."""
    head_end = next(index for index, token in enumerate(tokens) if token.kind == "end")
    between = "".join(token.text for token in tokens[:head_end] if not token.word)
    head = "EXECUTE STATEMENT SET BEGIN" + between.rstrip(" ")
    was = "".join(token.text for token in tokens[: head_end + 1])
    columns = position(was, len(was))[1] - position(head, len(head))[1]
    sql = head + "".join(token.text for token in tokens[head_end + 1 :])
    return Statement(sql, line, column, (head.count("\n") + 1, columns))


def _words(tokens: Sequence[Token]) -> list[str]:
    """Keywords at the start, "" for the first token that is not a word; enough of them to tell a head."""
    words: list[str] = []
    for token in tokens:
        if token.is_blank:
            continue
        words.append(token.word)
        if len(words) == 5:
            break
    return words


def _is_begin(words: Sequence[str]) -> bool:
    return list(words) == ["BEGIN", "STATEMENT", "SET"]


def _last(part: Sequence[Token], count: int) -> list[Token]:
    """Return the last `count` tokens that are neither space nor comment, newest first."""
    return list(islice((token for token in reversed(part) if not token.is_blank), count))


def _opens_set(part: Sequence[Token]) -> bool:
    """Whether the last words are STATEMENT SET BEGIN, after EXECUTE, EXPLAIN or COMPILE PLAN … FOR."""
    return [token.word for token in _last(part, 3)] == ["BEGIN", "SET", "STATEMENT"]


def _starts_statement(part: Sequence[Token], opened: Token) -> bool:
    """Whether the last token comes right after a semicolon or the set's BEGIN; the END of a CASE does not."""
    return any(token.kind == "end" or token is opened for token in _last(part, 2)[1:])
