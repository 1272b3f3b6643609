"""What a request wants to do, and which privileges that takes (Polaris: RbacOperationSemantics)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class Operation:
    """One thing that a request does.

    Attributes:
        namespace: None for what concerns the catalog as a whole.
        table: None unless it concerns one that must exist.
        needs: all of these privileges.
    """

    name: str
    needs: tuple[str, ...]
    namespace: str | None = None
    table: str | None = None


_NAMESPACE = r"namespaces/(?P<namespace>[^/]+)"
_TABLE = rf"{_NAMESPACE}/tables/(?P<table>[^/]+)"
_PLAIN: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("GET", "namespaces", "LIST_NAMESPACES", ("NAMESPACE_LIST",)),
    ("POST", "namespaces", "CREATE_NAMESPACE", ("NAMESPACE_CREATE",)),
    ("GET", _NAMESPACE, "LOAD_NAMESPACE_METADATA", ("NAMESPACE_READ_PROPERTIES",)),
    ("HEAD", _NAMESPACE, "NAMESPACE_EXISTS", ("NAMESPACE_LIST",)),
    ("DELETE", _NAMESPACE, "DROP_NAMESPACE", ("NAMESPACE_DROP",)),
    ("POST", rf"{_NAMESPACE}/properties", "UPDATE_NAMESPACE_PROPERTIES", ("NAMESPACE_WRITE_PROPERTIES",)),
    ("GET", rf"{_NAMESPACE}/tables", "LIST_TABLES", ("TABLE_LIST",)),
    ("POST", rf"{_NAMESPACE}/register", "REGISTER_TABLE", ("TABLE_CREATE",)),
    ("HEAD", _TABLE, "TABLE_EXISTS", ("TABLE_LIST",)),
    ("GET", rf"{_NAMESPACE}/views", "LIST_VIEWS", ("VIEW_LIST",)),
    ("GET", rf"{_NAMESPACE}/views/(?P<view>[^/]+)", "LOAD_VIEW", ("VIEW_READ_PROPERTIES",)),
    ("HEAD", rf"{_NAMESPACE}/views/(?P<view>[^/]+)", "VIEW_EXISTS", ("VIEW_LIST",)),
)


def operations_of(method: str, path: str, query: str, body: bytes, *, wants_vending: bool) -> list[Operation]:
    """Return what a request does; `path` begins after the catalog's prefix. Empty: there is no such endpoint."""
    for verb, pattern, name, needs in _PLAIN:
        if verb == method and (match := re.fullmatch(pattern, path)):
            namespace = match.groupdict().get("namespace")
            table = match.groupdict().get("table")
            return [Operation(name, needs, namespace and unquote(namespace), table and unquote(table))]
    return list(_by_content(method, path, query, body, wants_vending))


def _by_content(method: str, path: str, query: str, body: bytes, wants_vending: bool) -> Iterator[Operation]:
    if method == "POST" and path == "transactions/commit":
        for change in json.loads(body)["table-changes"]:
            name = change["identifier"]
            yield Operation(
                "COMMIT_TRANSACTION", ("TABLE_WRITE_PROPERTIES", "TABLE_CREATE"), ".".join(name["namespace"])
            )
        return
    if method == "POST" and path == "tables/rename":
        given = json.loads(body)
        source, target = given["source"], given["destination"]
        yield Operation("RENAME_TABLE", ("TABLE_DROP",), ".".join(source["namespace"]), source["name"])
        yield Operation("RENAME_TABLE", ("TABLE_LIST", "TABLE_CREATE"), ".".join(target["namespace"]))
        return
    if method == "POST" and (match := re.fullmatch(rf"{_NAMESPACE}/tables", path)):
        staged = "STAGED" if json.loads(body).get("stage-create") else "DIRECT"
        vended = ("_WITH_WRITE_DELEGATION", "TABLE_WRITE_DATA") if wants_vending else ("",)
        yield Operation(f"CREATE_TABLE_{staged}{vended[0]}", ("TABLE_CREATE", *vended[1:]), unquote(match["namespace"]))
        return
    match = re.fullmatch(rf"{_TABLE}(?P<rest>/metrics|/credentials)?", path)
    if match is None:
        return
    namespace, table = unquote(match["namespace"]), unquote(match["table"])
    if match["rest"] == "/metrics" and method == "POST":
        yield Operation("REPORT_READ_METRICS", ("TABLE_READ_DATA",), namespace, table)
    elif method == "GET":
        name = "LOAD_TABLE_WITH_READ_DELEGATION" if wants_vending or match["rest"] else "LOAD_TABLE"
        yield Operation(name, ("TABLE_READ_DATA",) if "WITH" in name else ("TABLE_READ_PROPERTIES",), namespace, table)
    elif method == "POST":
        if _is_staged_create(json.loads(body)):
            yield Operation("UPDATE_TABLE_FOR_STAGED_CREATE", ("TABLE_CREATE",), namespace)
        else:
            yield Operation("UPDATE_TABLE", ("TABLE_WRITE_PROPERTIES",), namespace, table)
    elif method == "DELETE":
        if "purgeRequested=true" in query:
            yield Operation("DROP_TABLE_WITH_PURGE", ("TABLE_DROP", "TABLE_WRITE_DATA"), namespace, table)
        else:
            yield Operation("DROP_TABLE_WITHOUT_PURGE", ("TABLE_DROP",), namespace, table)


def _is_staged_create(commit: dict[str, Any]) -> bool:
    return any(one.get("type") == "assert-create" for one in commit.get("requirements", []))
