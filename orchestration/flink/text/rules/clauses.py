"""Finds the clauses of each SELECT in a statement's tokens: parentheses become a tree, keywords cut it.

No grammar: enough to tell the ORDER BY of a query from that of an OVER, and the FROM of a SELECT from that of EXTRACT.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from orchestration.flink.text.tokens import Token

Item: TypeAlias = "Token | Group"


@dataclass
class Group:
    """What stands between a pair of parentheses, or the whole statement (`opening` and `closing` are None)."""

    opening: Token | None = None
    closing: Token | None = None
    items: list[Item] = field(default_factory=list)


@dataclass
class Select:
    """One SELECT with what belongs to it; `clauses` maps SELECT, FROM, WHERE, GROUP, HAVING to their items."""

    start: Token
    clauses: dict[str, list[Item]] = field(default_factory=dict)
    keywords: dict[str, Token] = field(default_factory=dict)

    def clause(self, name: str) -> list[Item]:
        """Return the items of a clause; an absent clause is empty."""
        return self.clauses.get(name, [])


@dataclass
class Query:
    """Selects joined by UNION and the like, with the ORDER BY and LIMIT of all.

    Args:
        is_output: whether its columns are those of the statement, as opposed to a subquery's.
    """

    is_output: bool
    selects: list[Select] = field(default_factory=list)
    order_by: Token | None = None
    limit: Token | None = None


_CLAUSES = frozenset({"FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY"})
_SET_OPERATORS = frozenset({"UNION", "INTERSECT", "EXCEPT", "MINUS"})
_STARTS_QUERY = frozenset({"SELECT", "WITH"})


def unbalanced(tokens: Sequence[Token]) -> tuple[Token, str] | None:
    """Return the first parenthesis that has no partner, and what is wrong with it; None when all have one."""
    opened: list[Token] = []
    for token in tokens:
        if token.kind != "other":
            # A semicolon ends what it stands in, except in a statement set, whose parts have no open parenthesis.
            if token.kind == "end" and opened:
                break
            continue
        if token.text == "(":
            opened.append(token)
        elif token.text == ")":
            if not opened:
                return token, "this parenthesis was never opened"
            opened.pop()
    return (opened[-1], "this parenthesis is never closed") if opened else None


def tree(tokens: Sequence[Token]) -> Group:
    """Return the tokens, without blanks and with balanced parentheses, as a tree."""
    root = Group()
    stack = [root]
    for token in tokens:
        if token.kind == "other" and token.text == "(":
            group = Group(token)
            stack[-1].items.append(group)
            stack.append(group)
        elif token.kind == "other" and token.text == ")":
            stack.pop().closing = token
        else:
            stack[-1].items.append(token)
    return root


def flat(items: Sequence[Item]) -> Iterator[Token]:
    """Yield all tokens of a part of the tree, in order and without the parentheses."""
    stack = [iter(items)]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, Token):
            yield item
        else:
            stack.append(iter(item.items))


def queries(root: Group) -> list[Query]:
    """Return every query of a statement, subqueries too, outer ones first."""
    found: list[Query] = []
    waiting = deque([(root, True)])
    while waiting:
        group, is_output = waiting.popleft()
        for section in _sections(group):
            if group is root or _word(section, 0) in _STARTS_QUERY:
                found.append(_query(section, is_output))
            may_be_input = True
            for index, item in enumerate(section):
                if isinstance(item, Group):
                    waiting.append((item, is_output and _is_whole(section, index, may_be_input)))
                elif item.word in ("SELECT", "WITH", "AS"):
                    may_be_input = False
    return found


def _sections(group: Group) -> list[list[Item]]:
    sections: list[list[Item]] = [[]]
    for item in group.items:
        if isinstance(item, Token) and item.kind == "end":
            sections.append([])
        else:
            sections[-1].append(item)
    return [section for section in sections if section]


def _word(items: Sequence[Item], index: int) -> str:
    if not 0 <= index < len(items):
        return ""
    item = items[index]
    return item.word if isinstance(item, Token) else ""


def _is_whole(section: Sequence[Item], index: int, may_be_input: bool) -> bool:
    """Whether a group is a query of its own: (SELECT …) UNION ALL (SELECT …), INSERT INTO t (SELECT …)."""
    before = index - 1 if _word(section, index - 1) not in ("ALL", "DISTINCT") else index - 2
    if index == 0 or _word(section, before) in _SET_OPERATORS:
        return True
    group = section[index]
    return may_be_input and isinstance(group, Group) and _word(group.items, 0) in _STARTS_QUERY


def _query(section: Sequence[Item], is_output: bool) -> Query:
    query = Query(is_output)
    clause: list[Item] = []  # what comes before the first SELECT is dropped
    for index, item in enumerate(section):
        word = _word(section, index)
        following = _word(section, index + 1)
        if not isinstance(item, Token) or not word or _is_path(section, index):
            clause.append(item)
        elif word == "SELECT":
            clause = []
            query.selects.append(Select(item, {"SELECT": clause}, {"SELECT": item}))
        elif word == "ORDER" and following == "BY":
            query.order_by, clause = item, []
        elif word == "LIMIT" or (word == "FETCH" and following in ("FIRST", "NEXT")):
            query.limit, clause = item, []
        elif word in _SET_OPERATORS:
            clause = []
        elif word in _CLAUSES and query.selects and _opens_clause(section, index):
            clause = []
            query.selects[-1].clauses[word] = clause
            query.selects[-1].keywords[word] = item
        else:
            clause.append(item)
    return query


def _is_path(section: Sequence[Item], index: int) -> bool:
    """Whether a word is a part of a dotted name, as `t.group`."""
    before = section[index - 1] if index else None
    return isinstance(before, Token) and before.text == "."


def _opens_clause(section: Sequence[Item], index: int) -> bool:
    match _word(section, index):
        case "FROM":
            return _word(section, index - 1) != "DISTINCT" or _word(section, index - 2) not in ("IS", "NOT")
        case "GROUP":
            return _word(section, index + 1) == "BY"
        case "WINDOW":
            return _word(section, index + 2) == "AS"
        case _:
            return True
