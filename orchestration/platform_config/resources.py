"""Resource profiles: how large a run is, as Kubernetes, DuckDB and Flink each want to know it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from orchestration.platform_config.base import Strict
from orchestration.platform_config.quantities import DUCKDB_SHARE, duckdb_share, parse_duckdb_size, parse_quantity
from orchestration.redaction import is_sensitive_key

_SCALAR = {"type": ["string", "number", "boolean"]}
Variables = Annotated[dict[str, str], WithJsonSchema({"type": "object", "additionalProperties": _SCALAR})]
Quantity = Annotated[str, WithJsonSchema({"type": ["string", "number"]})]


class Amounts(Strict):
    """CPU and memory in Kubernetes' spelling."""

    cpu: Quantity | None = Field(default=None, description="cores, such as 500m or 4")
    memory: Quantity | None = Field(default=None, description="bytes, such as 512Mi or 12Gi")

    @field_validator("cpu", "memory", mode="before")
    @classmethod
    def _be_quantity(cls, value: object) -> object:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str):
            parse_quantity(value)
        return value

    def given(self) -> dict[str, str]:
        """Return what is given, by name."""
        return {name: value for name, value in (("cpu", self.cpu), ("memory", self.memory)) if value is not None}


class ResourceProfile(Strict):
    """A size of runs.

    `env` holds settings by their names in the environment (`DUCKDB_THREADS`, `FLINK_PARALLELISM`, `PRODUCER_BUFFER_MB`)
    and further variables of the run's container.
    """

    requests: Amounts = Amounts()
    limits: Amounts = Amounts()
    env: Variables = Field(default={}, description="variables of the run; no secrets")

    @field_validator("env", mode="before")
    @classmethod
    def _be_text(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        for name in value:
            if is_sensitive_key(str(name)):
                raise ValueError(f"{name} would hold a secret in clear | name it by reference under credentials")
        return {str(name): str(item).lower() if isinstance(item, bool) else str(item) for name, item in value.items()}

    @model_validator(mode="after")
    def _hold_together(self) -> ResourceProfile:
        for name, limit in self.limits.given().items():
            request = self.requests.given().get(name)
            if request is not None and parse_quantity(request) > parse_quantity(limit):
                raise ValueError(
                    f"limits.{name} {limit} is below requests.{name} {request} | raise the limit or lower the request"
                )
        for name in ("DUCKDB_MEMORY_LIMIT", "DUCKDB_MAX_TEMP_DIRECTORY_SIZE"):
            if name in self.env:
                parse_duckdb_size(self.env[name])
        wanted, most = self.env.get("DUCKDB_MEMORY_LIMIT"), self.duckdb_most()
        if wanted and most is not None and parse_duckdb_size(wanted) > most:
            raise ValueError(
                f"DUCKDB_MEMORY_LIMIT {wanted} is more than 67 % of limits.memory {self.limits.memory} | "
                f"write at most {duckdb_share(self.limit_bytes() or 0)}, or leave it out to get that"
            )
        return self

    def limit_bytes(self) -> int | None:
        """Return the memory limit of the container; None: it has none."""
        return int(parse_quantity(self.limits.memory)) if self.limits.memory else None

    def duckdb_most(self) -> int | None:
        """Return the bytes that DuckDB may use at most; None: no limit is given."""
        limit = self.limit_bytes()
        return None if limit is None else int(DUCKDB_SHARE * limit)

    def settings(self) -> dict[str, str]:
        """Return the variables of a run of this size: `env`, and what follows from the limits."""
        derived: dict[str, str] = {}
        if (limit := self.limit_bytes()) is not None:
            derived["DUCKDB_MEMORY_LIMIT"] = duckdb_share(limit)
        if self.limits.cpu is not None:
            cores = int(parse_quantity(self.limits.cpu).to_integral_value(ROUND_FLOOR))
            derived["DUCKDB_THREADS"] = str(max(1, cores))
        return derived | self.env

    def container_resources(self) -> dict[str, Any]:
        """Return `resources` of a Kubernetes container."""
        found = {"requests": self.requests.given(), "limits": self.limits.given()}
        return {name: amounts for name, amounts in found.items() if amounts}

    def run_tags(self) -> dict[str, Any]:
        """Return the tags that give a run's pod these resources and variables, as dagster-k8s reads them."""
        container: dict[str, Any] = {}
        if resources := self.container_resources():
            container["resources"] = resources
        if variables := self.settings():
            container["env"] = [{"name": name, "value": value} for name, value in sorted(variables.items())]
        return {"dagster-k8s/config": {"container_config": container}} if container else {}
