"""Who may do what, read from platform/polaris/setup.yaml: the gateway knows no other grants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_ALL = ("CATALOG_MANAGE_CONTENT", "CATALOG_MANAGE_METADATA")
_LISTS_TABLES = (
    "TABLE_CREATE",
    "TABLE_FULL_METADATA",
    "TABLE_LIST",
    "TABLE_READ_DATA",
    "TABLE_READ_PROPERTIES",
    "TABLE_WRITE_DATA",
    "TABLE_WRITE_PROPERTIES",
)
# Polaris: PolarisAuthorizerImpl.SUPER_PRIVILEGES, the part that table and namespace operations need.
IMPLIED_BY: Mapping[str, frozenset[str]] = {
    "NAMESPACE_CREATE": frozenset({"NAMESPACE_CREATE", "NAMESPACE_FULL_METADATA", *_ALL}),
    "NAMESPACE_DROP": frozenset({"NAMESPACE_DROP", "NAMESPACE_FULL_METADATA", *_ALL}),
    "NAMESPACE_LIST": frozenset(
        {
            "NAMESPACE_CREATE",
            "NAMESPACE_FULL_METADATA",
            "NAMESPACE_LIST",
            "NAMESPACE_READ_PROPERTIES",
            "NAMESPACE_WRITE_PROPERTIES",
            *_ALL,
        }
    ),
    "NAMESPACE_READ_PROPERTIES": frozenset(
        {"NAMESPACE_FULL_METADATA", "NAMESPACE_READ_PROPERTIES", "NAMESPACE_WRITE_PROPERTIES", *_ALL}
    ),
    "NAMESPACE_WRITE_PROPERTIES": frozenset({"NAMESPACE_FULL_METADATA", "NAMESPACE_WRITE_PROPERTIES", *_ALL}),
    "TABLE_CREATE": frozenset({"TABLE_CREATE", "TABLE_FULL_METADATA", *_ALL}),
    "TABLE_DROP": frozenset({"TABLE_DROP", "TABLE_FULL_METADATA", *_ALL}),
    "TABLE_LIST": frozenset({*_LISTS_TABLES, *_ALL}),
    "TABLE_READ_PROPERTIES": frozenset({*_LISTS_TABLES, *_ALL} - {"TABLE_CREATE", "TABLE_LIST"}),
    "TABLE_WRITE_PROPERTIES": frozenset({"TABLE_FULL_METADATA", "TABLE_WRITE_DATA", "TABLE_WRITE_PROPERTIES", *_ALL}),
    "TABLE_READ_DATA": frozenset({"CATALOG_MANAGE_CONTENT", "TABLE_READ_DATA", "TABLE_WRITE_DATA"}),
    "TABLE_WRITE_DATA": frozenset({"CATALOG_MANAGE_CONTENT", "TABLE_WRITE_DATA"}),
    "TABLE_FULL_METADATA": frozenset({"TABLE_FULL_METADATA", *_ALL}),
    "VIEW_LIST": frozenset(
        {
            "VIEW_CREATE",
            "VIEW_FULL_METADATA",
            "VIEW_LIST",
            "VIEW_READ_PROPERTIES",
            "VIEW_WRITE_PROPERTIES",
            *_ALL,
        }
    ),
    "VIEW_READ_PROPERTIES": frozenset({"VIEW_FULL_METADATA", "VIEW_READ_PROPERTIES", "VIEW_WRITE_PROPERTIES", *_ALL}),
}


@dataclass(frozen=True)
class Principal:
    """A client: its principal roles, and what its catalog roles grant.

    Attributes:
        privileges: principal role -> (namespace, or None for the whole catalog) -> granted privileges.
    """

    name: str
    privileges: Mapping[str, Mapping[str | None, frozenset[str]]]

    def allows(self, roles: frozenset[str] | None, needed: str, namespace: str | None) -> bool:
        """Whether a token for `roles` (None: all of them) has a privilege on the namespace or on the catalog."""
        given: set[str] = set()
        for role, grants in self.privileges.items():
            if roles is None or role in roles:
                given |= grants.get(None, frozenset()) | grants.get(namespace, frozenset())
        return bool(given & IMPLIED_BY[needed])


def load_setup(path: Path) -> dict[str, Any]:
    """Return the setup as the client of Polaris reads it."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def principals_of(setup: Mapping[str, Any], catalog: str) -> dict[str, Principal]:
    """Return name -> principal with its grants in one catalog."""
    [found] = [one for one in setup["catalogs"] if one["name"] == catalog]
    by_role: dict[str, dict[str | None, frozenset[str]]] = {}
    for role in found["roles"].values():
        privileges = role["privileges"]
        for principal_role in role["assign_to"]:
            grants = by_role.setdefault(principal_role, {})
            scopes: dict[str | None, Any] = {None: privileges.get("catalog", []), **privileges.get("namespace", {})}
            for scope, names in scopes.items():
                grants[scope] = grants.get(scope, frozenset()) | frozenset(names)
    return {
        name: Principal(name, {role: by_role.get(role, {}) for role in given["roles"]})
        for name, given in setup["principals"].items()
    }
