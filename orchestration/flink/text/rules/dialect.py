"""Rules on forms of other dialects: V03 EMIT, V04 ksqlDB, V17 `!=` and WHERE without FROM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from orchestration.flink.text.rules.clauses import Group, Query
from orchestration.flink.text.rules.problem import Problem, problem_at
from orchestration.flink.text.tokens import Token

_FUNCTIONS = {"LATEST_BY_OFFSET": "LAST_VALUE", "EARLIEST_BY_OFFSET": "FIRST_VALUE"}
_WINDOWS = {
    "TUMBLING": "FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR)) … GROUP BY window_start, window_end",
    "HOPPING": "FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '1' HOUR)) … "
    "GROUP BY window_start, window_end; the slide comes before the size",
    "SESSION": "FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) … "
    "GROUP BY k, window_start, window_end",
}


def check_emit(sql: str, tokens: Sequence[Token]) -> Iterator[Problem]:
    """V03: EMIT CHANGES and EMIT FINAL."""
    for first, second in pairwise(tokens):
        if first.word == "EMIT" and second.word in ("CHANGES", "FINAL"):
            yield problem_at(
                "V03",
                sql,
                first.start,
                f"EMIT {second.word} is not valid Flink SQL syntax",
                "leave it out: a streaming query sends every change by itself"
                if second.word == "CHANGES"
                else "leave it out: a window TVF sends each window once, when it is over",
            )


def check_ksql(sql: str, tokens: Sequence[Token]) -> Iterator[Problem]:
    """V04: statements and functions of ksqlDB, each with Flink's form."""
    words = [token.word for token in tokens]
    if words[:1] == ["TERMINATE"]:
        yield problem_at(
            "V04", sql, tokens[0].start, "TERMINATE is ksqlDB", "stop the query by its name, or STOP JOB '<job id>'"
        )
    if words[:1] == ["CREATE"] and "STREAM" in words[1:5]:
        index = words.index("STREAM")
        if all(word in ("OR", "REPLACE", "SOURCE") for word in words[1:index]):
            hint = "CREATE TABLE … WITH ('connector' = …), and INSERT INTO it for CREATE STREAM … AS SELECT"
            yield problem_at("V04", sql, tokens[index].start, "CREATE STREAM is ksqlDB: Flink has tables", hint)
    for index, token in enumerate(tokens[:-1]):
        following = tokens[index + 1]
        opens = index + 2 < len(tokens) and tokens[index + 2].text == "("
        if token.word == "WINDOW" and following.word in _WINDOWS and opens:
            message = f"WINDOW {following.word} (…) is ksqlDB: Flink's windows are functions over a table"
            yield problem_at("V04", sql, token.start, message, _WINDOWS[following.word])
        elif token.word in _FUNCTIONS and following.text == "(":
            hint = f"Flink's form is {_FUNCTIONS[token.word]}(column)"
            yield problem_at("V04", sql, token.start, f"{token.word} is ksqlDB", hint)


def check_partition_by(sql: str, root: Group) -> Iterator[Problem]:
    """V04: PARTITION BY as a clause of the query, as opposed to that of OVER, MATCH_RECOGNIZE or a table function."""
    tokens = [item if isinstance(item, Token) else None for item in root.items]
    for first, second in pairwise(tokens):
        if first is not None and second is not None and (first.word, second.word) == ("PARTITION", "BY"):
            hint = (
                "leave it out: Flink shuffles by the keys of GROUP BY and JOIN; a Kafka key is the sink's `key.fields`"
            )
            yield problem_at("V04", sql, first.start, "PARTITION BY as a clause of its own is ksqlDB", hint)


def check_bang_equal(sql: str, tokens: Sequence[Token]) -> Iterator[Problem]:
    """V17: `!=`."""
    for first, second in pairwise(tokens):
        if first.text == "!" and second.text == "=" and second.start == first.start + 1:
            yield problem_at("V17", sql, first.start, "'!=' is not an operator of Flink SQL", "write <>")


def check_where(sql: str, found: Sequence[Query]) -> Iterator[Problem]:
    """V17: WHERE in a SELECT without FROM."""
    for select in (select for query in found for select in query.selects):
        if "WHERE" in select.keywords and "FROM" not in select.keywords:
            hint = "select FROM (VALUES (1)) AS t(x), or put the condition into a CASE"
            where = select.keywords["WHERE"].start
            yield problem_at("V17", sql, where, "Flink takes WHERE only after FROM", hint)
