"""Tells what a statement does, by its keywords: the kinds of statements and the settings that SET and RESET name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestration.flink.text.tokens import Token, significant, string_value, tokenize


class StatementFamily(StrEnum):
    """The classes of statements that permissions and metrics speak of."""

    QUERY = "query"
    DML = "dml"
    DDL = "ddl"
    SESSION = "session"
    INFO = "info"
    JOB = "job"
    OTHER = "other"


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

    @property
    def only_reads(self) -> bool:
        """Whether it leaves nothing behind, neither in the session nor on the cluster: a query, SHOW, EXPLAIN."""
        return self.family in (StatementFamily.QUERY, StatementFamily.INFO)

    @property
    def family(self) -> StatementFamily:
        """The class that permissions and metrics speak of."""
        return _FAMILIES[self]


_FAMILIES = {
    StatementKind.QUERY: StatementFamily.QUERY,
    StatementKind.INSERT: StatementFamily.DML,
    StatementKind.STATEMENT_SET: StatementFamily.DML,
    StatementKind.CREATE_AS: StatementFamily.DML,
    StatementKind.DML: StatementFamily.DML,
    StatementKind.DDL: StatementFamily.DDL,
    StatementKind.SET: StatementFamily.SESSION,
    StatementKind.RESET: StatementFamily.SESSION,
    StatementKind.USE: StatementFamily.SESSION,
    StatementKind.LOAD: StatementFamily.SESSION,
    StatementKind.INFO: StatementFamily.INFO,
    StatementKind.JOB: StatementFamily.JOB,
    StatementKind.EMPTY: StatementFamily.OTHER,
    StatementKind.OTHER: StatementFamily.OTHER,
}

_FIRST_WORD = {
    "SELECT": StatementKind.QUERY,
    "WITH": StatementKind.QUERY,
    "VALUES": StatementKind.QUERY,
    "TABLE": StatementKind.QUERY,
    "INSERT": StatementKind.INSERT,
    "UPSERT": StatementKind.INSERT,
    "UPDATE": StatementKind.DML,
    "DELETE": StatementKind.DML,
    "MERGE": StatementKind.DML,
    "TRUNCATE": StatementKind.DML,
    "CALL": StatementKind.DML,
    "ANALYZE": StatementKind.DML,
    # COMPILE PLAN writes a file on the gateway's machine; COMPILE AND EXECUTE PLAN starts a job too.
    "COMPILE": StatementKind.DML,
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
FIRST_WORDS = (*_FIRST_WORD, "CREATE", "REPLACE", "EXECUTE")
"""What statements start with."""

_EXECUTE = {"STATEMENT": StatementKind.STATEMENT_SET, "PLAN": StatementKind.DML}


def classify(sql: str) -> StatementKind:
    """Return the kind of one statement, by its keywords.

    Raises:
        StatementError: something in it is never closed.
    """
    return kind_of(significant(tokenize(sql)))


def kind_of(tokens: Sequence[Token]) -> StatementKind:
    """Return the kind of the statement that these tokens, without blanks, are."""
    first = next((index for index, token in enumerate(tokens) if token.text not in ("(", ";")), None)
    if first is None:
        return StatementKind.EMPTY
    words = [token.word for token in tokens[first : first + 5]]
    if words[0] in ("CREATE", "REPLACE"):
        return StatementKind.CREATE_AS if _is_create_table_as(tokens[first:]) else StatementKind.DDL
    if words[0] == "EXECUTE" and len(words) > 1:
        return _EXECUTE.get(words[1]) or _FIRST_WORD.get(words[1], StatementKind.OTHER)
    return _FIRST_WORD.get(words[0], StatementKind.OTHER)


def _is_create_table_as(tokens: Sequence[Token]) -> bool:
    """CREATE [OR REPLACE] TABLE … AS <query>; a computed column's AS stands inside parentheses."""
    words = [token.word for token in tokens[:5]]
    if "TABLE" not in words[1:] or "VIEW" in words[1:] or "FUNCTION" in words[1:]:
        return False
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "other" else 0
        if token.word == "AS" and depth == 0:
            return True
    return False


@dataclass(frozen=True)
class Setting:
    """What SET or RESET names.

    Args:
        key: None for a bare SET (lists all) or RESET (resets all).
        value: None for RESET.
        start: offset of the key, or of the statement without one.
    """

    key: str | None
    value: str | None
    start: int


def setting_of(tokens: Sequence[Token]) -> Setting | None:
    """Return what these tokens, without blanks, SET or RESET, or None for any other statement.

    Flink takes keys and values with and without quotes: `SET 'a.b' = 'c'`, `SET a.b = c`.
    """
    parts = [token for token in tokens if token.kind != "end"]
    if not parts or parts[0].word not in ("SET", "RESET"):
        return None
    if len(parts) == 1:
        return Setting(None, None, parts[0].start)
    equals = next((index for index, token in enumerate(parts) if token.text == "="), len(parts))
    value = _plain(parts[equals + 1 :]) if equals < len(parts) else None
    return Setting(_plain(parts[1:equals]), value, parts[1].start)


def _plain(tokens: Sequence[Token]) -> str:
    values = [string_value(token) for token in tokens]
    return "".join(token.text if value is None else value for token, value in zip(tokens, values, strict=True)).strip()
