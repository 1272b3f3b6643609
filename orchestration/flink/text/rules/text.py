"""Rules on the text as a whole: V07 size and characters, V08 template markers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from orchestration.flink.text.rules.problem import Problem, problem_at
from orchestration.flink.text.tokens import Token

MOST_BYTES = 1024 * 1024
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARKER = re.compile(r"\{\{|\{%|\$\{")


def check_size(sql: str) -> Iterator[Problem]:
    """V07: more than 1 MiB as UTF-8."""
    # Three bytes at most for each UTF-16 unit: a short text needs no encoding to be known as small.
    if len(sql) * 4 > MOST_BYTES and (size := len(sql.encode(errors="replace"))) > MOST_BYTES:
        yield Problem(
            "V07",
            "error",
            f"the SQL has {size:,} bytes; at most {MOST_BYTES:,} are taken",
            "put the data into a table or a file, and read that",
        )


def check_characters(sql: str) -> Iterator[Problem]:
    """V07: the first control character that is neither tab nor line break."""
    for match in _CONTROL.finditer(sql):
        char = match.group()
        if char == "\r":
            continue
        name = "NUL" if char == "\0" else unicodedata.name(char, f"U+{ord(char):04X}")
        yield problem_at("V07", sql, match.start(), f"control character {name}", "take it out: it is rarely meant")
        return


def check_markers(sql: str, tokens: Sequence[Token] | None) -> Iterator[Problem]:
    """V08: template markers that nothing has filled in; in a string they may be meant, so there they are a warning.

    Args:
        tokens: None when the text cannot be cut into tokens.
    """
    places = {} if tokens is None else {token.start: token for token in tokens}
    starts = sorted(places)
    at = 0
    for match in _MARKER.finditer(sql):
        kind = ""
        if starts:
            while at + 1 < len(starts) and starts[at + 1] <= match.start():
                at += 1
            kind = places[starts[at]].kind
        if kind == "comment":
            continue
        yield problem_at(
            "V08",
            sql,
            match.start(),
            f"{match.group()!r} looks like a template marker that was not filled in",
            "render the template first, or give the variable a value",
            severity="warning" if kind in ("string", "quoted", "escaped") else "error",
        )
