"""Silver: typed, filtered and deduplicated rows, and beside them the rows that a rule refused."""

from collections.abc import Iterator
from time import monotonic
from typing import Any

import dagster as dg
from pydantic import Field

from orchestration.contracts import DatasetContract
from orchestration.defs.checks import RESTARTS, count_restarts, judge_restarts
from orchestration.defs.failure import failures
from orchestration.defs.keys import owners_of, pool_of, table_asset, tags_of
from orchestration.defs.metadata import rejected_metadata, rejected_schema, silver_metadata, silver_schema
from orchestration.defs.resources import MillraceSettings


class SilverConfig(dg.Config):
    """What a run of silver can be told."""

    full_refresh: bool = Field(default=False, description="Rebuild from all of bronze instead of its new snapshots")


def build_silver(contract: DatasetContract) -> dg.AssetsDefinition:
    """Return the asset that writes silver and its rejected rows: one Flink job for both."""
    dataset, bronze = contract.name, table_asset(contract.tables.bronze)
    silver, rejected = table_asset(contract.tables.silver), table_asset(contract.tables.rejected)

    def spec(key: dg.AssetKey, table: str, description: str, schema: dg.TableSchema) -> dg.AssetSpec:
        return dg.AssetSpec(
            key,
            deps=[bronze],
            description=description,
            metadata={"dagster/column_schema": schema, "dagster/table_name": table},
            group_name="silver",
            kinds={"flink", "iceberg"},
            owners=owners_of(contract.owner),
            tags=tags_of(contract),
            code_version=contract.fingerprint(),
        )

    rules = ", ".join(name for name, _ in contract.rules())

    @dg.multi_asset(
        name="__".join(silver.path),
        specs=[
            spec(
                silver,
                contract.tables.silver,
                f"One row a {', '.join(contract.natural_key)}: renamed, typed, the latest arrival wins; partitioned by "
                f"{contract.partition.name}.",
                silver_schema(contract),
            ),
            spec(
                rejected,
                contract.tables.rejected,
                f"Bronze rows that a quality rule refused, with the name of the first one: {rules}.",
                rejected_schema(contract),
            ),
        ],
        pool=pool_of(silver),
        check_specs=[RESTARTS.spec(silver)],
    )
    def silver_tables(
        context: dg.AssetExecutionContext, config: SilverConfig, millrace: MillraceSettings
    ) -> Iterator[dg.MaterializeResult[Any]]:
        say = context.log.info
        with failures(context.retry_number):
            from orchestration.lakehouse.silver import refresh_silver_table

            settings, active = millrace.of(dataset)
            started = monotonic()
            result = refresh_silver_table(settings, active, full_refresh=config.full_refresh, say=say)
            seconds = monotonic() - started
            restarts = count_restarts(settings, result.jobs)
        say(
            f"{active.tables.silver}: {result.rows:+,} rows, {result.total_rows:,} in all; {result.rejected:,} rejected"
        )
        yield dg.MaterializeResult(
            asset_key=silver,
            metadata=silver_metadata(result, seconds, restarts),
            check_results=[judge_restarts(result.jobs, restarts)],
        )
        yield dg.MaterializeResult(asset_key=rejected, metadata=rejected_metadata(result))

    return silver_tables
