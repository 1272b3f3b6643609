"""A dataset of five columns that the unit tests share: one of each decision that a contract can take."""

from __future__ import annotations

import copy
from typing import Any

from orchestration.contracts import DatasetContract

RAW: dict[str, Any] = {
    "version": 1,
    "name": "rides",
    "topic": "rides.raw",
    "dlq_topic": "rides.dlq",
    "key_field": "Zone",
    "tables": {"bronze": "bronze.raw_rides", "silver": "silver.rides", "rejected": "silver.refused_rides"},
    "files": {"first_month": "2024-01"},
    "event_time": "start",
    "partition": {"name": "ride_date", "field": "start"},
    "natural_key": ["Zone", "start"],
    "surrogate_key": "ride_id",
    "columns": [
        {"name": "Zone", "json": "integer", "bronze": "BIGINT", "silver_name": "zone_id", "silver": "INT"},
        {
            "name": "start",
            "json": "date-time",
            "bronze": "TIMESTAMP(3)",
            "silver_name": "started_at",
            "silver": "TIMESTAMP(3)",
            "is_required": True,
        },
        {"name": "fare", "json": "number", "bronze": "DOUBLE", "silver_name": "fare", "silver": "DECIMAL(6, 2)"},
        {"name": "shared", "json": "boolean", "bronze": "BOOLEAN", "silver_name": "is_shared", "silver": "BOOLEAN"},
        {"name": "note", "json": "string", "bronze": "STRING", "silver_name": "note", "silver": "STRING"},
    ],
    "parameters": {"window_start": "2024-01-01"},
    "quality_rules": [
        {"name": "start_missing", "predicate": "start IS NOT NULL"},
        {"name": "before_window", "predicate": "CAST(start AS DATE) >= ${window_start}"},
        {"name": "fare_negative", "predicate": "fare >= 0", "null_passes": True},
    ],
}


def tiny_raw(**changes: Any) -> dict[str, Any]:
    """Return a copy of the contract as YAML would give it, with top-level keys replaced."""
    return copy.deepcopy(RAW) | changes


def tiny_contract(**changes: Any) -> DatasetContract:
    """Return the contract as a model, with top-level keys replaced."""
    return DatasetContract.model_validate(tiny_raw(**changes))
