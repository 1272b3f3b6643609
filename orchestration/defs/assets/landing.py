"""Landing: source files onto the dataset's topic, one month of files a partition."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from orchestration.contracts import DatasetContract
from orchestration.defs.checks import LANDING_CHECKS, judge_landing
from orchestration.defs.failure import failures
from orchestration.defs.keys import landing_asset, owners_of, pool_of, tags_of
from orchestration.defs.metadata import event_schema, landing_metadata
from orchestration.defs.resources import MillraceSettings
from orchestration.errors import InputError

if TYPE_CHECKING:
    from orchestration.generator.results import LandingResult, Progress
    from orchestration.settings import Settings


class LandingConfig(dg.Config):
    """What a run of a landing asset can be told."""

    source: str | None = Field(default=None, description="File, folder, glob or s3:// address; empty: DATA_PATH")
    again: bool = Field(default=False, description="Send files that landed before once more, as new events")


def build_landing(contract: DatasetContract) -> dg.AssetsDefinition:
    """Return the landing asset of a dataset.

    A run of one partition lands the files of its month; a run without a partition, such as
    `dagster job execute -j lakehouse_batch`, lands all files and reports each month that it saw.
    """
    dataset, key = contract.name, landing_asset(contract)

    @dg.asset(
        key=key,
        partitions_def=month_partitions(contract),
        description=f"{contract.description} Their rows as events on topic {contract.topic}; rejected rows on "
        f"{contract.dlq_topic}. A file lands once, however often this runs.".strip(),
        metadata={"dagster/column_schema": event_schema(contract), "topic": contract.topic},
        group_name="landing",
        kinds={"kafka", "parquet"},
        owners=owners_of(contract.owner),
        tags=tags_of(contract),
        code_version=contract.fingerprint(),
        pool=pool_of(key),
        check_specs=[check.spec(key) for check in LANDING_CHECKS],
    )
    def landing(
        context: dg.AssetExecutionContext, config: LandingConfig, millrace: MillraceSettings
    ) -> dg.MaterializeResult:  # pyright: ignore[reportMissingTypeArgument]
        month = context.partition_key if context.has_partition_key else None
        say = context.log.info
        with failures(context.retry_number):
            from orchestration.generator.land import land

            settings, active = millrace.of(dataset)

            def land_source(source: str | None) -> "list[LandingResult]":
                return land(
                    settings,
                    active,
                    source,
                    again=config.again,
                    run_id=context.run.run_id,
                    on_progress=lambda progress: say(describe(progress)),
                    on_wait=say,
                )

            sources = sources_to_land(settings, config.source, month, is_active=millrace.is_active(dataset))
            if not sources:
                say(f"no file to land: DATA_PATH={settings.data_path} holds none of {dataset}")
            results = [result for source in sources for result in land_source(source)]
        if month is None:
            for landed, of_month in by_month(results).items():
                context.log_event(dg.AssetMaterialization(key, partition=landed, metadata=landing_metadata(of_month)))
        for result in results:
            say(f"{result.path}: {result.status.replace('_', ' ')}, {result.sent:,} events sent")
        return dg.MaterializeResult(
            metadata=landing_metadata(results), check_results=judge_landing(results, settings.dlq_max)
        )

    return landing


def month_partitions(contract: DatasetContract) -> dg.MonthlyPartitionsDefinition:
    """Return the months of the dataset's files, `2024-01` up to the current one."""
    return dg.MonthlyPartitionsDefinition(start_date=contract.files.first_month, fmt="%Y-%m", end_offset=1)


def sources_to_land(
    settings: "Settings", source: str | None, month: str | None, *, is_active: bool
) -> list[str | None]:
    """Return what to hand to `land`, in order; None stands for DATA_PATH.

    Args:
        source: the run's own choice of files; None: DATA_PATH.
        month: only files of this month, YYYY-MM; None: all.
        is_active: whether DATA_PATH speaks of the dataset.

    Returns:
        Nothing for a dataset that other producers feed: nobody named files of it.

    Raises:
        InputError: there are no files although somebody named them, or none of the month.
    """
    from orchestration.generator.sources import find_sources

    is_named = source is not None or (is_active and settings.source_of("data_path") != "default")
    if source is None and not is_active and month is None:
        return []
    try:
        files = find_sources(settings, source)
    except InputError:
        if is_named or month is not None:
            raise
        return []
    if month is None:
        return [source]
    found: list[str | None] = [file.path for file in files if file.month == month]
    if not found:
        seen = ", ".join(sorted({file.month or "no month in the name" for file in files}))
        raise InputError(
            f"no file of {month} among {len(files)} files at {source or settings.data_path} (there are: {seen})",
            hint=f"a file of that month carries {month} in its name",
        )
    return found


def by_month(results: "Sequence[LandingResult]") -> "dict[str, list[LandingResult]]":
    """Return the results of files that name their month, by month; a partial landing does not count as landed."""
    months: dict[str, list[LandingResult]] = {}
    for result in results:
        if result.month is not None:
            months.setdefault(result.month, []).append(result)
    return {month: found for month, found in sorted(months.items()) if all(r.status != "partial" for r in found)}


def describe(progress: "Progress") -> str:
    """Return how far a file is, in one line."""
    rows = f"{progress.rows:,} of {progress.total_rows:,} rows"
    return f"{progress.path}: {rows}, {progress.rows_per_s:,.0f} a second"
