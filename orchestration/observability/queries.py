"""Persistent queries and streams: the metrics of the SQL engine that speak of the cluster."""

from __future__ import annotations

from prometheus_client.metrics_core import Metric

from orchestration.flink.look import read_cluster
from orchestration.flink.monitoring.metrics import EngineMetrics
from orchestration.flink.provider import FlinkBacked, open_stream_engine
from orchestration.settings import Settings

_OF_A_PROCESS = ("sql_engine_statement", "sql_engine_rows", "sql_engine_session", "sql_engine_http_retries")
"""What an engine counts of its own work. This process runs no statements: a zero here would say nothing."""


def collect_queries(settings: Settings) -> list[Metric]:
    """Return slots, queries by state, and the readings of their jobs.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    with open_stream_engine(settings) as engine:
        if not isinstance(engine, FlinkBacked):
            return []
        figures = read_cluster(engine.rest, engine.list())
    metrics = EngineMetrics()
    metrics.watch_cluster(lambda: figures)
    return [family for family in metrics.registry.collect() if not family.name.startswith(_OF_A_PROCESS)]
