"""Gold: the dbt project as assets and its tests as checks, built by one dbt call in the step's process."""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from orchestration.defs.dbt_lineage import read_lineage
from orchestration.defs.dbt_nodes import DbtAsset, DbtCheck, DbtProject, Key
from orchestration.defs.dbt_previews import reading_gold, try_previews
from orchestration.defs.dbt_results import (
    check_result,
    describe,
    find,
    is_built,
    is_worth_a_line,
    node_metadata,
    raise_failed,
)
from orchestration.defs.failure import failures
from orchestration.defs.keys import GOLD_POOL, owners_of
from orchestration.defs.resources import MillraceSettings
from orchestration.naming import CATALOG

if TYPE_CHECKING:
    from orchestration.settings import Settings

OWNER = "team:data-engineering"

_COUNTED = ("table", "incremental", "seed")
"""Materializations that are tables: counting the rows of a view would run it."""

NOT_BUILT = ("--exclude-resource-type", "unit_test", "--exclude-resource-type", "exposure")
"""Unit tests look at the models' code, which `millrace test` checks; exposures are only descriptions."""


class GoldConfig(dg.Config):
    """What a run of the models can be told."""

    full_refresh: bool = Field(default=False, description="Rebuild incremental models and seeds from scratch")


def build_gold(project: DbtProject) -> dg.AssetsDefinition:
    """Return the models and seeds of the dbt project with their tests; any part of them can be run."""
    assets = {asset.unique_id: asset for asset in project.assets}
    checks = {check.unique_id: check for check in project.model_checks}

    @dg.multi_asset(
        name="dbt_models",
        specs=[asset_spec(asset) for asset in project.assets],
        check_specs=[check_spec(check) for check in project.model_checks],
        can_subset=True,
        pool=GOLD_POOL,
    )
    def dbt_models(
        context: dg.AssetExecutionContext, config: GoldConfig, millrace: MillraceSettings
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        wanted = {tuple(key.path) for key in context.selected_asset_keys}
        wanted_checks = {(tuple(key.asset_key.path), key.name) for key in context.selected_asset_check_keys}
        args = build_args(project, wanted, wanted_checks, full_refresh=config.full_refresh)
        say = context.log.info
        with failures(context.retry_number):
            from orchestration.dbt_plugin.runner import run_dbt

            settings = millrace.load()
            run = run_dbt(settings, args, on_node=lambda node: say(describe(node)) if is_worth_a_line(node) else None)
            # A part of the models may need views of others, which dbt then makes too.
            asked = {one: asset for one, asset in assets.items() if asset.key in wanted}
            built = [node for node in run.nodes if is_built(node) and node.unique_id in asked]
            models = [assets[node.unique_id] for node in built]
            rows = count_rows(settings, models)
            lineage = read_lineage(settings, project, models)
            previews = try_previews(settings, models, say)
        for node in built:
            key = assets[node.unique_id].key
            numbers = node_metadata(node, rows.get(key), lineage.get(key))
            yield dg.MaterializeResult(asset_key=dg.AssetKey(key), metadata={**numbers, **previews.get(key, {})})
        for unique_id, check in checks.items():
            node = find(run.nodes, unique_id)
            if node is not None and (check.key, check.name) in wanted_checks:
                yield check_result(check, node)
        with failures(context.retry_number):
            raise_failed(run)

    return dbt_models


def build_source_checks(project: DbtProject) -> list[dg.AssetChecksDefinition]:
    """Return the tests of dbt's sources as checks of silver, in a step of their own before the models.

    Not in the step of the models: a step that checks one of its inputs itself is exempt from every other blocking
    check of that input (Dagster's `build_node_deps`), and silver's own checks would no longer hold the models back.
    """
    if not project.source_checks:
        return []

    @dg.multi_asset_check(
        name="dbt_source_tests",
        specs=[check_spec(check, is_blocking=True) for check in project.source_checks],
        pool=GOLD_POOL,
    )
    def dbt_source_tests(
        context: dg.AssetCheckExecutionContext, millrace: MillraceSettings
    ) -> Iterator[dg.AssetCheckResult]:
        with failures(context.retry_number):
            from orchestration.dbt_plugin.runner import run_dbt

            run = run_dbt(millrace.load(), ["test", "--select", *(check.name for check in project.source_checks)])
        for check in project.source_checks:
            node = find(run.nodes, check.unique_id)
            if node is not None:
                yield check_result(check, node)

    return [dbt_source_tests]


def asset_spec(asset: DbtAsset) -> dg.AssetSpec:
    """Return a model or seed as an asset."""
    schema = dg.TableSchema([dg.TableColumn(name, kind, text or None) for name, kind, text in asset.columns])
    return dg.AssetSpec(
        dg.AssetKey(asset.key),
        deps=[dg.AssetKey(parent) for parent in asset.parents],
        description=asset.description or None,
        metadata={
            **({"dagster/column_schema": schema} if asset.columns else {}),
            **({"dagster/table_name": asset.relation} if asset.relation else {}),
            "file": asset.file,
            **({"materialized": asset.materialized} if asset.materialized else {}),
            **({"sql": dg.MetadataValue.md(f"```sql\n{asset.sql.strip()}\n```")} if asset.sql.strip() else {}),
        },
        group_name="gold",
        kinds=kinds_of(asset),
        owners=owners_of(asset.owner) if asset.owner else [OWNER],
        tags={**dict.fromkeys(asset.tags, ""), **({"layer": asset.layer} if asset.layer else {})},
        code_version=asset.checksum,
    )


def kinds_of(asset: DbtAsset) -> set[str]:
    """Return the signs on an asset, of which Dagster takes three: dbt, where it is kept, and what it is."""
    place = "iceberg" if (asset.relation or "").startswith(f"{CATALOG}.") else "duckdb"
    kind = "seed" if asset.kind == "seed" else ("view" if asset.materialized == "view" else "table")
    return {"dbt", place, kind}


def check_spec(check: DbtCheck, *, is_blocking: bool = False) -> dg.AssetCheckSpec:
    """Return a dbt test as a check of what it tests."""
    return dg.AssetCheckSpec(
        check.name,
        asset=dg.AssetKey(check.key),
        description=check.description or None,
        additional_deps=[dg.AssetKey(key) for key in check.also_reads],
        metadata={"severity": check.severity},
        blocking=is_blocking,
    )


def build_args(
    project: DbtProject, wanted: Collection[Key], wanted_checks: Collection[tuple[Key, str]], *, full_refresh: bool
) -> list[str]:
    """Return the dbt command that builds exactly what is wanted."""
    args = ["build", *NOT_BUILT]
    if len(wanted) == len(project.assets) and len(wanted_checks) == len(project.model_checks):
        tested_before = [check.name for check in project.source_checks]
        args += ["--exclude", *tested_before] if tested_before else []
    else:
        names = [asset.name for asset in project.assets if asset.key in wanted]
        names += [check.name for check in project.model_checks if (check.key, check.name) in wanted_checks]
        # Without it dbt would add every test that touches a selected model.
        args += ["--select", *names, "--indirect-selection", "empty"]
    return [*args, "--full-refresh"] if full_refresh else args


def count_rows(settings: "Settings", built: Collection[DbtAsset]) -> Mapping[Key, int]:
    """Return the rows of tables built in a local file; a write to Iceberg counts its rows itself."""
    if settings.gold_target == "iceberg":
        return {}
    tables = [asset for asset in built if asset.materialized in _COUNTED]
    if not tables or not settings.gold_path.is_file():
        return {}
    import duckdb

    from orchestration.sql import quote_duckdb

    counts: dict[Key, int] = {}
    with reading_gold(settings), duckdb.connect(str(settings.gold_path), read_only=True) as connection:
        for asset in tables:
            table = ".".join(quote_duckdb(part) for part in asset.key)
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            counts[asset.key] = int(row[0]) if row else 0
    return counts
