"""Rules on what a caller may do: V05 kinds of statements, V09 settings, V14 destruction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from orchestration.flink.text.kinds import StatementFamily, StatementKind, kind_of, setting_of
from orchestration.flink.text.mode import RUNTIME_MODE
from orchestration.flink.text.rules.problem import Permission, Problem, Purpose, problem_at
from orchestration.flink.text.tokens import Token

DENIED_KEYS = frozenset({"execution.target"})
DENIED_PREFIXES = (
    "env.java.",
    "jobmanager.",
    "kubernetes.",
    "rest.",
    "security.",
    "sql-gateway.",
    "table.resources.",
    "taskmanager.",
)
_ROUTED_MODES = ("batch", "streaming")
_NEEDS: dict[StatementFamily, Permission] = {
    StatementFamily.DDL: "ddl",
    StatementFamily.SESSION: "ddl",
    StatementFamily.DML: "dml",
    StatementFamily.JOB: "dml",
}
_PERSISTENT = (StatementKind.QUERY, StatementKind.INSERT, StatementKind.STATEMENT_SET)
_DESTRUCTIVE = ("DROP", "TRUNCATE", "DELETE", "UPDATE")


def is_denied(key: str) -> bool:
    """Whether callers may not set this Flink setting: it belongs to the cluster or the gateway, not to a statement."""
    plain = key.strip().lower()
    return plain in DENIED_KEYS or plain.startswith(DENIED_PREFIXES)


def check_kind(sql: str, tokens: Sequence[Token], purpose: Purpose, allow: Set[Permission]) -> Iterator[Problem]:
    """V05: a kind of statement that this purpose does not take.

    What is no statement at all (`SELEC 1`) passes: Flink's parser knows better what is wrong with it.
    """
    kind = kind_of(tokens)
    if purpose == "script" or kind.family == StatementFamily.OTHER:
        return
    head = tokens[0].text.upper()
    if purpose == "persistent":
        if kind not in _PERSISTENT:
            yield problem_at(
                "V05",
                sql,
                tokens[0].start,
                f"{head} cannot be a persistent query",
                "give a SELECT, an INSERT or a statement set; DDL belongs into the query's inputs",
            )
        return
    needed = _NEEDS.get(kind.family)
    if needed is not None and needed not in allow:
        yield problem_at(
            "V05",
            sql,
            tokens[0].start,
            f"{head} is not allowed in an ad-hoc query",
            f"allow {needed} for this call, or run it as a script",
        )


def check_destruction(sql: str, tokens: Sequence[Token], allow: Set[Permission]) -> Iterator[Problem]:
    """V14: DROP, TRUNCATE, DELETE and UPDATE. DROP TEMPORARY forgets a name of the session only, and passes."""
    words = [token.word for token in tokens[:2]]
    if words[0] in _DESTRUCTIVE and words[1:] != ["TEMPORARY"] and "destructive" not in allow:
        what = " ".join(word for word in words if word) if words[0] == "DROP" else words[0]
        yield problem_at(
            "V14",
            sql,
            tokens[0].start,
            f"{what} destroys something, and that was not allowed",
            "allow destructive statements for this call when you mean it",
        )


def check_setting(sql: str, tokens: Sequence[Token], purpose: Purpose) -> Iterator[Problem]:
    """V09: SET of a denied key, or of the runtime mode.

    In a script SET 'execution.runtime-mode' to batch or streaming is a warning: the engine runs what follows on a
    session of that mode, because a session cannot change its own.
    """
    setting = setting_of(tokens)
    if setting is None or setting.key is None:
        return
    if setting.key.strip().lower() == RUNTIME_MODE:
        is_reset = tokens[0].word == "RESET"
        is_routed = purpose == "script" and (is_reset or (setting.value or "").strip().lower() in _ROUTED_MODES)
        yield problem_at(
            "V09",
            sql,
            setting.start,
            f"the mode of a session is fixed: {RUNTIME_MODE} "
            + ("moves the statements after it to another session" if is_routed else "cannot be set here"),
            None if is_routed else "choose batch or streaming when you start",
            severity="warning" if is_routed else "error",
        )
    elif tokens[0].word == "SET" and is_denied(setting.key):
        message = f"{setting.key} belongs to the cluster and cannot be set by a statement"
        yield problem_at("V09", sql, setting.start, message, "ask who runs the cluster to set it there")
