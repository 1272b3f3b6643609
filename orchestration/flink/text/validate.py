"""Checks SQL before anything is sent to Flink: rules V01 to V17, denied settings, and Flink's own opinion by EXPLAIN.

| code | finds |
|---|---|
| V01 | nothing but blanks and comments |
| V02 | several statements where one is expected |
| V03 | EMIT CHANGES, EMIT FINAL |
| V04 | other forms of ksqlDB |
| V05 | a kind of statement that the purpose does not take |
| V06 | a quote, backtick, comment, parenthesis or statement set without its end |
| V07 | more than 1 MiB; control characters |
| V08 | template markers that were not filled in |
| V09 | SET of a setting that is the cluster's, or of the runtime mode |
| V10 | persistent: ORDER BY without LIMIT; LIMIT (warning) |
| V11 | persistent: SELECT * (warning) |
| V12 | windows of the old form (warning, with the statement rewritten) |
| V13 | streaming: GROUP BY or join whose state has no bound (warning) |
| V14 | DROP, TRUNCATE, DELETE, UPDATE without permission |
| V15 | persistent: columns without a name of their own, or with the same name; found when the query is described |
| V16 | hints in `/** … */` that are unknown (warning) or have a bad value |
| V17 | `!=`; WHERE without FROM |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict

import orjson

from orchestration.errors import ConfigError, SqlRefusedError, StatementError
from orchestration.flink.text.hints import read_hints
from orchestration.flink.text.kinds import setting_of
from orchestration.flink.text.mode import Mode
from orchestration.flink.text.rules.clauses import queries, tree, unbalanced
from orchestration.flink.text.rules.deep import check_deep
from orchestration.flink.text.rules.dialect import (
    check_bang_equal,
    check_emit,
    check_ksql,
    check_partition_by,
    check_where,
)
from orchestration.flink.text.rules.legacy_windows import check_legacy_windows
from orchestration.flink.text.rules.permission import check_destruction, check_kind, check_setting, is_denied
from orchestration.flink.text.rules.persistence import check_order, check_star, check_state
from orchestration.flink.text.rules.problem import Permission, Problem, Purpose, problem_at
from orchestration.flink.text.rules.text import check_characters, check_markers, check_size
from orchestration.flink.text.script import split_tokens
from orchestration.flink.text.tokens import Token, significant, tokenize

__all__ = [
    "NO_PERMISSION",
    "Permission",
    "Problem",
    "Purpose",
    "check_deep",
    "check_properties",
    "check_sql",
    "require_valid",
]

NO_PERMISSION: frozenset[Permission] = frozenset()
STATE_TTL = "table.exec.state.ttl"
_MOST_SHOWN = 5
_NO_TTL = re.compile(r"\s*0\s*(?:[a-z]+)?\s*", re.IGNORECASE)


def check_sql(
    sql: str,
    *,
    purpose: Purpose = "adhoc",
    mode: Mode = "streaming",
    allow: Set[Permission] = NO_PERMISSION,
    properties: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Return what is wrong with `sql`, in the order of the text; an empty list when nothing is. Asks no service.

    Args:
        purpose: `adhoc`: one query or SHOW; `script`: any number of statements of any kind; `persistent`: one SELECT,
            INSERT or statement set that runs as a job.
        allow: what else an ad-hoc call may do; `destructive` counts for scripts too.
        properties: Flink settings that the statements will run with; a state TTL among them settles V13.
    """
    problems = list(check_size(sql))
    if problems:
        return problems
    problems += check_characters(sql)
    try:
        tokens = list(tokenize(sql))
        parts = [significant(part) for part in split_tokens(sql)]
    except StatementError as error:
        problems += check_markers(sql, None)
        problems.append(_never_closed(error))
        return _ordered(problems)
    problems += check_markers(sql, tokens)
    parts = [part for part in parts if part]
    if not parts:
        return _ordered([*problems, problem_at("V01", sql, 0, "there is no SQL statement", "write one")])
    if purpose != "script" and len(parts) > 1:
        message = f"one statement is expected here, not {len(parts)}"
        problems.append(problem_at("V02", sql, parts[1][0].start, message, "send them one by one, or run a script"))
    problems += read_hints(sql)[1]
    has_ttl = _is_ttl((properties or {}).get(STATE_TTL))
    for part in parts:
        setting = setting_of(part)
        if setting is not None and setting.key == STATE_TTL:
            has_ttl = _is_ttl(setting.value)
        problems += _check_statement(sql, part, purpose, mode, allow, has_ttl)
    return _ordered(problems)


def _check_statement(
    sql: str, tokens: Sequence[Token], purpose: Purpose, mode: Mode, allow: Set[Permission], has_ttl: bool
) -> Iterator[Problem]:
    """Yield the problems of one statement."""
    yield from check_emit(sql, tokens)
    yield from check_ksql(sql, tokens)
    yield from check_bang_equal(sql, tokens)
    yield from check_kind(sql, tokens, purpose, allow)
    yield from check_destruction(sql, tokens, allow)
    yield from check_setting(sql, tokens, purpose)
    lonely = unbalanced(tokens)
    if lonely is not None:
        token, message = lonely
        yield problem_at("V06", sql, token.start, message, "add or remove one")
        return
    root = tree(tokens)
    found = queries(root)
    yield from check_partition_by(sql, root)
    yield from check_where(sql, found)
    yield from check_legacy_windows(sql, tokens, found)
    if purpose == "persistent":
        yield from check_star(sql, found)
        if mode == "streaming":
            yield from check_order(sql, found)
    if mode == "streaming" and not has_ttl:
        yield from check_state(sql, tokens, found)


def _never_closed(error: StatementError) -> Problem:
    line, column = int(error.context["line"]), int(error.context["column"])
    message = error.message.removeprefix(f"line {line}, column {column}: ")
    return Problem("V06", "error", message, error.hint or "close it", line, column)


def _is_ttl(value: str | None) -> bool:
    return value is not None and not _NO_TTL.fullmatch(value)


def _ordered(problems: Sequence[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line, problem.column, problem.code))


def require_valid(
    sql: str,
    *,
    purpose: Purpose = "adhoc",
    mode: Mode = "streaming",
    allow: Set[Permission] = NO_PERMISSION,
    properties: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Return the warnings about `sql`. Arguments as `check_sql`.

    Raises:
        SqlRefusedError: it has errors. The context has `code` (validation_failed), the first one's `rule`, `line` and
            `column`, and up to five as JSON under `problems`.
    """
    problems = check_sql(sql, purpose=purpose, mode=mode, allow=allow, properties=properties)
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors:
        return problems
    first, shown = errors[0], errors[:_MOST_SHOWN]
    more = f"; and {len(errors) - len(shown)} more" if len(errors) > len(shown) else ""
    raise SqlRefusedError(
        "; ".join(map(str, shown)) + more,
        hint=first.hint,
        context={
            "code": "validation_failed",
            "rule": first.code,
            "line": first.line,
            "column": first.column,
            "problems": orjson.dumps([asdict(problem) for problem in shown]).decode(),
        },
    )


def check_properties(properties: Mapping[str, str]) -> None:
    """Refuse Flink settings that belong to the cluster or the gateway.

    Raises:
        ConfigError: names each such key.
    """
    denied = sorted(key.strip() for key in properties if is_denied(key))
    if denied:
        raise ConfigError(
            f"{', '.join(denied)} cannot be set for a query",
            hint="these belong to the cluster and the gateway: ask who runs them",
            context={"code": "config_invalid", "rule": "V09", "keys": ", ".join(denied)},
        )
