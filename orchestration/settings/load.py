"""The one place that reads the process environment: merge it with files into `Settings`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from orchestration.platform_config.document import Document
from orchestration.platform_config.project import Project
from orchestration.platform_config.tiers import LOCAL, read_project, read_tiers
from orchestration.redaction import remember_secrets
from orchestration.secrets import MOUNT_ROOT, SecretPlaces
from orchestration.settings import names
from orchestration.settings.envfile import read_env_file
from orchestration.settings.from_tiers import split_variables, tier_values
from orchestration.settings.layers import Layers
from orchestration.settings.model import SECRET, Settings, checkout
from orchestration.settings.origin import Origin
from orchestration.settings.problems import Problem, SettingsError
from orchestration.settings.profiles import Profile, find_profile

EMBEDDED_PROFILES = frozenset({"local"})
"""Profiles whose services `up` starts: the endpoints that it chose count. Others name theirs in the profile."""


def load_settings(
    profile: str | None = None,
    instance: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    platform_env: str | None = None,
    repo_root: Path | None = None,
    system_root: Path = Path("/"),
) -> Settings:
    """Return the settings of this process; docs/configuration.md has the order of the sources.

    Secrets that platform.yaml names are looked up in variables and mounted files. One that is not there is no error
    yet: `Settings.with_secrets` asks the managers and refuses.

    Args:
        profile: name in `platform/profiles` or path of a file; None: MILLRACE_PROFILE, else `.env`, else `local`.
        instance: None: MILLRACE_INSTANCE, else `default`.
        environ: instead of the process environment.
        platform_env: environment of platform.yaml; None: MILLRACE_PLATFORM_ENV, else `local`.
        repo_root: instead of the checkout that this module is in.
        system_root: where `sys/fs/cgroup` is looked for.

    Raises:
        ConfigError: every problem found, one a line.
    """
    environ = os.environ if environ is None else environ
    root = (repo_root or checkout()).absolute()
    _refuse_contradictions(environ)
    active = find_profile(root, profile or environ.get("MILLRACE_PROFILE") or None)
    in_file = read_env_file(active.path) if active.path else {}
    wrong, notes = _check_names(in_file, active.title)
    layers = Layers({"repo_root": root, "cache_dir": _default_cache(environ)})
    from_file, from_environ = _known(in_file), _known(environ)
    chosen = from_file | from_environ | ({"instance": instance} if instance else {})
    instance_dir = root / str(chosen.get("state_dir") or ".millrace") / str(chosen.get("instance") or "default")

    named = platform_env or chosen.get("platform_env") or None
    given = Path(chosen["platform_file"]) if chosen.get("platform_file") else None
    is_named = bool(named or given)
    # A profile of variables describes a deployment by itself: platform.yaml then takes no part unless it is asked for.
    environment = named or (LOCAL if is_named or active.name in EMBEDDED_PROFILES else None)
    tiers = read_tiers(root, environ, environment, given, is_named=bool(named))
    found = tier_values(tiers, instance_dir)
    others = split_variables(found, names.field_names(Settings.model_fields))
    notes += _check_variables(others, found.variables_source)
    if not is_named:
        layers.take_tiers(found)
    layers.take(from_file, active.title, root)
    if is_named:
        layers.take_tiers(found)
    if environment == LOCAL if is_named else active.name in EMBEDDED_PROFILES:
        layers.take(_known(read_env_file(instance_dir / "stack.env")), "stack.env", root)
    layers.take(from_environ, "environment", Path.cwd())
    layers.pin(found)
    if instance:
        layers.take({"instance": instance}, "argument", root)
    if platform_env:
        layers.take({"platform_env": platform_env}, "argument", root)
    layers.limit_memory(system_root)
    values, sources = layers.values, layers.sources
    values["profile"] = named if named and named != LOCAL else active.name
    sources["profile"] = (
        "argument" if profile else sources.get("profile", ".env" if active.title == ".env" else "default")
    )
    places = SecretPlaces(environ, Path(values.get("secrets_dir") or MOUNT_ROOT), managers={})
    values["pending"] = layers.look_up(places)
    # From here on no message of this process can show them; a placeholder is no secret.
    given_secrets = [values[name] for name in SECRET if isinstance(values.get(name), str)]
    remember_secrets(secret for secret in given_secrets if not secret.startswith("<"))
    try:
        settings = Settings(**values)
    except SettingsError as error:
        raise error.with_sources(sources, wrong) from None
    if wrong:
        raise SettingsError(wrong, settings.redacted_dump(), sources)
    sources.setdefault("cache_dir", "default")
    sources.setdefault("repo_root", "default")
    retired = [
        f"{name} in the environment is ignored; {names.RETIRED[name]}" for name in names.RETIRED if name in environ
    ]
    path = active.path.absolute() if active.path else None
    every = (*notes, *tiers.warnings(), *retired)
    return settings.from_origin(Origin(sources, path, every, dict(environ), layers.references, layers.trail))


def load_project(
    environ: Mapping[str, str] | None = None, *, repo_root: Path | None = None
) -> tuple[Project, Document]:
    """Return the project file and its lines; variables in it are taken from the environment.

    Raises:
        TierError: every fault found, each with its line.
    """
    return read_project(repo_root or checkout(), os.environ if environ is None else environ)


def active_profile(repo_root: Path, environ: Mapping[str, str] | None = None) -> Profile:
    """Return the profile that `load_settings` takes without arguments."""
    environ = os.environ if environ is None else environ
    return find_profile(repo_root, environ.get("MILLRACE_PROFILE") or None)


def _check_names(found: Mapping[str, str], title: str) -> tuple[list[Problem], list[str]]:
    """Return problems and notes about names in a profile file that are not settings.

    A near miss is refused, since it is surely a misspelled setting; others are noted, as `.env` may also serve other
    tools (such as COMPOSE_PROJECT_NAME for docker compose).
    """
    known = names.field_names(Settings.model_fields)
    wrong: list[Problem] = []
    notes: list[str] = []
    for name in found:
        if name in known:
            continue
        meant = names.closest(name.upper(), known, 0.85)
        if name in names.RETIRED:
            wrong.append(Problem((name,), f"{name} in {title} is no setting any more", names.RETIRED[name]))
        elif meant:
            wrong.append(Problem((name,), f"{name} in {title} is not a setting", f"did you mean {meant}?"))
        else:
            notes.append(f"{name} in {title} is not a setting of millrace and is ignored")
    return wrong, notes


def _check_variables(others: Mapping[str, str], source: str) -> list[str]:
    """Return notes on variables of the resource profile that are not settings; a near miss is refused.

    Raises:
        ConfigError: names each that is surely a misspelled setting.
    """
    wrong, notes = _check_names(others, source)
    if wrong:
        raise SettingsError(wrong)
    return [note.replace("is ignored", "reaches only the pods of runs") for note in notes]


def _refuse_contradictions(environ: Mapping[str, str]) -> None:
    """Refuse two names of one thing with two values.

    Raises:
        ConfigError: names both.
    """
    wrong = [
        Problem((second,), f"{first} and {second} differ", "they mean the same; set one of them")
        for first, second in names.SAME
        if environ.get(first) and environ.get(second) and environ[first] != environ[second]
    ]
    if wrong:
        raise SettingsError(wrong)


def _default_cache(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME") or (Path(environ.get("HOME") or Path.home()) / ".cache")
    return Path(base) / "millrace"


def _known(found: Mapping[str, str]) -> dict[str, str]:
    """Return the values under known names, by field; of a first and a second name the first wins."""
    known = names.field_names(Settings.model_fields)
    result = {known[name]: value for name, value in found.items() if name in names.ALIASES}
    return result | {known[name]: value for name, value in found.items() if name in known and name not in names.ALIASES}
