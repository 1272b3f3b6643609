"""The assets and jobs that the repository has, read from its files: no Dagster, no dbt, no service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import yaml

from orchestration import naming
from orchestration.contracts import list_datasets, load_contract
from orchestration.settings import Settings

JOBS = frozenset(
    {
        naming.BATCH_JOB,
        naming.SILVER_JOB,
        naming.RECONCILE_JOB,
        naming.MAINTENANCE_JOB,
        naming.MARTS_JOB,
        naming.STREAM_DEPLOY_JOB,
        naming.STREAM_STOP_JOB,
        naming.STREAM_HEAL_JOB,
    }
)
"""Jobs of the code location; a test compares them with its definitions."""

GROUPS = frozenset({"landing", "bronze", "silver", "gold", "report", "queries", "streams"})
"""Asset groups of the code location; a test compares them with its definitions."""


@dataclass(frozen=True)
class Known:
    """What may be named in the section `orchestration`.

    Attributes:
        assets: keys with slashes, such as `silver/cleaned_trips`.
    """

    assets: frozenset[str]
    groups: frozenset[str] = GROUPS
    jobs: frozenset[str] = JOBS

    def matches(self, pattern: str) -> bool:
        """Whether a glob over keys matches an asset; the last part of a key is enough."""
        return any(fnmatchcase(key, pattern) or fnmatchcase(key.split("/")[-1], pattern) for key in self.assets)


def known_objects(settings: Settings) -> Known:
    """Return what the contracts, the dbt project and the declared queries of a checkout make."""
    assets: set[str] = {"report"}
    for name in list_datasets(settings.datasets_dir):
        contract = load_contract(name, settings.datasets_dir)
        keys = [naming.landing_key(name), naming.stream_key(name)]
        tables = contract.tables.model_dump().values()
        assets.update("/".join(key) for key in [*keys, *(naming.table_key(str(table)) for table in tables)])
    return Known(frozenset(assets | _dbt_assets(settings.repo_root / "dbt") | _queries(settings.queries_dir)))


def _queries(folder: Path) -> set[str]:
    from orchestration.flink.queries.names import safe_name
    from orchestration.flink.queries.spec_files import load_specs

    return {"/".join(naming.query_key(safe_name(spec.name))) for spec in load_specs(folder)}


def _dbt_assets(project: Path) -> set[str]:
    found = read_dbt_project(project)
    name = str(found.get("name", ""))
    assets: set[str] = set()
    for kind, suffixes in (("models", (".sql", ".py")), ("seeds", (".csv",))):
        schemas = _mapping(_mapping(found.get(kind)).get(name))
        for path in (project / kind).rglob("*"):
            if path.suffix in suffixes:
                folder = path.relative_to(project / kind).parts[0]
                own = _mapping(schemas.get(folder)).get("+schema") or schemas.get("+schema") or "main"
                assets.add(f"{own}/{path.stem}")
    return assets


def read_dbt_project(project: Path) -> Mapping[str, Any]:
    """Return `dbt_project.yml`; empty if it is not there or not YAML, which dbt says better."""
    try:
        return _mapping(yaml.safe_load((project / "dbt_project.yml").read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError):
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
