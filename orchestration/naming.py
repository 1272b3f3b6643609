"""Every name that several layers must agree on: catalog alias, job names, asset keys."""

from __future__ import annotations

CATALOG = "lakehouse"
"""Name of the Iceberg catalog in Flink SQL and alias of it in DuckDB."""

GOLD = "gold"
"""Namespace of the marts in the catalog."""

LEDGER_TABLE = "landing.files"
"""Iceberg table that remembers which files were landed."""

REPLAY_TABLE = "landing.replays"
"""Iceberg table that remembers which dead letters were replayed."""

BATCH_JOB = "lakehouse_batch"
SILVER_JOB = "silver_refresh"
RECONCILE_JOB = "query_reconcile"
MAINTENANCE_JOB = "iceberg_maintenance"
MARTS_JOB = "marts_refresh"
STREAM_DEPLOY_JOB = "stream_deploy"
STREAM_STOP_JOB = "stream_stop"
STREAM_HEAL_JOB = "stream_heal"


def bronze_job(dataset: str) -> str:
    """Return the `pipeline.name` of the bronze job of a dataset."""
    return f"millrace.bronze.{dataset}"


def silver_job(dataset: str) -> str:
    """Return the `pipeline.name` of the silver job of a dataset."""
    return f"millrace.silver.{dataset}"


def landing_key(dataset: str) -> list[str]:
    """Return the asset key of a dataset's landing."""
    return ["landing", dataset]


def table_key(table: str) -> list[str]:
    """Return the asset key of `schema.table`."""
    return table.split(".")


def query_key(name: str) -> list[str]:
    """Return the asset key of a persistent query; `name` is its safe name."""
    return ["queries", name]


def stream_name(dataset: str) -> str:
    """Return the name of a dataset's stream among the persistent queries."""
    return f"{dataset}_stream"


def stream_key(dataset: str) -> list[str]:
    """Return the asset key of a dataset's stream."""
    return ["streams", stream_name(dataset)]
