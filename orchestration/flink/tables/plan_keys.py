"""Reads changelog and unique keys out of a plan that EXPLAIN CHANGELOG_MODE printed.

Flink's planner knows the keys of a query but prints them nowhere, so they are followed from the operators that make
them (aggregates, ranks, deduplication) up to the root, by the position of their columns. An operator or an expression
that is not known loses the keys: a key that is missing costs the user a line, a wrong one costs rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from orchestration.flink.tables.plan_text import Operator, UnknownPlanError, parse_plan, physical_plan, split_items

Key = frozenset[int]
"""Positions of columns."""

_CHANGELOG = re.compile(r"changelogMode=\[([A-Z,]*)\]\)$", re.MULTILINE)
_MOST_KEYS = 16


@dataclass(frozen=True)
class PlanFacts:
    """What a plan tells: kinds of change at its root, and unique keys as positions of the query's columns."""

    changelog: frozenset[str]
    keys: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Relation:
    """Output of an operator: names of its columns in order, its keys, and where a window's start and end are."""

    columns: tuple[str, ...]
    keys: frozenset[Key] = frozenset()
    window: Key = frozenset()


TableKey = Callable[[tuple[str, ...]], Sequence[str]]
"""Gives the primary key of a table by its path; empty if it has none."""


def read_plan(text: str, columns: int, table_key: TableKey | None = None) -> PlanFacts:
    """Return the facts of a plan.

    Args:
        text: all that EXPLAIN CHANGELOG_MODE printed.
        columns: how many columns the query has.
        table_key: asked about tables whose rows change; the key of one that is only added to decides nothing.
    """
    section = physical_plan(text)
    # The root's stands first. In batch mode nothing is printed, and every row is final.
    match = _CHANGELOG.search(section)
    changelog = frozenset(match[1].split(",")) if match else frozenset({"I"})
    try:
        relation = _relation(parse_plan(section), table_key or _no_key)
    except UnknownPlanError:
        return PlanFacts(changelog, ())
    if len(relation.columns) != columns:
        return PlanFacts(changelog, ())
    # Start and end say the same of a window; a reader of the table expects both in its key.
    whole = {key | relation.window if key & relation.window else key for key in _minimal(relation.keys)}
    keys = sorted(whole, key=lambda key: (len(key), sorted(key)))
    # The empty key says "one row at most"; it names no column to declare.
    return PlanFacts(changelog, tuple(tuple(sorted(key)) for key in keys if key))


def _relation(node: Operator, table_key: TableKey) -> _Relation:
    inputs = [_relation(item, table_key) for item in node.inputs]
    if node.name == "TableSourceScan":
        relation = _scan(node, table_key)
    else:
        relation = _OPERATORS.get(node.name, _without_keys)(node, inputs)
    keys = sorted(_minimal(relation.keys), key=lambda key: (len(key), sorted(key)))
    return replace(relation, keys=frozenset(keys[:_MOST_KEYS]))


def _minimal(keys: Iterable[Key]) -> list[Key]:
    known = set(keys)
    return [key for key in known if not any(other < key for other in known)]


def _output(node: Operator) -> tuple[str, ...]:
    """Names of what `select` gives, or of the fields of a scan."""
    if "select" in node.attributes:
        return tuple(_alias(item)[1] for item in split_items(node.attributes["select"]))
    for name in ("fields", "union"):
        if name in node.attributes:
            return tuple(split_items(node.attributes[name]))
    raise UnknownPlanError


def _alias(item: str) -> tuple[str, str]:
    """Return expression and name of an item of `select`."""
    expression, separator, name = item.rpartition(" AS ")
    return (expression, name) if separator else (item, item)


def _positions(names: str, columns: Sequence[str]) -> Key:
    found: set[int] = set()
    for name in split_items(names):
        if columns.count(name) != 1:
            raise UnknownPlanError
        found.add(columns.index(name))
    return frozenset(found)


def _only(inputs: list[_Relation]) -> _Relation:
    if len(inputs) != 1:
        raise UnknownPlanError
    return inputs[0]


def _no_key(path: tuple[str, ...]) -> Sequence[str]:
    return ()


def _scan(node: Operator, table_key: TableKey) -> _Relation:
    """The table's path is followed by what was pushed into the scan, such as `filter=[]`."""
    columns = _output(node)
    if node.attributes.get("changelogMode", "I") == "I":
        return _Relation(columns)
    path = tuple(split_items(node.attributes.get("table", "").removeprefix("[").removesuffix("]"))[:3])
    key = table_key(path)
    if not key or any(columns.count(name) != 1 for name in key):
        return _Relation(columns)
    return _Relation(columns, frozenset({frozenset(columns.index(name) for name in key)}))


def _without_keys(node: Operator, inputs: list[_Relation]) -> _Relation:
    if "select" in node.attributes or "fields" in node.attributes or "union" in node.attributes:
        return _Relation(_output(node))
    return _Relation(_only(inputs).columns)


