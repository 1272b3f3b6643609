"""Tier 2: `platform/platform.yaml`, the file of the platform engineer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from orchestration.platform_config.base import Name, Strict, Url, Version
from orchestration.platform_config.engines import Compute, Engines
from orchestration.platform_config.resources import ResourceProfile
from orchestration.platform_config.stores import Catalog, Namespace, Storage


class Layer(Strict):
    """Where the tables of a layer are."""

    catalog_ref: Name = Field(description="a catalog of this file")
    storage_ref: Name | None = Field(default=None, description="a storage of this file; none: the project's")
    namespace: Namespace = Field(description="one level, without the warehouse: bronze, not demo.bronze")


class Sampling(Strict):
    """Which traces are kept."""

    type: Literal["always_on", "always_off", "probabilistic", "rate_limiting"] = "always_on"
    rate: float | None = Field(default=None, ge=0, description="probabilistic: share; rate_limiting: a second")


class ComputeLogs(Strict):
    """Where Dagster keeps the output of runs."""

    enabled: bool = False
    manager: Literal["s3", "azure_blob", "gcs", "local", "noop"] = "local"
    storage_ref: Name | None = None
    prefix: str = "dagster-compute-logs/"
    retention_days: int = Field(default=30, ge=1)
    local_dir: str | None = None
    upload_interval_seconds: int = Field(default=30, ge=1)


class PlatformObservability(Strict):
    """Endpoints of traces, metrics and lineage."""

    traces: bool = True
    metrics: bool = True
    lineage: bool = True
    attributes: dict[str, str] = Field(default={})
    otlp_endpoint: Url | None = None
    lineage_endpoint: Url | None = None
    sampling: Sampling = Sampling()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"
    compute_logs: ComputeLogs = ComputeLogs()


class Infrastructure(Strict):
    """How large runs may be."""

    resource_profiles: dict[Name, ResourceProfile] = Field(default={})


class Platform(Strict):
    """The platform of one environment: the file with the environment's part laid over it.

    Profiles of storage, catalogs and compute are chosen by name in the project file.
    """

    version: Version = "1.1.0"
    storage: dict[Name, Storage] = Field(default={})
    catalogs: dict[Name, Catalog] = Field(default={})
    compute: dict[Name, Compute] = Field(default={})
    layers: dict[Name, Layer] = Field(default={})
    engines: Engines = Engines()
    observability: PlatformObservability | None = None
    infrastructure: Infrastructure = Infrastructure()
    security: dict[str, Any] | None = Field(default=None, description="kept, not acted upon")
    governance: dict[str, Any] | None = Field(default=None, description="kept, not acted upon")

    @model_validator(mode="after")
    def _fit_the_version(self) -> Platform:
        if self.version.split(".")[0] != "1":
            raise ValueError(f"version {self.version} is not known | write 1.1.0, or get a newer millrace")
        new = {"infrastructure", "security", "governance"} & self.model_fields_set
        if self.version.startswith("1.0.") and new:
            raise ValueError(f"version {self.version} has no {', '.join(sorted(new))} | set version to 1.1.0")
        return self


class PlatformFile(Platform):
    """The whole file: what all environments share, and what each lays over it.

    An environment's mappings are merged into the shared ones; other values replace them; null removes them.
    """

    environments: dict[Name, dict[str, Any] | None] = Field(
        default={}, description="local, dev, staging, prod: the same keys as the file, only what differs"
    )
