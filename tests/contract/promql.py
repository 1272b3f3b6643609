"""Dashboards and alert rules as files, and the series that their expressions ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml

from tests.contract.checkout import ROOT

DASHBOARDS = sorted((ROOT / "platform/grafana/dashboards").glob("*.json"))
RULES = sorted((ROOT / "platform/prometheus/rules").glob("*.yml"))
VARIABLE = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")
FOREIGN = frozenset({"up", "ALERTS"})
"""Series that Prometheus makes itself."""


@dataclass(frozen=True)
class Series:
    """A series that an expression asks for, and the labels that it filters by."""

    name: str
    labels: frozenset[str]


@dataclass(frozen=True)
class Used:
    """An expression, and where it stands."""

    place: str
    expr: str

    @property
    def series(self) -> set[Series]:
        """What it asks for, without what Prometheus makes itself."""
        return {one for one in find_series(promql_parser.parse(self.expr)) if one.name not in FOREIGN}


def find_series(node: Any) -> Iterator[Series]:
    """Yield the series of a parsed expression. A kind of node that is not known is an error, not nothing."""
    match type(node).__name__:
        case "NumberLiteral" | "StringLiteral":
            return
        case "VectorSelector":
            yield Series(node.name, frozenset(one.name for one in node.matchers.matchers))
        case "MatrixSelector":
            yield from find_series(node.vector_selector)
        case "BinaryExpr":
            yield from find_series(node.lhs)
            yield from find_series(node.rhs)
        case "Call":
            for argument in node.args:
                yield from find_series(argument)
        case "AggregateExpr" | "ParenExpr" | "UnaryExpr" | "SubqueryExpr":
            yield from find_series(node.expr)
        case other:
            raise AssertionError(f"unknown kind of expression: {other}")


def dashboards() -> dict[str, dict[str, Any]]:
    """Return file name to dashboard."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something; rows only divide."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def rules() -> list[tuple[str, dict[str, Any]]]:
    """Return (file name, rule) of all alerts."""
    return [
        (path.name, rule)
        for path in RULES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def used() -> list[Used]:
    """Return every expression of dashboards, their variables, and rules."""
    found = [Used(f"{file}: {rule['alert']}", rule["expr"]) for file, rule in rules()]
    for file, board in dashboards().items():
        for panel in panels(board):
            found += [Used(f"{file}: {panel['title']}", target["expr"]) for target in panel["targets"]]
        for variable in board["templating"]["list"]:
            asked = VARIABLE.fullmatch(variable["definition"])
            assert asked is not None, variable["definition"]
            found.append(Used(f"{file}: ${variable['name']}", asked["series"]))
    return found
