"""Tier 2: what computes. DuckDB by its properties; broker and Flink by their addresses."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from orchestration.platform_config.base import Strict, Url
from orchestration.platform_config.credentials import Credentials
from orchestration.platform_config.quantities import parse_duckdb_size

SECRET_MANAGER_SETTINGS = frozenset({"allow_persistent_secrets", "secret_directory", "default_secret_storage"})
"""DuckDB refuses to change these once a secret was used; the plugin knows the same (tests/contract)."""

_BROKERS = re.compile(r"[A-Za-z0-9._\-\[\]:]+:\d{1,5}(,[A-Za-z0-9._\-\[\]:]+:\d{1,5})*")


class DuckdbProperties(Strict):
    """What DuckDB is told. Given here, it goes before variables and resource profiles."""

    path: str | None = Field(default=None, description="database file, relative to the instance's folder, or :memory:")
    threads: int | None = Field(default=None, ge=1)
    memory_limit: str | None = Field(
        default=None, description="8GB is decimal, 8GiB binary; none: 67 % of the container"
    )
    temp_directory: str | None = Field(default=None, description="where it spills; relative to the instance's folder")
    max_temp_directory_size: str | None = Field(default=None, description="how much it may spill")
    extension_directory: str | None = Field(default=None, description="of extensions that are not bundled")
    allow_extension_download: bool | None = Field(default=None, description="let DuckDB fetch extensions; off")

    @field_validator("memory_limit", "max_temp_directory_size")
    @classmethod
    def _be_size(cls, value: str | None) -> str | None:
        if value is not None:
            parse_duckdb_size(value)
        return value


class Compute(Strict):
    """An engine for models."""

    type: Literal["duckdb", "snowflake", "bigquery", "redshift", "databricks", "postgres", "spark"] = "duckdb"
    properties: DuckdbProperties = DuckdbProperties()
    credentials: Credentials = Credentials()

    @model_validator(mode="before")
    @classmethod
    def _be_supported(cls, data: Any) -> Any:
        kind = data.get("type", "duckdb") if isinstance(data, dict) else "duckdb"
        if kind in {"snowflake", "bigquery", "redshift", "databricks", "postgres", "spark"}:
            raise ValueError(f"compute of type {kind} is not supported, only duckdb | set type to duckdb")
        return data

    @field_validator("properties", mode="before")
    @classmethod
    def _hold_no_secret_manager_setting(cls, value: Any) -> Any:
        found = sorted(SECRET_MANAGER_SETTINGS & set(value)) if isinstance(value, dict) else []
        if found:
            raise ValueError(
                f"{found[0]} changes DuckDB's secret manager, which it refuses once a secret was used "
                f"(PLT-SECRET-MANAGER) | remove {found[0]} from compute.properties; it must be set before the first "
                "connection"
            )
        return value


class Broker(Strict):
    """The Kafka-compatible broker."""

    type: Literal["kafka", "redpanda"] = "kafka"
    bootstrap_servers: str | None = Field(default=None, description="host:port, several with commas; none: embedded")

    @field_validator("bootstrap_servers")
    @classmethod
    def _be_addresses(cls, value: str | None) -> str | None:
        if value is not None and not _BROKERS.fullmatch(value):
            raise ValueError(f"{value!r} is no list of addresses | write host:port, several with commas between")
        return value


class Flink(Strict):
    """The Flink cluster and its SQL Gateway."""

    rest_url: Url | None = Field(default=None, description="JobManager; none: embedded")
    sql_gateway_url: Url | None = Field(default=None, description="none: embedded")
    parallelism: int | None = Field(default=None, ge=1, description="of a job that names none")
    checkpoint_interval_ms: int | None = Field(default=None, ge=100)
    savepoint_dir: str | None = Field(default=None, description="none: the cluster's own")


class Engines(Strict):
    """Addresses of what moves the data. Without one the embedded stack is meant."""

    broker: Broker = Broker()
    flink: Flink = Flink()
