"""Reads the text of a plan, as EXPLAIN prints it, into operators."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_SECTION = "== Optimized Physical Plan =="
_LINE = re.compile(r"^(?P<indent>[ :|+-]*)(?P<name>[A-Z]\w*)\((?P<inside>.*)\)$")
_ATTRIBUTE = re.compile(r"\s*([A-Za-z]\w*)=")
_STRING = re.compile(r"'[^']*'")
_INDENT = 3
_OPEN, _CLOSE = "([{", ")]}"


class UnknownPlanError(Exception):
    """The plan has a form that is not known here."""


@dataclass
class Operator:
    """An operator with its inputs. An attribute is printed as `name=[value]`; `value` is kept."""

    name: str
    attributes: dict[str, str]
    inputs: list[Operator] = field(default_factory=list["Operator"])


def physical_plan(explained: str) -> str:
    """Return the optimized physical plan out of all that EXPLAIN printed."""
    # Windows are printed with one quote, 'w$, which would pass for the start of a string.
    section = explained.partition(_SECTION)[2].partition("\n== ")[0].strip().replace("'w$", "w$")
    return _STRING.sub(lambda match: " ".join(match[0].splitlines()), section)


def parse_plan(section: str) -> Operator:
    """Return the root of a physical plan.

    Raises:
        UnknownPlanError: a line is not an operator.
    """
    root: Operator | None = None
    path: list[Operator] = []
    for line in section.splitlines():
        match = _LINE.match(line)
        if match is None:
            raise UnknownPlanError
        depth, rest = divmod(len(match["indent"]), _INDENT)
        if rest or depth > len(path) or (depth == 0) is not (root is None):
            raise UnknownPlanError
        node = Operator(match["name"], _attributes(match["inside"]))
        root = root or node
        del path[depth:]
        if path:
            path[-1].inputs.append(node)
        path.append(node)
    if root is None:
        raise UnknownPlanError
    return root


def split_items(text: str) -> list[str]:
    """Cut at the commas that stand in no bracket and no string.

    Raises:
        UnknownPlanError: a bracket or a string has no end.
    """
    parts: list[str] = []
    start = depth = 0
    in_string = False
    for index, char in enumerate(text):
        if char == "'":
            in_string = not in_string
        elif in_string:
            continue
        elif char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    if depth or in_string:
        raise UnknownPlanError
    return [*parts, text[start:].strip()] if text.strip() else []


def _attributes(inside: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in split_items(inside):
        match = _ATTRIBUTE.match(part)
        if match is None:
            raise UnknownPlanError
        found[match[1]] = part[match.end() :].removeprefix("[").removesuffix("]")
    return found
