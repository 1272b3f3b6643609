"""The sources of the page, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from prometheus_client.metrics_core import Metric

from orchestration.contracts import DatasetContract
from orchestration.observability.families import gauge
from orchestration.observability.page import Collect, Page, Source
from orchestration.settings import Settings

TIMEOUT_S = 8.0
"""Below the `scrape_timeout` of platform/prometheus/prometheus.yml."""
SOURCES = ("flink", "queries", "broker", "tables", "accounting", "dagster")


def build_page(
    settings: Settings,
    contract: DatasetContract,
    dagster: Collect,
    *,
    without: Iterable[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> Page:
    """Return the page of an instance.

    Args:
        dagster: what speaks for Dagster; it is handed in, because only orchestration/defs knows Dagster.
        without: names of SOURCES to leave out.
        timeout_s: how long a scrape waits for a source.
    """
    left_out = set(without)
    found = _sources(settings, contract, dagster)
    return Page([replace(source, timeout_s=timeout_s) for source in found if source.name not in left_out])


def _sources(settings: Settings, contract: DatasetContract, dagster: Collect) -> list[Source]:
    # Here, not above: the command line reads SOURCES before anything heavy is loaded.
    from orchestration.observability.accounting import Accountant
    from orchestration.observability.broker import collect_broker
    from orchestration.observability.flink import collect_flink
    from orchestration.observability.queries import collect_queries
    from orchestration.observability.tables import collect_tables

    return [
        Source("millrace", partial(build_info, settings)),
        Source("flink", partial(collect_flink, settings)),
        Source("queries", partial(collect_queries, settings)),
        Source("broker", partial(collect_broker, settings, contract)),
        Source("tables", partial(collect_tables, settings), keep_s=10.0),
        Source("accounting", Accountant(settings, contract).collect, keep_s=10.0),
        Source("dagster", dagster, keep_s=10.0),
    ]


def build_info(settings: Settings) -> Sequence[Metric]:
    """Return which Millrace speaks."""
    try:
        number = version("millrace")
    except PackageNotFoundError:
        number = "checkout"
    labels = ("version", "stack", "profile")
    values = {(number, settings.instance, settings.profile): 1.0}
    return [gauge("millrace_build_info", "The Millrace that made this page", labels, values)]
