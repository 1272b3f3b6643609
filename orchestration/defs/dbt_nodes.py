"""The dbt project as its manifest describes it: nodes, tests, and the asset key of each. Pure, no dbt import.

dagster-dbt would do this too, but importing it imports dbt: 1.7 s on every load of the definitions, which have 3 s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[str, ...]
"""Path of an asset key."""

_BUILT = frozenset({"model", "seed", "snapshot"})


@dataclass(frozen=True)
class DbtAsset:
    """A model, seed or snapshot.

    Attributes:
        key: schema and name, as in the dbt project.
        parents: keys of the models and sources that it reads.
        columns: (name, type, description).
        checksum: of the file it is made by.
    """

    unique_id: str
    name: str
    kind: str
    key: Key
    parents: tuple[Key, ...]
    description: str = ""
    materialized: str = ""
    columns: tuple[tuple[str, str, str], ...] = ()
    checksum: str | None = None
    relation: str | None = None
    file: str = ""
    sql: str = ""
    owner: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def layer(self) -> str:
        """Part of the project that it belongs to: seeds, staging, intermediate, marts; empty for a file elsewhere."""
        parts = self.file.split("/")
        return parts[1] if parts[0] == "models" and len(parts) > 2 else (parts[0] if len(parts) > 1 else "")


@dataclass(frozen=True)
class DbtCheck:
    """A test of a node or source.

    Attributes:
        key: of what it tests.
        also_reads: keys of what it compares with.
        severity: error or warn: what it is when rows break it.
    """

    unique_id: str
    name: str
    key: Key
    also_reads: tuple[Key, ...] = ()
    description: str = ""
    severity: str = "error"


@dataclass(frozen=True)
class DbtProject:
    """The project's assets and checks, sorted by id, and the keys of its sources."""

    assets: tuple[DbtAsset, ...]
    checks: tuple[DbtCheck, ...]
    sources: Mapping[str, Key] = field(default_factory=dict[str, Key])
    source_columns: Mapping[Key, tuple[str, ...]] = field(default_factory=dict[Key, tuple[str, ...]])

    @property
    def columns_of(self) -> Mapping[Key, tuple[str, ...]]:
        """Documented columns of each model, seed and source."""
        return {asset.key: tuple(column[0] for column in asset.columns) for asset in self.assets} | dict(
            self.source_columns
        )

    @property
    def model_checks(self) -> tuple[DbtCheck, ...]:
        """Tests of models and seeds."""
        return tuple(check for check in self.checks if check.key not in self.sources.values())

    @property
    def source_checks(self) -> tuple[DbtCheck, ...]:
        """Tests of sources, which other steps write."""
        return tuple(check for check in self.checks if check.key in self.sources.values())


def read_project(manifest: Path) -> DbtProject:
    """Return what the manifest file describes."""
    return parse_manifest(json.loads(manifest.read_text(encoding="utf-8")))


def parse_manifest(manifest: Mapping[str, Any]) -> DbtProject:
    """Return what a manifest describes. A source has the key `schema/table`, which is that of the asset behind it."""
    nodes: Mapping[str, Any] = manifest["nodes"]
    sources = {one: (node["schema"], node["identifier"]) for one, node in manifest["sources"].items()}
    keys = sources | {one: _key(node) for one, node in nodes.items() if node["resource_type"] in _BUILT}
    return DbtProject(
        assets=tuple(
            _asset(node, keys)
            for _, node in sorted(nodes.items())
            if node["resource_type"] in _BUILT and node["config"].get("materialized") != "ephemeral"
        ),
        checks=tuple(
            found
            for _, node in sorted(nodes.items())
            if node["resource_type"] == "test" and (found := _check(node, keys)) is not None
        ),
        sources=sources,
        source_columns={
            sources[one]: tuple(node.get("columns") or ()) for one, node in sorted(manifest["sources"].items())
        },
    )


def _key(node: Mapping[str, Any]) -> Key:
    # The schema as configured: the same asset on every target, while `schema` is where its table is on this one.
    return node["config"].get("schema") or node["schema"], node.get("alias") or node["name"]


def _asset(node: Mapping[str, Any], keys: Mapping[str, Key]) -> DbtAsset:
    config: Mapping[str, Any] = node["config"]
    meta: Mapping[str, Any] = config.get("meta") or {}
    return DbtAsset(
        unique_id=node["unique_id"],
        name=node["name"],
        kind=node["resource_type"],
        key=keys[node["unique_id"]],
        parents=_parents(node, keys),
        description=" ".join((node.get("description") or "").split()),
        materialized=config.get("materialized") or "",
        columns=tuple(
            (column["name"], column.get("data_type") or "?", column.get("description") or "")
            for column in node.get("columns", {}).values()
        ),
        checksum=(node.get("checksum") or {}).get("checksum"),
        relation=(node.get("relation_name") or "").replace('"', "") or None,
        file=node["original_file_path"],
        sql=node.get("raw_code") or "",
        owner=meta.get("owner"),
        tags=tuple(node.get("tags") or ()),
    )


def _check(node: Mapping[str, Any], keys: Mapping[str, Key]) -> DbtCheck | None:
    """Return the test as a check of the node it is attached to, else of the only one it reads; None without one."""
    parents = [keys[one] for one in _reads(node) if one in keys]
    attached = keys.get(node.get("attached_node") or "")
    tested: Sequence[Key] = [attached] if attached else parents
    if not tested:
        return None
    return DbtCheck(
        unique_id=node["unique_id"],
        name=node["name"],
        key=tested[0],
        also_reads=tuple(key for key in parents if key != tested[0]),
        description=" ".join((node.get("description") or "").split()),
        severity=(node["config"].get("severity") or "error").lower(),
    )


def _parents(node: Mapping[str, Any], keys: Mapping[str, Key]) -> tuple[Key, ...]:
    return tuple(sorted({keys[one] for one in _reads(node) if one in keys}))


def _reads(node: Mapping[str, Any]) -> list[str]:
    return node["depends_on"].get("nodes") or []
