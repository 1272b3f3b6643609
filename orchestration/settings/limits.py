"""Settings that bound something: memory of servers, waits, what validation tolerates. A part of `Settings`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

Seconds = Annotated[float, Field(ge=1)]


class LimitSettings(BaseSettings):
    """Limits."""

    # Memory of the embedded stack
    kafka_heap_mb: int = Field(default=256, ge=128)
    catalog_heap_mb: int = Field(default=96, ge=64)
    jobmanager_memory_mb: int = Field(default=1024, ge=768)
    taskmanager_memory_mb: int = Field(default=3072, ge=1536)
    gateway_heap_mb: int = Field(default=256, ge=128)

    # Time limits
    stack_timeout_s: Seconds = Field(default=120.0, description="`up`: until everything is ready")
    job_timeout_s: Seconds = 1800.0
    lock_timeout_s: Seconds = Field(default=600.0, description="wait for another run that writes the same table")
    http_timeout_s: Seconds = 5.0
    broker_timeout_s: Seconds = 15.0
    iceberg_query_timeout_s: Seconds = 90.0
    iceberg_metadata_timeout_s: Seconds = 30.0
    dlq_read_timeout_s: Seconds = 10.0
    dbt_test_timeout_s: Seconds = 300.0
    wait_for_silver_timeout_s: Seconds = 90.0
    wait_for_silver_poll_s: float = Field(default=5.0, gt=0)
    wait_for_silver_min_rows: int = Field(default=1, ge=0)

    # Validation
    allow_empty: bool = Field(default=False, description="an empty silver is a result, not a failure")
    bronze_completeness_ratio: float = Field(default=1.0, gt=0, le=1)
    require_run_metrics: bool = True
    run_metrics_max_age_minutes: int = Field(default=120, ge=1)
    allow_stale_run_metrics: bool = False
