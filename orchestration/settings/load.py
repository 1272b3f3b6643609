"""The one place that reads the process environment: merge it with files into `Settings`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.errors import ConfigError
from orchestration.settings import names
from orchestration.settings.envfile import read_env_file
from orchestration.settings.model import Settings

EMBEDDED_PROFILES = frozenset({"local"})
"""Profiles whose services `up` starts: the endpoints that it chose count. Others name theirs in the profile."""
_TITLE = re.compile(r"#\s*([A-Za-z][\w-]*):")


@dataclass(frozen=True)
class Profile:
    """The active profile: its name and its file (None: defaults only)."""

    name: str
    path: Path | None


def profiles_dir(repo_root: Path) -> Path:
    """Return the folder of the committed profiles."""
    return repo_root / "platform" / "profiles"


def find_profile(repo_root: Path, wanted: str | None = None) -> Profile:
    """Return the profile that is `wanted` (a name or a path), else `.env`, else `local`.

    Raises:
        ConfigError: there is no such profile.
    """
    folder, active = profiles_dir(repo_root), repo_root / ".env"
    if wanted and ("/" in wanted or wanted.endswith(".env")):
        path = Path(wanted).expanduser()
        if not path.is_file():
            raise ConfigError(
                f"profile file {wanted} does not exist", hint="`millrace config profiles` lists the committed ones"
            )
        return Profile(path.name.removesuffix(".env") or "custom", path)
    if wanted:
        path = folder / f"{wanted}.env"
        if path.is_file():
            return Profile(wanted, path)
        if wanted == "local":
            return Profile("local", None)
        known = sorted(file.stem for file in folder.glob("*.env"))
        meant = names.closest(wanted, known, 0.6)
        raise ConfigError(
            f"there is no profile {wanted!r} in platform/profiles",
            hint=f"did you mean {meant}?" if meant else f"there are: {', '.join(known) or 'none'}",
        )
    if active.is_file():
        return Profile(profile_title(active) or "custom", active)
    path = folder / "local.env"
    return Profile("local", path if path.is_file() else None)


def profile_title(path: Path) -> str | None:
    """Return the profile name that the first line of a file states (`# aws: ...`), or None."""
    with path.open(encoding="utf-8", errors="replace") as file:
        match = _TITLE.match(file.readline())
    return match[1] if match else None


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
    root = repo_root or Path(Settings.model_fields["repo_root"].get_default(call_default_factory=True))
    active = find_profile(root, profile or environ.get("MILLRACE_PROFILE") or None)

    values: dict[str, Any] = {"repo_root": root}
    sources: dict[str, str] = {}

    def take(found: Mapping[str, Any], source: str) -> None:
        values.update(found)
        sources.update(dict.fromkeys(found, source))

    take({"cache_dir": _default_cache(environ)}, "default")
    in_file = read_env_file(active.path) if active.path else {}
    take(_known(in_file), "profile")
    from_environ = _known(environ)
    arguments = {"profile": active.name} | ({"instance": instance} if instance else {})
    if active.name in EMBEDDED_PROFILES:
        where = values | from_environ | arguments
        state_dir = Path(where.get("state_dir") or root / ".millrace")
        take(_known(read_env_file(state_dir / str(where.get("instance") or "default") / "stack.env")), "stack.env")
    take(from_environ, "environment")
    take(arguments, "argument")
    settings = Settings(**values)
    settings._sources = sources  # pyright: ignore[reportPrivateUsage]
    return settings


def _default_cache(environ: Mapping[str, str]) -> Path:
    home = environ.get("XDG_CACHE_HOME") or (
        Path(environ["HOME"]) / ".cache" if environ.get("HOME") else Path.home() / ".cache"
    )
    return Path(home) / "millrace"


def _known(found: Mapping[str, str]) -> dict[str, str]:
    """Return the values under known names, by field; of a first and a second name the first wins."""
    known = names.field_names(Settings.model_fields)
    result = {known[name]: value for name, value in found.items() if name in names.ALIASES}
    return result | {known[name]: value for name, value in found.items() if name in known and name not in names.ALIASES}
