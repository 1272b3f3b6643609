"""The report: one HTML page behind the marts and the accounting."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.contracts import DatasetContract
from orchestration.defs.dbt_nodes import DbtProject
from orchestration.defs.failure import failures
from orchestration.defs.keys import landing_asset, pool_of, table_asset
from orchestration.defs.resources import MillraceSettings
from orchestration.report.runs import RunLine

if TYPE_CHECKING:
    from orchestration.report.content import Report

KEY = dg.AssetKey("report")
OWNER = "team:data-engineering"
MOST_RUNS = 5

_BY_HAND = "__ASSET_JOB"
"""Dagster's job for assets that somebody materialized by hand."""


def build_report(contracts: Sequence[DatasetContract], project: DbtProject) -> dg.AssetsDefinition:
    """Return the asset that writes the report of the active dataset.

    It is in no job: counting every row anew would make each run longer. `millrace report` writes the same page.
    """
    fed = set(project.sources.values())
    counted = [contract for contract in contracts if tuple(table_asset(contract.tables.silver).path) in fed]
    marts = [dg.AssetKey(asset.key) for asset in project.assets if asset.layer == "marts"]

    @dg.asset(
        key=KEY,
        deps=[*marts, *(key for contract in counted for key in _accounting(contract))],
        description="One HTML page without script or network: plots of the marts, where every row went, freshness, "
        "sizes and snapshots of the tables, the last runs.",
        group_name="report",
        kinds={"html"},
        owners=[OWNER],
        pool=pool_of(KEY),
    )
    def report(context: dg.AssetExecutionContext, millrace: MillraceSettings) -> dg.MaterializeResult[Any]:
        say = context.log.info
        with failures(context.retry_number):
            from orchestration.contracts.resolve import active_contract
            from orchestration.report.content import collect_report
            from orchestration.report.page import report_path, write_page

            settings = millrace.load()
            found = collect_report(settings, active_contract(settings), read_runs(context.instance))
            path = write_page(found, report_path(settings))
        say(f"{path}: the accounting {found.accounting.state}")
        return dg.MaterializeResult(metadata={"page": dg.MetadataValue.path(str(path)), **report_metadata(found)})

    return report


def read_runs(instance: dg.DagsterInstance, limit: int = MOST_RUNS) -> tuple[RunLine, ...]:
    """Return the last runs of an instance, newest first."""
    return tuple(
        RunLine(
            run_id=record.dagster_run.run_id,
            job="assets by hand" if record.dagster_run.job_name == _BY_HAND else record.dagster_run.job_name,
            status=record.dagster_run.status.value.lower(),
            started_at=_time(record.start_time),
            seconds=record.end_time - record.start_time if record.start_time and record.end_time else None,
        )
        for record in instance.get_run_records(limit=limit)
    )


def report_metadata(report: "Report") -> dict[str, dg.MetadataValue]:
    """Return what the report says in short: one line a plot, and the accounting."""
    equations = [
        f"{equation.total.rows:,} {equation.total.name} = "
        + " + ".join(f"{part.rows:,} {part.name}" for part in equation.parts)
        for equation in report.accounting.equations
    ]
    return {
        "accounting": dg.MetadataValue.text(report.accounting.state),
        "equations": dg.MetadataValue.md("\n".join(f"- {line}" for line in equations)),
        **{plot.name: dg.MetadataValue.text(plot.summary or "no rows") for plot in report.plots},
    }


def _accounting(contract: DatasetContract) -> list[dg.AssetKey]:
    tables = (contract.tables.bronze, contract.tables.silver, contract.tables.rejected)
    return [landing_asset(contract), *(table_asset(table) for table in tables)]


def _time(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
