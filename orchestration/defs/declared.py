"""Dagster objects from the section `orchestration` of millrace.yaml. Each names its file and line in its metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from orchestration.defs.declared_names import JobLike, function_of, imported, job_of, matches
from orchestration.defs.declared_sensors import build_declared_sensor
from orchestration.defs.failure import say_why
from orchestration.platform_config.document import Document
from orchestration.platform_config.orchestration_section import (
    AssetRule,
    BatchJob,
    Dynamic,
    Job,
    Multi,
    OpsJob,
    Orchestration,
    Partitions,
    Schedule,
    Static,
    TimeWindow,
)

ORIGIN = "millrace/origin"
"""Metadata key: file and line of the entry that made an object."""

Assets = Sequence[dg.AssetsDefinition | dg.AssetSpec]


@dataclass(frozen=True)
class Declared:
    """What the section makes.

    Attributes:
        assets: the given ones with the section's rules, and those of its modules.
        partitions: by name; assets and jobs use them.
    """

    assets: Assets
    jobs: tuple[JobLike, ...] = ()
    schedules: tuple[dg.ScheduleDefinition, ...] = ()
    sensors: tuple[dg.SensorDefinition, ...] = ()
    partitions: Mapping[str, dg.PartitionsDefinition[Any]] | None = None


def build_declared(
    section: Orchestration | None, document: Document, assets: Assets, jobs: Sequence[JobLike]
) -> Declared:
    """Return what the section makes beside the code location's own assets and jobs.

    Args:
        document: the file, for the origin of each object.

    Raises:
        ConfigError: a module, function or job that is named is not there; `millrace compile` says the line.
    """
    if section is None:
        return Declared(assets)
    partitions = {name: _partitions(name, one) for name, one in section.partitions.items()}
    every = [*assets, *_assets_of(section.asset_modules)]
    keys = [key for one in every for key in ([one.key] if isinstance(one, dg.AssetSpec) else one.keys)]
    made = {name: _job(name, one, document, keys) for name, one in section.jobs.items()}
    known = {job.name: job for job in jobs} | made
    return Declared(
        assets=_with_rules(every, section.assets, partitions),
        jobs=tuple(made.values()),
        schedules=tuple(
            _schedule(name, one, document, known, _partitions_of(section.jobs.get(one.job), partitions))
            for name, one in section.schedules.items()
        ),
        sensors=tuple(
            build_declared_sensor(name, one, origin_of(document, "sensors", name), known, keys)
            for name, one in section.sensors.items()
        ),
        partitions=partitions,
    )


def origin_of(document: Document, kind: str, name: str) -> dict[str, str]:
    """Return the metadata that names file and line of an entry."""
    return {ORIGIN: document.where(("orchestration", kind, name))}


def _assets_of(modules: Iterable[str]) -> list[dg.AssetsDefinition]:
    loaded = [imported(name) for name in modules]
    found = dg.load_assets_from_modules(loaded) if loaded else []
    return [one for one in found if isinstance(one, dg.AssetsDefinition)]


def _partitions(name: str, given: Partitions) -> dg.PartitionsDefinition[Any]:
    match given:
        case TimeWindow():
            return dg.TimeWindowPartitionsDefinition(
                start=given.start,
                end=given.end,
                fmt=given.fmt or "%Y-%m-%d",
                cron_schedule=given.cron_schedule,
                timezone=given.timezone,
            )
        case Static():
            return dg.StaticPartitionsDefinition(given.keys)
        case Dynamic():
            return dg.DynamicPartitionsDefinition(name=name)
        case Multi():
            return dg.MultiPartitionsDefinition({key: _partitions(key, one) for key, one in given.partitions.items()})


def _with_rules(
    assets: Assets, rules: Mapping[str, AssetRule], partitions: Mapping[str, dg.PartitionsDefinition[Any]]
) -> Assets:
    def change(spec: dg.AssetSpec) -> dg.AssetSpec:
        for pattern, rule in rules.items():
            if matches(spec.key, pattern):
                changes: dict[str, Any] = {}
                if rule.group_name:
                    changes["group_name"] = rule.group_name
                if rule.compute_kind:
                    changes["kinds"] = {*spec.kinds, rule.compute_kind}
                if rule.partitions:
                    changes["partitions_def"] = partitions[rule.partitions]
                if rule.automation_condition:
                    changes["automation_condition"] = _condition(rule)
                spec = spec.replace_attributes(**changes)
        return spec

    return dg.map_asset_specs(change, assets) if rules else assets


def _condition(rule: AssetRule) -> dg.AutomationCondition[Any]:
    if rule.automation_condition == "on_cron":
        return dg.AutomationCondition.on_cron(rule.cron_schedule or "")
    return (
        dg.AutomationCondition.eager() if rule.automation_condition == "eager" else dg.AutomationCondition.on_missing()
    )


def _job(
    name: str,
    given: Job,
    document: Document,
    keys: Sequence[dg.AssetKey],
) -> JobLike:
    metadata = origin_of(document, "jobs", name)
    if isinstance(given, OpsJob):
        return _ops_job(name, given, metadata)
    return dg.define_asset_job(
        name,
        selection=_selection(given, keys),
        description=given.description,
        tags=given.tags,
        metadata=metadata,
        executor_def=dg.in_process_executor,
        hooks={say_why},
    )


def _ops_job(name: str, given: OpsJob, metadata: Mapping[str, str]) -> dg.JobDefinition:
    target, arguments = given.target_function, dict(given.args)

    @dg.op(name=f"{name}_op", description=f"Calls {target}")
    def call() -> None:
        function_of(target)(**arguments)

    @dg.job(name=name, description=given.description, tags=given.tags, metadata=metadata, hooks={say_why})
    def job() -> None:
        call()

    return job


def _partitions_of(
    job: Job | None, partitions: Mapping[str, dg.PartitionsDefinition[Any]]
) -> dg.PartitionsDefinition[Any] | None:
    return partitions[job.partitions] if isinstance(job, BatchJob) and job.partitions else None


def _selection(given: BatchJob, keys: Sequence[dg.AssetKey]) -> dg.AssetSelection:
    found: dg.AssetSelection | None = None
    for text in given.selection:
        one = _selected(text.strip(), keys)
        found = one if found is None else found | one
    return found or dg.AssetSelection.assets()


def _selected(text: str, keys: Sequence[dg.AssetKey]) -> dg.AssetSelection:
    name = text.removeprefix("+").removesuffix("+").strip()
    kind, colon, value = name.partition(":")
    if colon and kind == "group":
        one: dg.AssetSelection = dg.AssetSelection.groups(value)
    else:
        pattern = value if colon else name
        one = dg.AssetSelection.assets(*(key for key in keys if matches(key, pattern)))
    one = one.upstream() if text.startswith("+") else one
    return one.downstream() if text.endswith("+") else one


def _schedule(
    name: str,
    given: Schedule,
    document: Document,
    jobs: Mapping[str, JobLike],
    partitions: dg.PartitionsDefinition[Any] | None,
) -> dg.ScheduleDefinition:
    common: dict[str, Any] = {
        "name": name,
        "job": job_of(given.job, jobs),
        "cron_schedule": given.cron_schedule,
        "execution_timezone": given.timezone,
        "default_status": dg.DefaultScheduleStatus.RUNNING if given.enabled else dg.DefaultScheduleStatus.STOPPED,
        "metadata": origin_of(document, "schedules", name),
    }
    if partitions is None or given.partition_selector == "custom":
        return dg.ScheduleDefinition(**common)

    def runs(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        store = context.instance if isinstance(partitions, dg.DynamicPartitionsDefinition) else None
        found = partitions.get_partition_keys(context.scheduled_execution_time, dynamic_partitions_store=store)
        wanted = found[-1:] if given.partition_selector == "latest" else found
        moment = context.scheduled_execution_time.isoformat()
        yield from (dg.RunRequest(run_key=f"{moment}:{key}", partition_key=key) for key in wanted)
        if not wanted:
            yield dg.SkipReason("no partition yet")

    return dg.ScheduleDefinition(**common, execution_fn=runs)
