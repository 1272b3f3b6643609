"""Which column of a model comes from which columns above it, by the compiled SQL; once for a state of the project.

dbt itself knows only tables. Loading sqlglot, which reads DuckDB's SQL, and tracing all models cost a run 0.6 s, so
what was found is kept beside dbt's own files until a file of the project changes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.defs.dbt_nodes import DbtAsset, DbtProject, Key

if TYPE_CHECKING:
    from sqlglot import exp

    from orchestration.settings import Settings

Lineage = Mapping[str, tuple[tuple[Key, str], ...]]
"""Column to the (asset, column) that it is made of; one that is made of none (a count of rows) is there too."""

_FILE = "column_lineage.json"


def read_lineage(settings: Settings, project: DbtProject, built: Collection[DbtAsset]) -> Mapping[Key, Lineage]:
    """Return the lineage of models that dbt has just built, from its compiled SQL.

    A model whose SQL sqlglot does not understand has none. Concurrent callers may each compute it; one is kept.
    """
    from orchestration.dbt_plugin.environment import dbt_dir
    from orchestration.dbt_plugin.manifest import source_hash

    folder = settings.instance_dir / "dbt"
    state = f"{source_hash(dbt_dir(settings))} sqlglot {version('sqlglot')}"
    known = _load(folder / _FILE, state)
    models = [asset for asset in built if asset.kind == "model"]
    compiled = {
        asset: path
        for asset in models
        if asset.unique_id not in known
        if (path := folder / "compiled" / asset.unique_id.split(".")[1] / asset.file).is_file()
    }
    for asset, path in compiled.items():
        known[asset.unique_id] = trace(path.read_text(encoding="utf-8"), asset, project)
    if compiled:
        _store(folder / _FILE, state, known)
    return {asset.key: known[asset.unique_id] for asset in models if known.get(asset.unique_id)}


def trace(sql: str, asset: DbtAsset, project: DbtProject) -> Lineage:
    """Return the lineage of a model's documented columns; empty if its SQL cannot be read."""
    from sqlglot.errors import SqlglotError

    try:
        return _trace(sql, asset, project)
    except SqlglotError:
        return {}


def _trace(sql: str, asset: DbtAsset, project: DbtProject) -> Lineage:
    from sqlglot import exp, parse_one
    from sqlglot.lineage import lineage

    query = parse_one(sql, dialect="duckdb")
    names = _rename_tables(query, project)
    columns = project.columns_of
    schema = {name: dict.fromkeys(columns.get(key, ()), "unknown") for name, key in names.items()}
    roots = lineage(None, query, schema, dialect="duckdb", copy=False, validate_qualify_columns=False)
    found: dict[str, tuple[tuple[Key, str], ...]] = {}
    for column, _, _ in asset.columns:
        if column not in roots:
            continue
        leaves = [node for node in roots[column].walk() if isinstance(node.expression, exp.Table)]
        parents = {(names.get(leaf.expression.name), leaf.name.rpartition(".")[2]) for leaf in leaves}
        found[column] = tuple(sorted((key, name) for key, name in parents if key is not None))
    return found


def _rename_tables(query: exp.Expr, project: DbtProject) -> dict[str, Key]:
    """Give each table of the project a name of one part that no CTE has, and return those names with their keys.

    By the name alone: the database and schema of a model depend on dbt's target, its name does not.
    """
    from sqlglot import exp

    keys = {key[-1]: key for key in (*(asset.key for asset in project.assets), *project.sources.values())}
    names: dict[str, Key] = {}
    for table in list(query.find_all(exp.Table)):
        if not table.db or table.name not in keys:
            continue
        name = f"__{table.name}"
        names[name] = keys[table.name]
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
        table.set("this", exp.to_identifier(name))
        table.set("db", None)
        table.set("catalog", None)
    return names


def _load(path: Path, state: str) -> dict[str, Lineage]:
    try:
        kept: Any = json.loads(path.read_text(encoding="utf-8"))
        if kept["state"] != state:
            return {}
        return {
            model: {
                column: tuple((tuple(key), parent) for key, parent in parents) for column, parents in columns.items()
            }
            for model, columns in kept["models"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _store(path: Path, state: str, known: Mapping[str, Lineage]) -> None:
    # One name a process: of two runs that write at once, the last one's file stays, whole.
    written = path.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps({"state": state, "models": known}), encoding="utf-8")
    written.replace(path)