def _same(node: Operator, inputs: list[_Relation]) -> _Relation:
    """Operators that move, sort, cut or filter rows and change none."""
    return _only(inputs)


def _calc(node: Operator, inputs: list[_Relation]) -> _Relation:
    source = _only(inputs)
    moved: dict[int, list[int]] = {}
    names: list[str] = []
    for position, item in enumerate(split_items(node.attributes.get("select", ""))):
        expression, name = (item, item) if item in source.columns else _alias(item)
        names.append(name)
        if source.columns.count(expression) == 1:
            moved.setdefault(source.columns.index(expression), []).append(position)
    keys = {
        frozenset(choice)
        for key in source.keys
        if all(column in moved for column in key)
        for choice in product(*(moved[column] for column in key))
    }
    window = frozenset(moved[column][0] for column in source.window if column in moved)
    return _Relation(tuple(names), frozenset(keys), window)


def _aggregate(node: Operator, inputs: list[_Relation]) -> _Relation:
    columns = _output(node)
    return _Relation(columns, frozenset({_positions(node.attributes.get("groupBy", ""), columns)}))


def _window_aggregate(node: Operator, inputs: list[_Relation]) -> _Relation:
    """Groups and the window. Its end alone names it; its start does too, except where windows grow (CUMULATE)."""
    columns = _output(node)
    group = _positions(node.attributes.get("groupBy", ""), columns)
    bounds = {"start": "start(w$)", "end": "end(w$)"}
    at = {
        bound: position
        for position, item in enumerate(split_items(node.attributes["select"]))
        for bound, call in bounds.items()
        if _alias(item)[0] == call
    }
    if node.attributes.get("window", "").startswith("CUMULATE"):
        at.pop("start", None)
    keys = {group | {position} for position in at.values()}
    return _Relation(columns, frozenset(keys), frozenset(at.values()))


def _rank(node: Operator, inputs: list[_Relation]) -> _Relation:
    source = _only(inputs)
    columns = _output(node)
    keys: set[Key] = set()
    group = _positions(node.attributes.get("partitionBy", ""), columns)
    if node.attributes.get("rankRange") == "rankStart=1, rankEnd=1" and node.attributes.get("rankType") == "ROW_NUMBER":
        keys.add(group)
    if len(columns) == len(source.columns) + 1:
        # The number is there: rows are updated in their place, and what falls out of it is never taken back by name.
        if node.attributes.get("rankType") == "ROW_NUMBER":
            keys.add(group | {len(columns) - 1})
    elif columns == source.columns:
        keys |= source.keys
    return _Relation(columns, frozenset(keys))


def _keyed(attribute: str) -> Callable[[Operator, list[_Relation]], _Relation]:
    """Operators that keep one row a key, and name the key in an attribute."""

    def build(node: Operator, inputs: list[_Relation]) -> _Relation:
        source = _only(inputs)
        return _Relation(source.columns, frozenset({_positions(node.attributes[attribute], source.columns)}))

    return build


def _join(node: Operator, inputs: list[_Relation]) -> _Relation:
    """A row of one side meets one row of the other where the join's equality covers a key of the other."""
    left, right = inputs
    columns = _output(node)
    kind = node.attributes.get("joinType", "")
    if kind in ("LeftSemiJoin", "LeftAntiJoin"):
        return _Relation(columns, left.keys if len(columns) == len(left.columns) else frozenset())
    if len(columns) != len(left.columns) + len(right.columns):
        raise UnknownPlanError
    shift = len(left.columns)
    right_keys = {frozenset(position + shift for position in key) for key in right.keys}
    is_one_left = "JoinKeyContainsUniqueKey" in node.attributes.get("leftInputSpec", "")
    is_one_right = "JoinKeyContainsUniqueKey" in node.attributes.get("rightInputSpec", "")
    keys: set[Key] = set()
    if is_one_right and kind in ("InnerJoin", "LeftOuterJoin"):
        keys |= left.keys
    if is_one_left and kind in ("InnerJoin", "RightOuterJoin"):
        keys |= right_keys
    if kind == "InnerJoin":
        keys |= {one | other for one in left.keys for other in right_keys}
    return _Relation(columns, frozenset(keys))


_OPERATORS: dict[str, Callable[[Operator, list[_Relation]], _Relation]] = {
    **dict.fromkeys(
        (
            "Exchange",
            "WatermarkAssigner",
            "MiniBatchAssigner",
            "DropUpdateBefore",
            "Sort",
            "SortLimit",
            "Limit",
            "TemporalSort",
        ),
        _same,
    ),
    "Calc": _calc,
    **dict.fromkeys(("GroupAggregate", "GlobalGroupAggregate", "HashAggregate", "SortAggregate"), _aggregate),
    **dict.fromkeys(("WindowAggregate", "GlobalWindowAggregate", "GroupWindowAggregate"), _window_aggregate),
    "Rank": _rank,
    "Deduplicate": _keyed("key"),
    "ChangelogNormalize": _keyed("key"),
    "Join": _join,
}
