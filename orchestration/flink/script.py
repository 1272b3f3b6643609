"""Splits Flink SQL scripts into statements and tells their kind, on tokens.

It is not a parser: it knows comments, hints, string literals and quoted identifiers, so that a semicolon or a keyword
inside them does not count. The gateway parses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from orchestration.errors import StatementError

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>--[^\n]*|/\*(?!\+).*?\*/)
    | (?P<hint>/\*\+.*?\*/)
    | (?P<string>'(?:[^']|'')*')
    | (?P<quoted>`(?:[^`]|``)*`)
    | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*')
    | (?P<word>[^\W\d]\w*)
    | (?P<end>;)
    | (?P<open>/\*|'|`)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN_NAMES = {"/*": "comment", "'": "string literal", "`": "quoted identifier"}


class StatementKind(StrEnum):
    """What a statement does, as far as the caller must know to choose how to run it."""

    QUERY = "query"
    INSERT = "insert"
    STATEMENT_SET = "statement_set"
    CREATE_AS = "create_as"
    DML = "dml"
    DDL = "ddl"
    SET = "set"
    RESET = "reset"
    USE = "use"
    LOAD = "load"
    INFO = "info"
    JOB = "job"
    EMPTY = "empty"
    OTHER = "other"

    @property
    def starts_job(self) -> bool:
        """Whether running it submits a Flink job that goes on after the statement."""
        return self in (StatementKind.INSERT, StatementKind.STATEMENT_SET, StatementKind.CREATE_AS, StatementKind.DML)


@dataclass(frozen=True)
class Token:
    """A piece of SQL; `kind` is the name of a group of the pattern above."""

    kind: str
    text: str
    start: int

    @property
    def word(self) -> str:
        """The keyword in upper case, or "" for anything but a bare word."""
        return self.text.upper() if self.kind == "word" else ""


@dataclass(frozen=True)
class Statement:
    """One statement without its semicolon; `line` is that of its first token in the script, counted from 1."""

    text: str
    line: int

    @property
    def kind(self) -> StatementKind:
        """Kind of the statement."""
        return classify(self.text)


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


def position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of `offset` in `text`, counted from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def split_script(text: str) -> list[Statement]:
    """Cut a script at its semicolons; parts that hold only comments are dropped, statement sets stay whole.

    `BEGIN STATEMENT SET; …; END` is an interactive form that the gateway does not take in one request. It comes out as
    its equal, `EXECUTE STATEMENT SET BEGIN … END`, with the lines of the inside unchanged.

    Raises:
        StatementError: something is never closed: a comment, a string, an identifier, a statement set.
    """
    statements: list[Statement] = []
    part: list[Token] = []
    in_set = False
    for token in tokenize(text):
        if token.kind == "end" and not in_set:
            if _is_begin(_words(part)):
                in_set = True
                part.append(token)
                continue
            statements += _statement(text, part)
            part = []
            continue
        if token.kind in ("space", "comment") and not part:
            continue
        part.append(token)
        if token.word == "BEGIN" and _opens_set(part):
            in_set = True
        elif in_set and token.word == "END" and _starts_statement(part):
            in_set = False
    if in_set:
        line, column = position(text, part[0].start)
        raise StatementError(
            f"line {line}, column {column}: this statement set has no END",
            hint="each INSERT of a set ends with a semicolon, and END stands alone",
            context={"code": "sql_parse_error", "line": line, "column": column},
        )
    return statements + _statement(text, part)


def _statement(text: str, part: Sequence[Token]) -> list[Statement]:
    tokens = list(part)
    while tokens and tokens[-1].kind in ("space", "comment"):
        tokens.pop()
    if not tokens:
        return []
    sql = "".join(token.text for token in tokens)
    if _is_begin(_words(tokens)[:3]):
        sql = _as_execute(tokens)
    return [Statement(sql, position(text, tokens[0].start)[0])]


def _as_execute(tokens: Sequence[Token]) -> str:
    """Rewrite BEGIN STATEMENT SET; … END: only the head changes, and it keeps its line breaks."""
    head_end = next(index for index, token in enumerate(tokens) if token.kind == "end")
    between = "".join(token.text for token in tokens[:head_end] if not token.word)
    return "EXECUTE STATEMENT SET BEGIN" + between.rstrip(" ") + "".join(token.text for token in tokens[head_end + 1 :])


def _significant(tokens: Sequence[Token]) -> list[Token]:
    return [token for token in tokens if token.kind not in ("space", "comment")]


def _words(tokens: Sequence[Token]) -> list[str]:
    """Keywords at the start, "" for the first token that is not a word; enough of them to tell a head."""
    words: list[str] = []
    for token in tokens:
        if token.kind in ("space", "comment"):
            continue
        words.append(token.word)
        if len(words) == 5:
            break
    return words


def _is_begin(words: Sequence[str]) -> bool:
    return list(words) == ["BEGIN", "STATEMENT", "SET"]


def _last(part: Sequence[Token], count: int) -> list[Token]:
    """Return the last `count` tokens that are neither space nor comment, newest first."""
    return list(islice((token for token in reversed(part) if token.kind not in ("space", "comment")), count))


def _opens_set(part: Sequence[Token]) -> bool:
    """Whether the last words are STATEMENT SET BEGIN, after EXECUTE, EXPLAIN or COMPILE PLAN … FOR."""
    return [token.word for token in _last(part, 3)] == ["BEGIN", "SET", "STATEMENT"]


def _starts_statement(part: Sequence[Token]) -> bool:
    """Whether the last token comes right after a semicolon or the set's BEGIN; the END of a CASE does not."""
    before = _last(part, 2)[1:]
    return any(token.kind == "end" or token.word == "BEGIN" for token in before)


