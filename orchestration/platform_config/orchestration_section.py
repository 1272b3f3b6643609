"""Tier 1, section `orchestration`: assets, jobs, schedules, sensors, partitions and backfills as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator, model_validator

from orchestration.platform_config.base import Name, Strict

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_CRON = re.compile(r"[\d*,/\-A-Za-z#?L]+")
_CRON_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_CRON_NAMES = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
_WORDS = re.compile(r"[A-Za-z]{3}")


def _be_cron(value: str) -> str:
    remedy = "five fields: minute hour day month weekday, such as '0 6 * * *'"
    if value in _CRON_NAMES:
        return value
    fields = value.split()
    if len(fields) != 5 or not all(_CRON.fullmatch(field) for field in fields):
        raise ValueError(f"{value!r} is no cron schedule | write {remedy}")
    for field, (least, most) in zip(fields, _CRON_LIMITS, strict=True):
        for number in re.findall(r"(?<!/)\b\d+", field):
            if not least <= int(number) <= most:
                raise ValueError(
                    f"{value!r} is no cron schedule, {number} is not in {least} to {most} | write {remedy}"
                )
        if re.search(r"/0\b|/$|,,|^,|,$|^-|-$", field):
            raise ValueError(f"{value!r} is no cron schedule, {field} is not a field | write {remedy}")
    if any(_WORDS.search(field) for field in fields[:3]):
        raise ValueError(f"{value!r} is no cron schedule | write {remedy}")
    return value


def _be_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone | write such as UTC or Europe/Berlin") from None
    return value


def _be_module(value: str) -> str:
    if not _MODULE.fullmatch(value):
        raise ValueError(f"{value!r} is no import path | write such as my_project.assets")
    return value


def _be_day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError(f"{value!r} is no date | write YYYY-MM-DD") from None


Cron = Annotated[str, AfterValidator(_be_cron)]
Timezone = Annotated[str, AfterValidator(_be_timezone)]
ImportPath = Annotated[str, AfterValidator(_be_module)]
Day = Annotated[str, AfterValidator(_be_day)]


class DbtProject(Strict):
    """The dbt project whose models become assets."""

    manifest_path: str
    observability_level: Literal["per_model", "job_level"] = "per_model"
    project_dir: str | None = Field(default=None, description="none: from the manifest's place")
    profiles_dir: str | None = None
    target: Name | None = None


class TimeWindow(Strict):
    """Partitions by time."""

    type: Literal["time_window"]
    start: Day
    cron_schedule: Cron
    timezone: Timezone = "UTC"
    end: Day | None = None
    fmt: str | None = Field(default=None, description="of the keys; none: Dagster's")


class Static(Strict):
    """Partitions by a list of keys."""

    type: Literal["static"]
    keys: list[str] = Field(min_length=1)

    @field_validator("keys")
    @classmethod
    def _be_unique(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError("a partition key stands there twice | keep each once")
        return value


class Dynamic(Strict):
    """Partitions that are added while it runs."""

    type: Literal["dynamic"]
    fn: str | None = Field(default=None, description="import path of a function that returns keys")


class Multi(Strict):
    """Partitions by two dimensions."""

    type: Literal["multi"]
    partitions: dict[Name, Annotated[TimeWindow | Static, Field(discriminator="type")]] = Field(
        min_length=2, max_length=2
    )


Partitions = Annotated[TimeWindow | Static | Dynamic | Multi, Field(discriminator="type")]


class AssetRule(Strict):
    """What holds for the assets that a glob matches."""

    partitions: Name | None = None
    automation_condition: Literal["eager", "on_cron", "on_missing"] | None = None
    cron_schedule: Cron | None = Field(default=None, description="of on_cron")
    backfill_policy: Literal["single_run", "multi_run"] | None = None
    compute_kind: str | None = None
    group_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]+$")

    @model_validator(mode="after")
    def _hold_together(self) -> AssetRule:
        if (self.automation_condition == "on_cron") != (self.cron_schedule is not None):
            raise ValueError("automation_condition on_cron and cron_schedule go together | give both, or neither")
        return self


class BatchJob(Strict):
    """A job over assets."""

    type: Literal["batch"] = "batch"
    selection: list[str] = Field(description="group:x, asset:x, +x (with what x needs), x+ (with what needs x)")
    description: str | None = Field(default=None, max_length=500)
    tags: dict[str, str] = Field(default={})
    partitions: Name | None = None

    @field_validator("selection")
    @classmethod
    def _select_something(cls, value: list[str]) -> list[str]:
        if not [one for one in value if one.strip()]:
            raise ValueError("the selection is empty | name at least one group or asset, such as group:gold")
        return value


class OpsJob(Strict):
    """A job that calls a Python function."""

    type: Literal["ops"]
    target_function: ImportPath
    args: dict[str, Any] = Field(default={})
    description: str | None = Field(default=None, max_length=500)
    tags: dict[str, str] = Field(default={})


Job = Annotated[BatchJob | OpsJob, Field(discriminator="type")]


class Schedule(Strict):
    """When a job runs."""

    job: Name
    cron_schedule: Cron
    timezone: Timezone = "UTC"
    enabled: bool = True
    partition_selector: Literal["latest", "all", "custom"] = "latest"


class _Sensor(Strict):
    job: Name | None = Field(default=None, description="what it starts")
    poll_interval_seconds: int = Field(default=30, ge=5)
    enabled: bool = True


class FileWatcher(_Sensor):
    """Starts a job for new files in a local folder."""

    type: Literal["file_watcher"]
    path: str
    pattern: str = "*"

    @field_validator("path")
    @classmethod
    def _be_local(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("a file watcher looks at local folders only | write a path without scheme")
        return value


class AssetSensor(_Sensor):
    """Starts a job when assets were materialized."""

    type: Literal["asset_sensor"]
    watched_assets: list[str] = Field(min_length=1)


class RunStatus(_Sensor):
    """Starts a job when runs of others reach a status."""

    type: Literal["run_status"]
    watched_jobs: list[Name] = Field(min_length=1)
    status: Literal["SUCCESS", "FAILURE", "STARTED"]


class CustomSensor(_Sensor):
    """Calls a Python function."""

    type: Literal["custom"]
    target_function: ImportPath
    args: dict[str, Any] = Field(default={})


Sensor = Annotated[FileWatcher | AssetSensor | RunStatus | CustomSensor, Field(discriminator="type")]


class PartitionRange(Strict):
    """First and last partition key."""

    start: str
    end: str


class Backfill(Strict):
    """Partitions of a job to be run again."""

    job: Name
    partition_range: PartitionRange
    batch_size: int = Field(default=10, ge=1)


class Orchestration(Strict):
    """What runs when."""

    asset_modules: list[ImportPath] = Field(default=[])
    dbt: DbtProject | None = None
    partitions: dict[Name, Partitions] = Field(default={})
    assets: dict[str, AssetRule] = Field(default={}, description="by glob over asset keys such as gold/*")
    jobs: dict[Name, Job] = Field(default={})
    schedules: dict[Name, Schedule] = Field(default={})
    sensors: dict[Name, Sensor] = Field(default={})
    backfills: dict[Name, Backfill] = Field(default={})

    @field_validator("jobs", mode="before")
    @classmethod
    def _be_batch_by_default(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            name: {"type": "batch", **job} if isinstance(job, Mapping) and "type" not in job else job
            for name, job in value.items()
        }
