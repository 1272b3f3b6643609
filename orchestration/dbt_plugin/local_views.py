"""Which local views a dbt command needs that it does not make itself. Pure.

On the target `iceberg` views live in a working database that each run starts empty, as it does in Kubernetes; so a part
of the project can be built only after the views above it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any

_PLAIN = re.compile(r"\w+")
_SELECT = frozenset({"--select", "-s", "--models", "-m"})
_OTHERWISE = frozenset({"--selector", "--resource-type", "--resource-types"})
_MAKES_VIEWS = frozenset({"build", "run"})
_READS_MODELS = _MAKES_VIEWS | {"test"}

Manifest = Mapping[str, Any]


def views_for(args: Sequence[str], manifest: Manifest) -> list[str]:
    """Return the names of the views to make before a command, sorted; empty if it needs none or makes them itself."""
    command = next((arg for arg in args if not arg.startswith("-")), "")
    nodes: Mapping[str, Any] = manifest["nodes"]
    if command not in _READS_MODELS:
        return []
    picked, excluded = _values(args, _SELECT), _values(args, {"--exclude"})
    by_name = {node["name"]: one for one, node in nodes.items()}
    is_whole = not picked and not _OTHERWISE.intersection(arg.partition("=")[0] for arg in args)
    if command in _MAKES_VIEWS and is_whole and not any(_may_be_view(name, by_name, nodes) for name in excluded):
        return []
    is_plain = bool(picked) and all(_PLAIN.fullmatch(name) and name in by_name for name in picked)
    wanted = _with_tests({by_name[name] for name in picked}, nodes) if is_plain else list(nodes)
    if command == "test":
        wanted = [one for one in wanted if nodes[one]["resource_type"] == "test"]
    return sorted(nodes[one]["name"] for one in _views_above(wanted, nodes))


def _with_tests(wanted: Set[str], nodes: Mapping[str, Any]) -> list[str]:
    """Return the nodes and every test of them: dbt may run it too, and it may read others."""
    tests = (one for one, node in nodes.items() if node["resource_type"] == "test")
    return [*wanted, *(one for one in tests if not wanted.isdisjoint(nodes[one]["depends_on"].get("nodes") or ()))]


def _values(args: Sequence[str], options: Collection[str]) -> list[str]:
    """Return what follows the options, up to the next one."""
    found: list[str] = []
    is_inside = False
    for arg in args:
        if arg.startswith("-"):
            name, equals, value = arg.partition("=")
            is_inside = name in options
            found += value.split() if is_inside and equals else []
        elif is_inside:
            found.append(arg)
    return found


def _may_be_view(name: str, by_name: Mapping[str, str], nodes: Mapping[str, Any]) -> bool:
    return name not in by_name or nodes[by_name[name]]["config"].get("materialized") == "view"


def _views_above(wanted: Iterable[str], nodes: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    # A table ends the way up: it is in the catalog, whatever it was made of.
    left = [parent for one in wanted for parent in nodes[one]["depends_on"].get("nodes") or ()]
    while left:
        one = left.pop()
        node = nodes.get(one)
        if node is None or one in found or node["config"].get("materialized") not in ("view", "ephemeral"):
            continue
        found.add(one)
        left += node["depends_on"].get("nodes") or ()
    return {one for one in found if nodes[one]["config"].get("materialized") == "view"}
