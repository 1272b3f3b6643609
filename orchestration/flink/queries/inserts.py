"""The INSERTs of a persistent query: where each one writes, and the statement that runs them as one job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from orchestration.errors import SqlRefusedError
from orchestration.flink.text.script import StatementKind, classify
from orchestration.flink.text.tokens import Token, significant, tokenize
from orchestration.sql import quote_flink

_QUERY_WORDS = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})


@dataclass(frozen=True)
class Insert:
    """One branch of a job.

    Attributes:
        query: what it reads and computes.
        table: path of the table that it names, or () when the query names none and the sink is generated.
        text: the INSERT as it was written; for a bare query the query.
        is_plain: INSERT INTO a table and nothing more. With columns, a partition, a hint or OVERWRITE it fits one table
            only, so none is generated for it.
    """

    query: str
    table: tuple[str, ...]
    text: str
    is_plain: bool = True

    @property
    def quoted_table(self) -> str:
        """The path of the table as it goes into SQL."""
        return ".".join(quote_flink(part) for part in self.table)


def parse_inserts(sql: str) -> tuple[Insert, ...]:
    """Return the branches of a query, an INSERT or a statement set, in order.

    Raises:
        SqlRefusedError: it is something else, or an INSERT that cannot be read.
        StatementError: something in it is never closed.
    """
    match classify(sql):
        case StatementKind.QUERY:
            return (Insert(sql, (), sql),)
        case StatementKind.INSERT:
            return (_insert(sql, list(tokenize(sql))),)
        case StatementKind.STATEMENT_SET:
            branches = tuple(_insert(sql, part) for part in _members(sql))
            if not branches:
                raise _refused("the statement set holds no INSERT")
            return branches
        case kind:
            raise _refused(f"a persistent query is a query, an INSERT or a statement set, not {kind.value}")


def job_statement(inserts: Sequence[Insert], generated: Mapping[Insert, str]) -> str:
    """Return the statement that runs all branches as one job.

    Args:
        generated: quoted path of the sink of each branch whose table we made; the others go where they say.
    """
    texts = [f"INSERT INTO {generated[one]} {one.query}" if one in generated else one.text for one in inserts]
    if len(texts) == 1:
        return texts[0]
    return "EXECUTE STATEMENT SET BEGIN\n" + "".join(f"{text};\n" for text in texts) + "END"


def _members(sql: str) -> Iterator[list[Token]]:
    """Yield the tokens of each statement of a set: what stands between BEGIN or `;` and the next `;`."""
    part: list[Token] = []
    is_inside = False
    for token in tokenize(sql):
        if not is_inside:
            is_inside = token.word == "BEGIN"
        elif token.kind == "end":
            if significant(part):
                yield part
            part = []
        else:
            part.append(token)
    rest = significant(part)
    if [token.word for token in rest] not in (["END"], []):
        raise _refused("each INSERT of a statement set ends with a semicolon, and END stands alone")


def _insert(sql: str, tokens: Sequence[Token]) -> Insert:
    parts = significant(tokens)
    if parts and parts[0].word == "EXECUTE":
        parts = parts[1:]
    words = [token.word for token in parts[:2]]
    if words not in (["INSERT", "INTO"], ["INSERT", "OVERWRITE"]):
        raise _refused("each statement of the set must be an INSERT INTO … SELECT")
    table, rest = _path(parts[2:])
    head = list(takewhile(lambda token: not _begins_query(token), rest))
    # A query in parentheses belongs to the query, a list of columns to the head.
    opened = [index for index, token in enumerate(head) if token.text == "("]
    depth = sum({"(": 1, ")": -1}.get(token.text, 0) for token in head)
    cut = opened[-depth] if depth > 0 else len(head)
    body = rest[cut:]
    if not table or not body or body[0].text == ")":
        raise _refused("this INSERT cannot be read: write INSERT INTO table SELECT …")
    start, end = parts[0].start, parts[-1].start + len(parts[-1].text)
    return Insert(sql[body[0].start : end], table, sql[start:end], is_plain=cut == 0 and words[1] == "INTO")


def _begins_query(token: Token) -> bool:
    return token.word in _QUERY_WORDS


def _path(tokens: Sequence[Token]) -> tuple[tuple[str, ...], Sequence[Token]]:
    """Read `a.b.c` and return its parts and what follows."""
    path: list[str] = []
    position = 0
    while position < len(tokens) and tokens[position].name:
        path.append(tokens[position].name)
        if position + 1 >= len(tokens) or tokens[position + 1].text != ".":
            return tuple(path), tokens[position + 1 :]
        position += 2
    return (), tokens


def _refused(message: str) -> SqlRefusedError:
    return SqlRefusedError(message, context={"code": "validation_failed", "rule": "V05"})
