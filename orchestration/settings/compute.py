"""Settings of DuckDB, of the producer and of what the catalog is asked. A part of `Settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from orchestration.platform_config.quantities import canonical_size


def _be_size(value: str) -> str:
    try:
        return canonical_size(value)
    except ValueError as error:
        raise ValueError(str(error).partition(" | ")[2]) from None


Size = Annotated[str, AfterValidator(_be_size)]


class ComputeSettings(BaseSettings):
    """DuckDB and the ends of the pipeline."""

    duckdb_memory_limit: Size | None = Field(
        default=None, description="None: 67 % of the container's memory; without a container DuckDB's own"
    )
    duckdb_threads: int | None = Field(default=None, ge=1, description="None: one a core")
    duckdb_max_temp_directory_size: Size | None = Field(default=None, description="how much it may spill; None: all")
    duckdb_extension_directory: Path | None = Field(default=None, description="None: the bundled extensions alone")
    duckdb_allow_extension_download: bool = False
    duckdb_path: Path | None = Field(default=None, description="file of a local gold; None: in the instance's folder")

    catalog_access_delegation: Literal["vended-credentials", "none"] | None = Field(
        default=None, description="who gives the keys of the store; None: the catalog unless keys are given"
    )
    catalog_oauth2_server_uri: str | None = Field(default=None, description="None: <CATALOG_URI>/v1/oauth/tokens")

    producer_buffer_mb: int = Field(default=128, ge=1, le=2047, description="of events that wait for the broker")
