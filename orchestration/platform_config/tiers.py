"""Both tiers of one environment: finding, reading and checking them against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from orchestration.errors import ConfigError
from orchestration.platform_config.document import Document, parse_document, read_text
from orchestration.platform_config.faults import Fault, TierError, suggest
from orchestration.platform_config.platform import Platform
from orchestration.platform_config.project import NO_VERSION, Project
from orchestration.platform_config.quantities import parse_duckdb_size
from orchestration.platform_config.scan import scan_text, scan_values
from orchestration.platform_config.stores import Catalog
from orchestration.platform_config.variables import with_variables

LOCAL = "local"
"""The environment of the embedded stack; it is meant when none is named."""

PROJECT_FILES = ("millrace.yaml", "floe.yaml")
_NO_PROJECT = Document("millrace.yaml", {}, {}, "")


@dataclass(frozen=True)
class Tiers:
    """What both files say about one environment.

    Attributes:
        project_file: as it was read; its title is empty of lines if there is none.
        platform: of the environment; None: no platform file takes part.
        platform_file: with the environment's part laid over it.
    """

    environment: str
    project: Project
    project_file: Document
    platform: Platform | None = None
    platform_file: Document | None = None

    @property
    def inputs(self) -> dict[str, str]:
        """The files and their SHA-256."""
        files = (self.project_file, self.platform_file)
        return {file.title: file.sha256 for file in files if file is not None and file.sha256}

    def warnings(self) -> list[str]:
        """Return what is allowed but probably not meant."""
        found: list[str] = []
        if self.project_file.sha256 and self.project.version == NO_VERSION:
            found.append(f"{self.project_file.title} has no version: {NO_VERSION} is taken")
        catalog = self.catalog
        if catalog is not None and catalog.credential_style == "inline":
            found.append("credential_style inline: every model can read the credentials in duckdb_databases()")
        return found

    @property
    def catalog(self) -> Catalog | None:
        """The catalog that the project names."""
        return self.platform.catalogs.get(self.project.catalog) if self.platform else None


def project_path(root: Path) -> Path | None:
    """Return the project file; None: there is none.

    Raises:
        TierError: there are two.
    """
    found = [root / name for name in PROJECT_FILES if (root / name).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise TierError([Fault(found[0].name, "", f"{names} are both there", "keep one: they say the same thing")])
    return found[0] if found else None


def read_project(root: Path, environ: Mapping[str, str]) -> tuple[Project, Document]:
    """Return the project file; without one a project of the name `millrace`.

    Raises:
        TierError: every fault found, each with its line.
    """
    path = project_path(root)
    if path is None:
        return Project(name="millrace"), _NO_PROJECT
    text = read_text(path, path.name)
    if faults := scan_text(text, path.name):
        raise TierError(faults)
    document = parse_document(text, path.name)
    if faults := scan_values(document):
        raise TierError(faults)
    return document.validated(Project, with_variables(document, "orchestration", environ)), document


def platform_path(root: Path, environment: str, given: Path | None = None) -> Path | None:
    """Return the platform file: the one `given`, `platform/<environment>/platform.yaml`, or `platform/platform.yaml`.

    None: there is none.
    """
    if given is not None:
        return given if given.is_absolute() else root / given
    own = root / "platform" / environment / "platform.yaml"
    shared = root / "platform" / "platform.yaml"
    return next((path for path in (own, shared) if path.is_file()), None)


def environments(root: Path, given: Path | None = None) -> list[str]:
    """Return the names of the environments that can be chosen.

    Raises:
        TierError: the platform file is not YAML.
    """
    path = platform_path(root, "", given)
    inside = {} if path is None else _overlays(parse_document(read_text(path, _title(path, root)), _title(path, root)))
    folders = [] if given else [file.parent.name for file in (root / "platform").glob("*/platform.yaml")]
    return sorted({*inside, *folders})


def read_tiers(
    root: Path, environ: Mapping[str, str], environment: str | None, given: Path | None = None, *, is_named: bool = True
) -> Tiers:
    """Return both tiers of an environment, checked against each other.

    Args:
        environ: for `${VAR}` in the project file.
        environment: None: the platform file takes no part.
        given: the platform file that a variable names; None: looked for in `platform/`.
        is_named: somebody asked for this environment; else it may be missing.

    Raises:
        TierError: every fault found, each with its line.
        ConfigError: the file that was asked for does not exist.
    """
    faults: list[Fault] = []
    project, document = Project(name="millrace"), _NO_PROJECT
    found: tuple[Platform, Document] | None = None
    try:
        project, document = read_project(root, environ)
    except TierError as error:
        faults += error.faults
    if environment is not None:
        try:
            found = read_platform(root, environment, given, is_named=is_named)
        except TierError as error:
            faults += error.faults
    if faults:
        raise TierError(faults)
    tiers = Tiers(environment or LOCAL, project, document, *(found or (None, None)))
    check_together(tiers)
    return tiers


def read_platform(
    root: Path, environment: str, given: Path | None, *, is_named: bool
) -> tuple[Platform, Document] | None:
    """Return the platform of an environment, and the file with the environment's part laid over it.

    Args:
        environment: its name.
        given: the file that a variable names; None: looked for in `platform/`.
        is_named: somebody asked for this environment; else it may be missing.

    Raises:
        TierError: every fault found, each with its line; the environment is not there, or there twice.
        ConfigError: the file that was asked for does not exist.
    """
    path = platform_path(root, environment, given)
    if path is None:
        if is_named:
            raise ConfigError(
                f"environment {environment}: neither platform/platform.yaml nor platform/{environment}/platform.yaml "
                "exists",
                hint="docs/platform.md shows a small one; MILLRACE_PLATFORM_FILE names another file",
            )
        return None
    title = _title(path, root)
    document = parse_document(read_text(path, title), title)
    known = _overlays(document)
    if given is None and path.parent.name == environment:
        _refuse_two(root, environment, title)
    if environment in known:
        merged = document.overlaid(("environments", environment))
    elif known and is_named:
        remedy = suggest(environment, environments(root, given))
        raise TierError([document.fault(("environments",), f"there is no environment {environment!r}", remedy)])
    else:
        data = {name: value for name, value in document.data.items() if name != "environments"}
        merged = Document(title, data, document.lines, document.sha256)
    return merged.validated(Platform), merged


def _overlays(document: Document) -> Mapping[str, Any]:
    """Return what each environment lays over the file."""
    found = document.data.get("environments") or {}
    is_shaped = isinstance(found, Mapping) and all(isinstance(one, Mapping | None) for one in found.values())
    if not is_shaped:
        what = "an environment is not a mapping"
        raise TierError([document.fault(("environments",), what, "write each name with the keys that differ below it")])
    return cast("Mapping[str, Any]", found)


def _refuse_two(root: Path, environment: str, title: str) -> None:
    shared = root / "platform" / "platform.yaml"
    if not shared.is_file():
        return
    document = parse_document(read_text(shared, _title(shared, root)), _title(shared, root))
    if environment in _overlays(document):
        what = f"the environment {environment} is also described in {title}"
        raise TierError([document.fault(("environments", environment), what, "keep one of the two")])


def _title(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def check_together(tiers: Tiers) -> None:
    """Refuse tiers that do not fit each other.

    Raises:
        TierError: every fault found, each with its line.
    """
    if faults := list(_faults(tiers)):
        raise TierError(faults)


def _faults(tiers: Tiers) -> Iterator[Fault]:
    platform, document = tiers.platform, tiers.platform_file
    if platform is None or document is None:
        return
    project, title = tiers.project, document.title
    chosen = (
        ("catalog", project.catalog, platform.catalogs),
        ("storage", project.storage, platform.storage),
        ("compute", project.compute, platform.compute),
        ("resource_profile", project.resource_profile, platform.infrastructure.resource_profiles),
    )
    for key, name, profiles in chosen:
        if name is not None and name not in profiles:
            what = f"{title} has no {key} {name!r} in the environment {tiers.environment}"
            yield tiers.project_file.fault((key,), what, suggest(name, profiles))
    for name, layer in platform.layers.items():
        if layer.catalog_ref not in platform.catalogs:
            what = f"the layer {name} names the catalog {layer.catalog_ref!r}, which is not in this file"
            yield document.fault(("layers", name, "catalog_ref"), what, suggest(layer.catalog_ref, platform.catalogs))
        if layer.storage_ref is not None and layer.storage_ref not in platform.storage:
            what = f"the layer {name} names the storage {layer.storage_ref!r}, which is not in this file"
            yield document.fault(("layers", name, "storage_ref"), what, suggest(layer.storage_ref, platform.storage))
    yield from _catalog_faults(tiers, platform, document)
    yield from _memory_faults(tiers, platform, document)


def _catalog_faults(tiers: Tiers, platform: Platform, document: Document) -> Iterator[Fault]:
    for name, catalog in platform.catalogs.items():
        if catalog.type == "polaris" and not catalog.credentials.scope and tiers.environment != LOCAL:
            what = "a polaris catalog outside the environment local needs a scope"
            remedy = "name the principal role, such as PRINCIPAL_ROLE:service_admin"
            yield document.fault(("catalogs", name, "credentials", "scope"), what, remedy)
    catalog, storage = tiers.catalog, platform.storage.get(tiers.project.storage)
    if catalog and storage and storage.type == "local" and catalog.access_delegation != "none":
        what = "nobody can hand out credentials for a local folder"
        path = ("catalogs", tiers.project.catalog, "access_delegation")
        yield document.fault(path, what, "set access_delegation to none")


def _memory_faults(tiers: Tiers, platform: Platform, document: Document) -> Iterator[Fault]:
    compute = platform.compute.get(tiers.project.compute)
    wanted = compute.properties.memory_limit if compute else None
    profile = platform.infrastructure.resource_profiles.get(tiers.project.resource_profile or "")
    most = profile.duckdb_most() if profile else None
    if profile and wanted and most is not None and parse_duckdb_size(wanted) > most:
        what = f"memory_limit {wanted} is more than 67 % of the {profile.limits.memory} that {_name(tiers)} allows"
        path = ("compute", tiers.project.compute, "properties", "memory_limit")
        yield document.fault(path, what, "lower it, or leave it out to get the right one")


def _name(tiers: Tiers) -> str:
    return f"the resource profile {tiers.project.resource_profile}"
