"""Reads the head of a statement that changes a session: what it does, and to which object. The gateway parses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestration.flink.text.kinds import setting_of
from orchestration.flink.text.tokens import Token, significant, string_value, tokenize

Action = Literal[
    "CREATE", "ALTER", "DROP", "USE", "USE CATALOG", "USE MODULES", "SET", "RESET", "LOAD", "UNLOAD", "JAR"
]
Path = tuple[str, ...]

_OBJECTS = frozenset({"TABLE", "VIEW", "FUNCTION", "DATABASE", "CATALOG", "MODEL", "CONNECTION"})
_BETWEEN = frozenset({"OR", "REPLACE", "TEMPORARY", "SYSTEM", "MATERIALIZED", "IF", "NOT", "EXISTS"})


@dataclass(frozen=True)
class Head:
    """What a statement says before its details.

    Args:
        object: TABLE, VIEW, CATALOG, …; for SET and RESET empty.
        path: the object's name as written, without quotes; for SET and RESET the key, empty for all.
        value: of SET, else empty.
        renamed_to: of ALTER … RENAME TO.
        options: the WITH clause of a catalog.
    """

    action: Action
    object: str = ""
    path: Path = ()
    is_temporary: bool = False
    has_if_not_exists: bool = False
    replaces: bool = False
    value: str = ""
    renamed_to: Path = ()
    options: tuple[tuple[str, str], ...] = ()


def read_head(sql: str) -> Head | None:
    """Return the head of CREATE, ALTER, DROP, USE, SET, RESET, LOAD, UNLOAD, ADD JAR; else None.

    `SET` alone, which only lists the settings, gives None too.

    Raises:
        StatementError: something in it is never closed.
    """
    tokens = [token for token in significant(tokenize(sql)) if token.kind != "end"]
    words = [token.word for token in tokens]
    match words[:2]:
        case ["CREATE" | "ALTER" | "DROP", *_]:
            return _of_object(tokens)
        case ["USE", "CATALOG"]:
            return Head("USE CATALOG", "CATALOG", _path(tokens, 2))
        case ["USE", "MODULES" | "MODULE"]:
            return Head("USE MODULES")
        case ["USE", *_]:
            return Head("USE", "DATABASE", _path(tokens, 1))
        case ["SET" | "RESET" as action, *_]:
            setting = setting_of(tokens)
            if setting is None or (action == "SET" and setting.value is None):
                return None
            return Head(action, path=(setting.key,) if setting.key else (), value=setting.value or "")
        case ["LOAD" | "UNLOAD", "MODULE"]:
            return Head("LOAD" if words[0] == "LOAD" else "UNLOAD", "MODULE", _path(tokens, 2))
        case ["ADD", "JAR"]:
            return Head("JAR", path=tuple(string_value(token) or "" for token in tokens[2:3]))
        case _:
            return None


def _of_object(tokens: list[Token]) -> Head | None:
    action = tokens[0].word
    at = next((i for i, token in enumerate(tokens[1:7], start=1) if token.word in _OBJECTS), None)
    if at is None:
        return None
    # Only the words around the keyword count: `TEMPORARY` may also be a column's name.
    end = at + 1
    while end < len(tokens) and tokens[end].word in _BETWEEN:
        end += 1
    around = {token.word for token in tokens[:end]}
    path = _path(tokens, end)
    after = tokens[end + 2 * len(path) - 1 :]
    is_rename = [token.word for token in after[:2]] == ["RENAME", "TO"]
    return Head(
        "CREATE" if action == "CREATE" else "ALTER" if action == "ALTER" else "DROP",
        tokens[at].word,
        path,
        is_temporary="TEMPORARY" in around,
        has_if_not_exists="NOT" in around,
        replaces="REPLACE" in around,
        renamed_to=_path(after, 2) if is_rename else (),
        options=_options(after) if tokens[at].word == "CATALOG" else (),
    )


def _path(tokens: list[Token], start: int) -> Path:
    """Names joined by dots."""
    parts: list[str] = []
    for index in range(start, len(tokens), 2):
        if not tokens[index].name:
            break
        parts.append(tokens[index].name)
        if index + 1 >= len(tokens) or tokens[index + 1].text != ".":
            break
    return tuple(parts)


def _options(tokens: list[Token]) -> tuple[tuple[str, str], ...]:
    """Each 'key' = 'value'."""
    triples = zip(tokens, tokens[1:], tokens[2:], strict=False)
    return tuple(
        (string_value(key) or "", string_value(value) or "")
        for key, equals, value in triples
        if (key.kind, equals.text, value.kind) == ("string", "=", "string")
    )