_FIRST_WORD = {
    "SELECT": StatementKind.QUERY,
    "WITH": StatementKind.QUERY,
    "VALUES": StatementKind.QUERY,
    "TABLE": StatementKind.QUERY,
    "INSERT": StatementKind.INSERT,
    "UPDATE": StatementKind.DML,
    "DELETE": StatementKind.DML,
    "TRUNCATE": StatementKind.DML,
    "CALL": StatementKind.DML,
    "ANALYZE": StatementKind.DML,
    "ALTER": StatementKind.DDL,
    "DROP": StatementKind.DDL,
    "SET": StatementKind.SET,
    "RESET": StatementKind.RESET,
    "USE": StatementKind.USE,
    "LOAD": StatementKind.LOAD,
    "UNLOAD": StatementKind.LOAD,
    "ADD": StatementKind.LOAD,
    "REMOVE": StatementKind.LOAD,
    "SHOW": StatementKind.INFO,
    "DESCRIBE": StatementKind.INFO,
    "DESC": StatementKind.INFO,
    "EXPLAIN": StatementKind.INFO,
    "HELP": StatementKind.INFO,
    "STOP": StatementKind.JOB,
    "BEGIN": StatementKind.STATEMENT_SET,
}


def classify(sql: str) -> StatementKind:
    """Return the kind of one statement, by its keywords.

    Raises:
        StatementError: something in it is never closed.
    """
    tokens = _significant(list(tokenize(sql)))
    while tokens and tokens[0].text in ("(", ";"):
        tokens.pop(0)
    if not tokens:
        return StatementKind.EMPTY
    words = [token.word for token in tokens]
    if words[0] in ("CREATE", "REPLACE"):
        return StatementKind.CREATE_AS if _is_create_table_as(tokens) else StatementKind.DDL
    if words[0] == "EXECUTE" and len(words) > 1:
        return (
            StatementKind.STATEMENT_SET if words[1] == "STATEMENT" else _FIRST_WORD.get(words[1], StatementKind.OTHER)
        )
    return _FIRST_WORD.get(words[0], StatementKind.OTHER)


def _is_create_table_as(tokens: Sequence[Token]) -> bool:
    """CREATE [OR REPLACE] TABLE … AS <query>; a computed column's AS stands inside parentheses."""
    words = [token.word for token in tokens]
    if "TABLE" not in words[1:5] or "VIEW" in words[1:5] or "FUNCTION" in words[1:5]:
        return False
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "other" else 0
        if token.word == "AS" and depth == 0:
            return True
    return False
