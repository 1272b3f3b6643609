"""Gold: the dbt project as assets and its tests as checks, built by one dbt call in the step's process."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from orchestration.defs.assets.naming import GOLD_POOL, owners_of
from orchestration.defs.dbt_nodes import DbtAsset, DbtCheck, DbtProject
from orchestration.defs.failure import failures
from orchestration.defs.resources import MillraceSettings
from orchestration.errors import CheckFailedError

if TYPE_CHECKING:
    from orchestration.dbt_plugin.runner import DbtNode
    from orchestration.settings import Settings

OWNER = "team:data-engineering"
_SHOWN_FAILURES = 5

Key = tuple[str, ...]


class GoldConfig(dg.Config):
    """What a run of the models can be told."""

    full_refresh: bool = Field(default=False, description="Rebuild incremental models and seeds from scratch")


def build_gold(project: DbtProject) -> dg.AssetsDefinition:
    """Return the assets of the dbt project; any part of them can be run."""
    assets = {asset.unique_id: asset for asset in project.assets}
    checks = {check.unique_id: check for check in project.checks}

    # allow_arbitrary_check_specs: tests of sources are checks of silver, which this step does not write. It is how
    # dagster-dbt does it too.
    @dg.multi_asset(
        name="dbt_models",
        specs=[asset_spec(asset) for asset in project.assets],
        check_specs=[check_spec(check) for check in project.checks],
        can_subset=True,
        pool=GOLD_POOL,
        allow_arbitrary_check_specs=True,
    )
    def dbt_models(
        context: dg.AssetExecutionContext, config: GoldConfig, millrace: MillraceSettings
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        wanted = {tuple(key.path) for key in context.selected_asset_keys}
        wanted_checks = {(tuple(key.asset_key.path), key.name) for key in context.selected_asset_check_keys}
        is_whole = len(wanted) == len(assets) and len(wanted_checks) == len(checks)
        args = dbt_args(project, wanted, wanted_checks, is_whole=is_whole, full_refresh=config.full_refresh)
        with failures(context.retry_number):
            from orchestration.dbt_plugin.runner import run_dbt

            settings = millrace.load()
            run = run_dbt(settings, args, on_node=lambda node: _say(context, node))
            built = [assets[node.unique_id] for node in run.nodes if is_built(node) and node.unique_id in assets]
            rows = count_rows(settings, built)
        for node in run.nodes:
            if node.unique_id in assets and is_built(node):
                asset = assets[node.unique_id]
                yield dg.MaterializeResult(
                    asset_key=dg.AssetKey(asset.key), metadata=node_metadata(node, rows.get(asset.key))
                )
            elif node.unique_id in checks and node.status != "skipped":
                check = checks[node.unique_id]
                if (check.key, check.name) in wanted_checks:
                    yield check_result(check, node)
        with failures(context.retry_number):
            raise_failed(run.failed, is_success=run.is_success)

    return dbt_models


def _say(context: dg.AssetExecutionContext, node: "DbtNode") -> None:
    # Each line is a row in Dagster's database: of a hundred tests only those that do not pass are worth one.
    if node.is_failed or node.status == "warn":
        context.log.warning(describe(node))
    elif node.resource_type != "test" and is_built(node):
        context.log.info(describe(node))


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
        kinds={"dbt", "duckdb", *({"seed"} if asset.kind == "seed" else ())},
        owners=owners_of(asset.owner) if asset.owner else [OWNER],
        tags=dict.fromkeys(asset.tags, ""),
        code_version=asset.checksum,
    )


def check_spec(check: DbtCheck) -> dg.AssetCheckSpec:
    """Return a dbt test as a check of what it tests."""
    return dg.AssetCheckSpec(
        check.name,
        asset=dg.AssetKey(check.key),
        description=check.description or None,
        additional_deps=[dg.AssetKey(key) for key in check.also_reads],
    )


def dbt_args(
    project: DbtProject,
    wanted: Collection[Key],
    wanted_checks: Collection[tuple[Key, str]],
    *,
    is_whole: bool,
    full_refresh: bool,
) -> list[str]:
    """Return the dbt command that builds exactly what is wanted."""
    args = ["build"]
    if not is_whole:
        names = [asset.name for asset in project.assets if asset.key in wanted]
        names += [check.name for check in project.checks if (check.key, check.name) in wanted_checks]
        # Without it dbt would add every test that touches a selected model.
        args += ["--select", *names, "--indirect-selection", "empty"]
    return [*args, "--full-refresh"] if full_refresh else args


def is_built(node: "DbtNode") -> bool:
    """Whether a model or seed stands as it should after the run; `no-op` is one that did not have to be built."""
    return node.status in ("success", "no-op", "reused")


def check_result(check: DbtCheck, node: "DbtNode") -> dg.AssetCheckResult:
    """Return the outcome of a test."""
    return dg.AssetCheckResult(
        passed=node.status == "pass",
        asset_key=dg.AssetKey(check.key),
        check_name=check.name,
        severity=dg.AssetCheckSeverity.WARN if node.status == "warn" else dg.AssetCheckSeverity.ERROR,
        description=node.message,
        metadata={
            "status": node.status,
            "seconds": round(node.duration_s, 3),
            **({} if node.failures is None else {"rows_that_break_it": node.failures}),
        },
    )


def node_metadata(node: "DbtNode", rows: int | None) -> dict[str, dg.MetadataValue]:
    """Return the numbers of a built model or seed."""
    return {
        **({} if rows is None else {"dagster/row_count": dg.MetadataValue.int(rows)}),
        "seconds": dg.MetadataValue.float(round(node.duration_s, 3)),
        "status": dg.MetadataValue.text(node.message or node.status),
        "dbt_node": dg.MetadataValue.text(node.unique_id),
    }


def describe(node: "DbtNode") -> str:
    """Return one line about a node that ended."""
    reason = f": {_first_line(node)}" if node.is_failed else ""
    return f"{node.unique_id} {node.status} in {node.duration_s:.2f} s{reason}"


def raise_failed(failed: "Collection[DbtNode]", *, is_success: bool) -> None:
    """Do nothing after a success.

    Raises:
        CheckFailedError: names what failed, in one line.
    """
    if is_success:
        return
    names = [f"{node.unique_id.split('.')[2]}: {_first_line(node)}" for node in failed]
    more = f"; and {len(names) - _SHOWN_FAILURES} more" if len(names) > _SHOWN_FAILURES else ""
    raise CheckFailedError(
        f"dbt: {len(names)} of its nodes failed: {'; '.join(names[:_SHOWN_FAILURES])}{more}",
        hint="`millrace duckdb` looks into the tables",
    )


def count_rows(settings: "Settings", built: Collection[DbtAsset]) -> Mapping[Key, int]:
    """Return the rows of built tables; views are left out, counting one runs it."""
    tables = [asset for asset in built if asset.materialized in ("table", "incremental", "seed")]
    path: Path = settings.gold_path
    if not tables or not path.is_file():
        return {}
    import duckdb

    from orchestration.sql import quote_duckdb

    with duckdb.connect(str(path), read_only=True) as connection:
        counts: dict[Key, int] = {}
        for asset in tables:
            table = ".".join(quote_duckdb(part) for part in asset.key)
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            counts[asset.key] = int(row[0]) if row else 0
    return counts


def _first_line(node: "DbtNode") -> str:
    lines = [line.strip() for line in (node.message or node.status).splitlines() if line.strip()]
    # dbt's first line only repeats which node it speaks of.
    return next((line for line in lines if " Error in " not in line), lines[0] if lines else node.status)
