"""Settings of what moves the data: dataset, topics, generator, broker, Flink. A part of `Settings`."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_settings import BaseSettings

Port = Annotated[int, Field(ge=1, le=65535)]


def loopback(port: str) -> Any:
    """Return a default factory for the loopback address of the server whose port field is `port`."""
    return lambda data: f"http://127.0.0.1:{data[port]}"


class PipelineSettings(BaseSettings):
    """From files to silver."""

    # Dataset and topics
    dataset: str = Field(default="taxi", pattern=r"^[a-z][a-z0-9_]{0,63}$", description="folder in platform/datasets")
    topic: str | None = Field(default=None, description="main topic; None: the contract's")
    dlq_topic: str | None = Field(default=None, description="topic of rejected rows; None: the contract's")
    topic_partitions: int = Field(default=4, ge=1)
    dlq_partitions: int = Field(default=1, ge=1)
    topic_retention_ms: int = Field(default=259_200_000, ge=-1, description="-1: for ever")
    dlq_retention_ms: int = Field(default=604_800_000, ge=-1, description="-1: for ever")
    dlq_max: int = Field(default=0, ge=0, description="dead letters tolerated by validation")

    # Broker
    kafka_port: Port = 9092
    broker_url: str = Field(
        default_factory=lambda d: f"127.0.0.1:{d['kafka_port']}", description="host:port[,host:port]"
    )

    # Flink
    flink_rest_port: Port = 8081
    flink_sql_gateway_port: Port = 8083
    flink_rest_url: str = Field(default_factory=loopback("flink_rest_port"))
    flink_sql_gateway_url: str = Field(default_factory=loopback("flink_sql_gateway_port"))
    flink_parallelism: int = Field(default=2, ge=1)
    flink_task_slots: int = Field(default=8, ge=1)
    checkpoint_interval_ms: int = Field(default=10_000, ge=100)

    # Generator
    generator_mode: Literal["burst", "realtime", "batch"] = "burst"
    speed_factor: float = Field(default=1.0, gt=0, description="realtime: event seconds a wall-clock second")
    rate_limit: int = Field(default=0, ge=0, description="events a second; 0: unlimited")
    batch_size: int = Field(default=1000, ge=1)
    batch_delay: float = Field(default=1.0, ge=0, description="seconds between two batches")
    max_events: int = Field(default=0, ge=0, description="0: all")
    validate_schema: bool = Field(default=True, description="check rows against the contract before they are sent")
    key_field: str | None = Field(default=None, description="column of the message key; None: the contract's")
    producer_flush_timeout_s: float = Field(default=30.0, ge=1)

    # Silver
    silver_window_start: date | None = Field(default=None, description="None: the contract's")
    silver_window_end: date | None = Field(default=None, description="exclusive; None: the contract's")
    silver_refresh_memory_mb: int = Field(
        default=1024, ge=64, description="of DuckDB, in a refresh of streamed silver; more goes to temporary files"
    )
