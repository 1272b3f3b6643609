"""Cuts Flink SQL into tokens: comments, hints, string literals, quoted identifiers, words.

The rules are those of Flink's own lexer (Calcite's Parser.jj): `//` opens a comment as `--` does, comments do not
nest, and the inside of a hint is SQL, so that a string in it may hold `*/`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from orchestration.errors import StatementError

# The repetitions never give back: a quote that is never closed would be tried in every way to pair the others.
_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>(?:--|//)[^\r\n]*|/\*(?!\+).*?\*/)
    | (?P<hint>/\*\+(?:[^'*]|'(?:[^']|'')*+'|\*(?!/))*+\*/)
    | (?P<string>'(?:[^']|'')*+')
    | (?P<quoted>`(?:[^`]|``)*+`)
    | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*+')
    | (?P<word>[^\W\d]\w*)
    | (?P<end>;)
    | (?P<open>/\*|'|`)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN_NAMES = {"/*": "comment", "'": "string literal", "`": "quoted identifier"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of SQL; `kind` is the name of a group of the pattern above, `start` its offset in the text."""

    kind: str
    text: str
    start: int

    @property
    def word(self) -> str:
        """The keyword in upper case, or "" for anything but a bare word."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def is_blank(self) -> bool:
        """Whether it is white space or a comment."""
        return self.kind in ("space", "comment")

    @property
    def name(self) -> str:
        """The identifier that it spells, without backticks, or ""."""
        if self.kind == "quoted":
            return self.text[1:-1].replace("``", "`")
        return self.text if self.kind == "word" else ""


def tokenize(text: str) -> Iterator[Token]:
    """Yield the tokens of `text`, which put together again give `text`.

    Raises:
        StatementError: a comment, string or quoted identifier is never closed; names the line and column.
    """
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind == "open":
            line, column = position(text, match.start())
            raise StatementError(
                f"line {line}, column {column}: this {_OPEN_NAMES[match.group()]} is never closed",
                context={"code": "sql_parse_error", "line": line, "column": column},
            )
        yield Token(kind, match.group(), match.start())


def significant(tokens: Iterable[Token]) -> list[Token]:
    """Return the tokens that mean something: neither white space nor comments."""
    return [token for token in tokens if not token.is_blank]


def string_value(token: Token) -> str | None:
    """Return the text that a string literal stands for, or None for another token."""
    return token.text[1:-1].replace("''", "'") if token.kind == "string" else None


def position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of `offset` in `text`, counted from 1."""
    starts = _line_starts(text)
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1


@lru_cache(maxsize=4)
def _line_starts(text: str) -> list[int]:
    """Return the offset of each line; kept, because a long script is asked for many positions."""
    return [0, *(match.end() for match in re.finditer("\n", text))]


_LINE_END = re.compile(r"\r\n|\r|\n")


def offset_of(text: str, line: int, column: int) -> int | None:
    """Return the offset of a position as Flink counts it, or None when `text` has no such line.

    Flink's columns are UTF-16 units, as in Java's strings: a character beyond U+FFFF, such as an emoji, counts twice.
    """
    starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
    if not 1 <= line <= len(starts):
        return None
    offset, units = starts[line - 1], 1
    while units < column and offset < len(text):
        units += 2 if ord(text[offset]) > 0xFFFF else 1
        offset += 1
    return offset
