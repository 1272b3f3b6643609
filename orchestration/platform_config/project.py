"""Tier 1: `millrace.yaml`, the file of the data engineer. It names profiles of tier 2 and holds no endpoint."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from orchestration.platform_config.base import Name, SecretName, Strict, Version
from orchestration.platform_config.orchestration_section import Cron, Orchestration, Timezone

NO_VERSION = "0.0.0"


class Transform(Strict):
    """A project of transformations."""

    type: Literal["dbt", "flink"] = "dbt"
    path: str = "dbt"
    target: str | None = Field(default=None, description="of the compiled profile; none: iceberg")

    @field_validator("type")
    @classmethod
    def _be_built(cls, value: str) -> str:
        if value == "flink":
            raise ValueError("transforms of type flink are reserved for later | use type dbt")
        return value


class Policy(Strict):
    """What happens to columns of a classification."""

    action: Literal["restrict", "synthesize", "redact", "mask", "hash"]
    requires_role: list[str] = Field(default=[])


class ClassificationPolicy(Strict):
    """Policies by kind of environment."""

    production: Policy | None = None
    non_production: Policy | None = None


class Governance(Strict):
    """Who may see which column. Kept, not acted upon."""

    classification_source: Literal["dbt_meta"] | None = None
    emit_lineage: bool = True
    policies: dict[str, ClassificationPolicy] = Field(default={})


class Observability(Strict):
    """What is recorded; endpoints are in tier 2."""

    traces: bool = True
    metrics: bool = True
    lineage: bool = True
    attributes: dict[str, str] = Field(default={})


class PreAggregations(Strict):
    """Of a semantic layer."""

    refresh_schedule: Cron = "*/30 * * * *"
    timezone: Timezone = "UTC"
    external: bool = True
    cube_store: bool | dict[str, Any] | None = None
    export_bucket: str | None = None


class ConsumptionSecurity(Strict):
    """Of a semantic layer."""

    row_level: bool = True
    filter_column: str = "organization_id"


class Consumption(Strict):
    """A semantic layer. Kept; running one is out of scope."""

    enabled: bool = False
    port: int = Field(default=4000, ge=1, le=65535)
    api_secret_ref: SecretName | None = None
    database_type: str | None = None
    dev_mode: bool = False
    pre_aggregations: PreAggregations = PreAggregations()
    security: ConsumptionSecurity = ConsumptionSecurity()


class Project(Strict):
    """What a data engineer decides; the same file in every environment."""

    name: Name = Field(description="of the project; with `-` as `_` the name of its dbt profile")
    version: Version = Field(default=NO_VERSION, description="of the project")
    catalog: Name = Field(default="default", description="a catalog of the platform file")
    storage: Name = Field(default="default", description="a storage of the platform file")
    compute: Name = Field(default="default", description="a compute of the platform file")
    resource_profile: Name | None = Field(default=None, description="a resource profile of the platform file")
    datasets: list[str] = Field(default=[], description="contracts in platform/datasets; the first is the active one")
    mode: Literal["batch", "streaming"] | None = Field(default=None, description="how bronze is fed; none: MODE")
    transforms: list[Transform] = Field(default=[])
    governance: Governance | None = None
    observability: Observability = Observability()
    consumption: Consumption = Consumption()
    orchestration: Orchestration | None = None

    @field_validator("datasets")
    @classmethod
    def _be_unique(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError("a dataset stands there twice | keep each once")
        return value

    @property
    def profile_name(self) -> str:
        """The name of the project's dbt profile."""
        return self.name.replace("-", "_")
