"""All checks in their order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from orchestration.contracts import DatasetContract
from orchestration.settings import Settings
from orchestration.validation.results import Result, Stage

STAGES: dict[Stage, str] = {
    "health": "1 Services answer",
    "jobs": "2 Jobs ended well",
    "data": "3 Every row is accounted for",
    "models": "4 Models hold their tests",
}


def validate(
    settings: Settings,
    contract: DatasetContract,
    *,
    stages: Collection[Stage] = tuple(STAGES),
    on_result: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run the stages and return every result in order. Reads only; raises nothing for what a check finds.

    Args:
        on_result: called with each result as it comes.
    """
    results: list[Result] = []
    for result in _results(settings, contract, stages):
        results.append(result)
        if on_result is not None:
            on_result(result)
    return results


def _results(settings: Settings, contract: DatasetContract, stages: Collection[Stage]) -> Iterator[Result]:
    # Imported stage by stage: the first lines come while pyarrow, DuckDB and dbt are not loaded yet.
    if "health" in stages:
        from orchestration.validation.broker import check_broker
        from orchestration.validation.catalog import check_catalog, check_storage
        from orchestration.validation.flink import check_cluster, check_gateway

        yield check_broker(settings, contract)
        yield check_cluster(settings)
        yield check_gateway(settings)
        yield check_catalog(settings)
        yield check_storage(settings)
    if "jobs" in stages:
        from orchestration.validation.flink import check_jobs
        from orchestration.validation.iceberg import last_job

        yield from check_jobs(settings, contract, lambda layer: last_job(settings, getattr(contract.tables, layer)))
    if "data" in stages:
        from orchestration.validation.broker import check_ledger
        from orchestration.validation.iceberg import check_counts, check_tables

        yield check_ledger(settings, contract)
        yield from check_tables(settings, contract)
        yield from check_counts(settings, contract)
    if "models" in stages:
        from orchestration.validation.dbt import check_models

        yield from check_models(settings)
