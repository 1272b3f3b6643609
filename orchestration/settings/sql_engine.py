"""Settings of the SQL engine (orchestration/flink): time limits, sessions, registry. A part of `Settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

CallSeconds = Annotated[float, Field(ge=1, le=120)]
JobSeconds = Annotated[float, Field(ge=1, le=3600)]


class SqlEngineSettings(BaseSettings):
    """How the engine talks to Flink. In the environment `SQL_ENGINE_READ_TIMEOUT` is also `…_READ_TIMEOUT_S`."""

    stream_engine_provider: str = Field(default="flink", description="flink, or a name registered by an entry point")
    flink_tls_verify: bool = Field(default=True, description="check the certificates of Flink's services")
    flink_ca_file: Path | None = Field(default=None, description="certificates to trust; None: the system's")
    flink_auth_header_file: Path | None = Field(
        default=None, description="file that holds the value of the Authorization header; read at each start"
    )

    sql_engine_registry: str | None = Field(
        default=None, description="SQLite path or postgresql:// URL; None: in the instance's folder"
    )
    sql_engine_namespace: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    sql_engine_profiles: Path | None = Field(
        default=None, description="YAML of connector profiles; None: platform/connectors.yml"
    )
    sql_engine_savepoint_dir: str | None = Field(default=None, description="None: the cluster's own")

    sql_engine_connect_timeout_s: CallSeconds = 5.0
    sql_engine_read_timeout_s: CallSeconds = 30.0
    sql_engine_ready_timeout_s: float = Field(default=60.0, ge=1, le=3600, description="until a statement's first page")
    sql_engine_start_timeout_s: JobSeconds = Field(default=120.0, description="until a deployed job runs")
    sql_engine_stop_timeout_s: JobSeconds = Field(default=300.0, description="until a savepoint is done")
    sql_engine_http_retries: int = Field(default=5, ge=0, le=10)
    sql_engine_pool_max: int = Field(default=4, ge=1, le=64, description="gateway sessions of one kind")
    sql_engine_pool_wait_s: float = Field(default=30.0, ge=0, le=3600)
    sql_engine_pool_idle_s: float = Field(default=300.0, ge=1, le=3600)
    sql_engine_heartbeat_s: float = Field(default=60.0, ge=5, le=300)
    sql_engine_max_rows: int = Field(default=1000, ge=0, description="of interactive queries; 0: all")
    sql_engine_fetch_limit_s: float = Field(default=60.0, ge=0, description="of interactive queries; 0: none")
    sql_engine_job_cache_ttl_s: float = Field(default=2.0, ge=0, le=60)
    sql_engine_log_format: Literal["text", "json"] = Field(default="text", description="of the engine's log")
    sql_engine_alert_webhook: SecretStr | None = Field(
        default=None, description="gets alerts as JSON; None: no webhook"
    )
