"""The one place that reads the process environment: merge it with files into `Settings`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestration.redaction import remember_secrets
from orchestration.settings import names
from orchestration.settings.envfile import read_env_file
from orchestration.settings.model import SECRET, Origin, Settings, checkout
from orchestration.settings.problems import Problem, SettingsError
from orchestration.settings.profiles import Profile, find_profile

EMBEDDED_PROFILES = frozenset({"local"})
"""Profiles whose services `up` starts: the endpoints that it chose count. Others name theirs in the profile."""


def load_settings(
    profile: str | None = None,
    instance: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    repo_root: Path | None = None,
) -> Settings:
    """Return the settings of this process: arguments > environment > stack.env > profile file > defaults.

    Args:
        profile: name in `platform/profiles` or path of a file; None: MILLRACE_PROFILE, else `.env`, else `local`.
        instance: None: MILLRACE_INSTANCE, else `default`.
        environ: instead of the process environment.
        repo_root: instead of the checkout that this module is in.

    Raises:
        ConfigError: every problem found, one a line.
    """
    environ = os.environ if environ is None else environ
    root = (repo_root or checkout()).absolute()
    active = find_profile(root, profile or environ.get("MILLRACE_PROFILE") or None)
    values: dict[str, Any] = {"repo_root": root, "cache_dir": _default_cache(environ)}
    sources: dict[str, str] = {}

    def take(found: Mapping[str, str], source: str, folder: Path) -> None:
        values.update(found)
        sources.update(dict.fromkeys(found, source))
        if found.get("data_path"):
            values["data_path"] = _absolute(found["data_path"], folder)

    in_file = read_env_file(active.path) if active.path else {}
    wrong, notes = _check_names(in_file, active.title)
    from_environ = _known(environ)
    take(_known(in_file), active.title, root)
    if active.name in EMBEDDED_PROFILES:
        chosen = values | from_environ | ({"instance": instance} if instance else {})
        state_dir = root / str(chosen.get("state_dir") or ".millrace")
        take(
            _known(read_env_file(state_dir / str(chosen.get("instance") or "default") / "stack.env")), "stack.env", root
        )
    take(from_environ, "environment", Path.cwd())
    if instance:
        take({"instance": instance}, "argument", root)
    values["profile"] = active.name
    sources["profile"] = (
        "argument" if profile else sources.get("profile", ".env" if active.title == ".env" else "default")
    )
    # From here on no message of this process can show them; a placeholder is no secret.
    remember_secrets(str(values[name]) for name in SECRET if name in values and not str(values[name]).startswith("<"))
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
    return settings.from_origin(
        Origin(sources, active.path.absolute() if active.path else None, (*notes, *retired), dict(environ))
    )


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


def _absolute(data_path: str, folder: Path) -> str:
    """Return a local data path as absolute: Dagster's processes run in other folders. Addresses stay as they are."""
    return data_path if "://" in data_path or data_path.startswith(("/", "<")) else str(folder / data_path)


def _default_cache(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME") or (Path(environ.get("HOME") or Path.home()) / ".cache")
    return Path(base) / "millrace"


def _known(found: Mapping[str, str]) -> dict[str, str]:
    """Return the values under known names, by field; of a first and a second name the first wins."""
    known = names.field_names(Settings.model_fields)
    result = {known[name]: value for name, value in found.items() if name in names.ALIASES}
    return result | {known[name]: value for name, value in found.items() if name in known and name not in names.ALIASES}
