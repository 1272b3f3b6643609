"""The project file against the repository: datasets, dbt project, and what the section `orchestration` names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from orchestration.compilation.known import Known, known_objects, read_dbt_project
from orchestration.contracts import list_datasets
from orchestration.platform_config.document import Document, Path_
from orchestration.platform_config.faults import Fault, suggest
from orchestration.platform_config.orchestration_section import (
    AssetSensor,
    BatchJob,
    CustomSensor,
    OpsJob,
    Orchestration,
    RunStatus,
)
from orchestration.platform_config.tiers import Tiers
from orchestration.settings import Settings


def faults(tiers: Tiers, settings: Settings, *, is_strict: bool = False) -> list[Fault]:
    """Return what the project file names and the repository does not have.

    Args:
        is_strict: also look for the Python modules that it names, which may execute code of their packages.
    """
    found = [*_datasets(tiers, settings), *_dbt(tiers, settings)]
    section = tiers.project.orchestration
    if section is not None:
        known = known_objects(settings)
        found += _orchestration(section, tiers.project_file, known)
        if is_strict:
            found += _modules(section, tiers.project_file)
    return found


def _datasets(tiers: Tiers, settings: Settings) -> Iterator[Fault]:
    there = list_datasets(settings.datasets_dir)
    for index, name in enumerate(tiers.project.datasets):
        if name not in there:
            what = f"there is no contract platform/datasets/{name}/dataset.yml"
            yield tiers.project_file.fault(("datasets", index), what, suggest(name, there))


def _dbt(tiers: Tiers, settings: Settings) -> Iterator[Fault]:
    project = tiers.project
    for index, transform in enumerate(project.transforms):
        folder = settings.repo_root / transform.path
        if not (folder / "dbt_project.yml").is_file():
            what = f"there is no dbt_project.yml in {transform.path}"
            yield tiers.project_file.fault(("transforms", index, "path"), what, "name the folder of the dbt project")
            continue
        found = read_dbt_project(folder)
        if found.get("profile") != project.profile_name:
            what = f"{transform.path}/dbt_project.yml asks for the profile {found.get('profile')!r}"
            yield tiers.project_file.fault(("name",), what, f"write profile: {project.profile_name} there")
        yield from _layers(tiers, transform.path, found)


def _layers(tiers: Tiers, path: str, found: Mapping[str, object]) -> Iterator[Fault]:
    """Compare the layers of both files: dbt needs them when it parses, long before a platform is chosen."""
    platform, document = tiers.platform, tiers.platform_file
    variables = found.get("vars")
    theirs = variables.get("layers") if isinstance(variables, Mapping) else None
    if platform is None or document is None or not isinstance(theirs, Mapping):
        return
    for schema, namespace in theirs.items():
        layer = platform.layers.get(str(schema))
        if layer is None:
            what = f"{path}/dbt_project.yml writes to the layer {schema}, which is not here"
            yield document.fault(("layers",), what, f"add {schema} with the namespace {namespace}")
        elif layer.namespace != namespace:
            what = f"{path}/dbt_project.yml puts the layer {schema} into {namespace}"
            yield document.fault(("layers", str(schema), "namespace"), what, "make both the same")


def _orchestration(section: Orchestration, document: Document, known: Known) -> Iterator[Fault]:
    jobs = {*section.jobs, *known.jobs}
    own = ("orchestration",)

    def job(name: str, path: Path_) -> Iterator[Fault]:
        if name not in jobs:
            yield document.fault((*own, *path), f"there is no job {name!r}", suggest(name, jobs))

    def partitions(name: str | None, path: Path_) -> Iterator[Fault]:
        if name is not None and name not in section.partitions:
            what = f"there are no partitions {name!r}"
            yield document.fault((*own, *path), what, suggest(name, section.partitions))

    for name, one in section.jobs.items():
        if isinstance(one, BatchJob):
            yield from partitions(one.partitions, ("jobs", name, "partitions"))
            for index, text in enumerate(one.selection):
                if fault := _selection(text, section, known):
                    yield document.fault((*own, "jobs", name, "selection", index), *fault)
    for pattern, rule in section.assets.items():
        yield from partitions(rule.partitions, ("assets", pattern, "partitions"))
        if not section.asset_modules and not known.matches(pattern):
            what = f"no asset matches {pattern!r}"
            yield document.fault((*own, "assets", pattern), what, suggest(pattern, known.assets))
    for name, schedule in section.schedules.items():
        yield from job(schedule.job, ("schedules", name, "job"))
    for name, sensor in section.sensors.items():
        if sensor.job is not None:
            yield from job(sensor.job, ("sensors", name, "job"))
        elif not isinstance(sensor, CustomSensor):
            yield document.fault((*own, "sensors", name), "the sensor starts no job", "add job")
        if isinstance(sensor, AssetSensor):
            for index, asset in enumerate(sensor.watched_assets):
                if not section.asset_modules and not known.matches(asset):
                    what = f"there is no asset {asset!r}"
                    path = (*own, "sensors", name, "watched_assets", index)
                    yield document.fault(path, what, suggest(asset, known.assets))
        if isinstance(sensor, RunStatus):
            for index, watched in enumerate(sensor.watched_jobs):
                yield from job(watched, ("sensors", name, "watched_jobs", index))
            if sensor.job in sensor.watched_jobs:
                what = f"the job {sensor.job} would start itself again and again"
                yield document.fault((*own, "sensors", name, "job"), what, "start another job, or watch others")
    yield from _cycles(section, document)
    for name, backfill in section.backfills.items():
        yield from job(backfill.job, ("backfills", name, "job"))


def _selection(text: str, section: Orchestration, known: Known) -> tuple[str, str] | None:
    """Return what is wrong with one item of a selection, and the remedy."""
    name = text.strip().removeprefix("+").removesuffix("+").strip()
    kind, colon, value = name.partition(":")
    if not colon:
        kind, value = "asset", name
    own_groups = {rule.group_name for rule in section.assets.values() if rule.group_name}
    if kind == "group":
        groups = known.groups | own_groups
        is_there = value in groups or bool(section.asset_modules)
        return None if is_there else (f"the selection {text!r} selects nothing", suggest(value, groups))
    if kind != "asset":
        return f"the selection {text!r} is not understood", "write group:x, asset:x, +x or x+"
    if known.matches(value) or section.asset_modules:
        return None
    return f"the selection {text!r} selects nothing", suggest(value, known.assets)


def _cycles(section: Orchestration, document: Document) -> Iterator[Fault]:
    """Find jobs that start each other in a circle by their run status."""
    starts: dict[str, set[str]] = {}
    for sensor in section.sensors.values():
        if isinstance(sensor, RunStatus) and sensor.job is not None:
            for watched in sensor.watched_jobs:
                if watched != sensor.job:
                    starts.setdefault(watched, set()).add(sensor.job)
    for first in sorted(starts):
        reached: set[str] = set()
        waiting = [first]
        while waiting:
            for following in starts.get(waiting.pop(), set()) - reached:
                reached.add(following)
                waiting.append(following)
        if first in reached:
            what = f"the jobs {', '.join(sorted({first, *reached}))} start each other in a circle"
            yield document.fault(("orchestration", "sensors"), what, "remove one of the sensors")
            return


def _modules(section: Orchestration, document: Document) -> Iterator[Fault]:
    named: list[tuple[Path_, str, bool]] = [
        (("asset_modules", index), name, False) for index, name in enumerate(section.asset_modules)
    ]
    named += [
        (("jobs", name, "target_function"), job.target_function, True)
        for name, job in section.jobs.items()
        if isinstance(job, OpsJob)
    ]
    named += [
        (("sensors", name, "target_function"), sensor.target_function, True)
        for name, sensor in section.sensors.items()
        if isinstance(sensor, CustomSensor)
    ]
    for path, name, is_function in named:
        module = name.rpartition(".")[0] if is_function else name
        if not _is_there(module):
            what = f"the module {module!r} cannot be imported"
            yield document.fault(("orchestration", *path), what, "correct its name, or install its package")


def _is_there(module: str) -> bool:
    try:
        return bool(module) and find_spec(module) is not None
    except (ImportError, ValueError):
        return False
