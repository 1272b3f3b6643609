"""Hints of ours in comments: `/** mode('batch') fetch_max(100) */`.

Only a comment that opens with `/**` holds hints; `/*+ OPTIONS(…) */` is Flink's own. A value is bare or in quotes and
may hold parentheses and quotes. Several hints a comment, several comments a statement; the later one wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from orchestration.errors import StatementError
from orchestration.flink.text.kinds import StatementKind, classify
from orchestration.flink.text.mode import RUNTIME_MODE
from orchestration.flink.text.rules.permission import is_denied
from orchestration.flink.text.rules.problem import Problem, problem_at
from orchestration.flink.text.tokens import Token, tokenize

_STRING = r"'(?:[^']|'')*+'"
_ITEM = re.compile(
    rf"(?P<name>[A-Za-z_]\w*)\((?P<value>(?:[^'()]|{_STRING}|\((?:[^'()]|{_STRING})*+\))*+)(?P<close>\)?)"
)
_PAIR = re.compile(r"(?:[^\\;]|\\.)+")


@dataclass(frozen=True)
class Hint:
    """One hint.

    Args:
        value: text, whole number, truth value, or the settings of `execution_config`.
        start: offset of its name in the text.
    """

    name: str
    value: str | int | bool | Mapping[str, str]
    start: int


def read_hints(sql: str) -> tuple[dict[str, Hint], list[Problem]]:
    """Return the hints of a text by name, and V16 problems: unknown names (warnings), bad values (errors).

    Raises:
        StatementError: something in the text is never closed.
    """
    hints: dict[str, Hint] = {}
    problems: list[Problem] = []
    for token in tokenize(sql):
        for found in _hints(sql, token):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                hints[found.name] = found
    return hints, problems


def _hints(sql: str, token: Token) -> Iterator[Hint | Problem]:
    if token.kind != "comment" or not token.text.startswith("/**") or token.text == "/**/":
        return
    inside = token.text[3:-2]
    is_all_hints = not _ITEM.sub("", inside).strip(" \t\r\n,")
    for match in _ITEM.finditer(inside):
        name, start = match["name"], token.start + 3 + match.start()
        read = _READERS.get(name.lower())
        if read is None:
            close = get_close_matches(name.lower(), _READERS, n=1, cutoff=0.75)
            # A comment for people may hold a call too: "sums the amount (net)".
            if close or is_all_hints:
                yield problem_at(
                    "V16",
                    sql,
                    start,
                    f"there is no hint {name}",
                    f"did you mean {close[0]}?" if close else f"hints are {', '.join(_READERS)}",
                    severity="warning",
                )
            continue
        try:
            if not match["close"]:
                raise ValueError("its parenthesis is never closed")
            yield Hint(name.lower(), read(_unquoted(match["value"])), start)
        except ValueError as error:
            yield problem_at("V16", sql, start, f"hint {name}: {error}", "correct the value, or take the hint out")


def _unquoted(value: str) -> str:
    text = value.strip()
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    return text


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(f"{value!r} is none of {', '.join(choices)}")
        return value.lower()

    return read


def _count(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", value) or int(value) == 0:
        raise ValueError(f"{value!r} is not a whole number above 0")
    return int(value)


def _truth(value: str) -> bool:
    return _one_of("true", "false")(value) == "true"


def _config(value: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    for part in _PAIR.findall(value):
        pair = re.sub(r"\\(.)", r"\1", part)
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not pair.strip():
            continue
        if not equals or not key:
            raise ValueError(f"{pair.strip()!r} is not of the form key=value")
        if is_denied(key) or key.lower() == RUNTIME_MODE:
            raise ValueError(f"{key} cannot be set for a statement")
        settings[key] = text.strip()
    if not settings:
        raise ValueError("it holds no key=value")
    return settings


def _drop(value: str) -> str:
    try:
        kind = classify(value)
    except StatementError as error:
        raise ValueError(error.message) from error
    if kind is not StatementKind.DDL or not value.lstrip().upper().startswith("DROP"):
        raise ValueError(f"{value!r} is not a DROP statement")
    return value


_READERS: dict[str, Callable[[str], str | int | bool | Mapping[str, str]]] = {
    "mode": _one_of("batch", "streaming"),
    "fetch_max": _count,
    "fetch_timeout_ms": _count,
    "test_query": _truth,
    "execution_config": _config,
    "drop_statement": _drop,
    "upgrade_mode": _one_of("stateless", "savepoint", "last_state"),
    "job_state": _one_of("running", "suspended"),
}
