"""Bronze: what the topic holds and the table does not, in one Flink job and one commit."""

from time import monotonic

import dagster as dg

from orchestration.contracts import DatasetContract
from orchestration.defs.checks import RESTARTS, count_restarts, judge_restarts
from orchestration.defs.failure import failures
from orchestration.defs.keys import landing_asset, owners_of, pool_of, table_asset, tags_of
from orchestration.defs.metadata import bronze_metadata, bronze_schema
from orchestration.defs.resources import MillraceSettings


def build_bronze(contract: DatasetContract) -> dg.AssetsDefinition:
    """Return the bronze asset of a dataset."""
    dataset, key = contract.name, table_asset(contract.tables.bronze)

    @dg.asset(
        key=key,
        deps=[landing_asset(contract)],
        description=f"Events of topic {contract.topic} as they came: source names, nothing filtered, each record once, "
        "with its place on the broker. Append-only. Malformed records go to the dead letters.",
        metadata={
            "dagster/column_schema": bronze_schema(contract),
            "dagster/table_name": contract.tables.bronze,
            "topic": contract.topic,
        },
        group_name="bronze",
        kinds={"flink", "iceberg"},
        owners=owners_of(contract.owner),
        tags=tags_of(contract),
        code_version=contract.fingerprint(),
        pool=pool_of(key),
        check_specs=[RESTARTS.spec(key)],
    )
    def bronze(context: dg.AssetExecutionContext, millrace: MillraceSettings) -> dg.MaterializeResult:  # pyright: ignore[reportMissingTypeArgument]
        say = context.log.info
        with failures(context.retry_number):
            from orchestration.lakehouse.bronze import load_bronze_table

            settings, active = millrace.of(dataset)
            started = monotonic()
            result = load_bronze_table(settings, active, say)
            seconds = monotonic() - started
            restarts = count_restarts(settings, result.jobs)
        say(f"{result.table}: {result.rows:,} rows added, {result.total_rows:,} in all")
        return dg.MaterializeResult(
            metadata=bronze_metadata(result, seconds, restarts), check_results=[judge_restarts(result.jobs, restarts)]
        )

    return bronze
