"""Profiles: committed templates in `platform/profiles`, and `.env`, the copy that is active."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.errors import ConfigError
from orchestration.settings import names
from orchestration.settings.envfile import read_env_file

_DEFAULT_AXES = {"broker": "kafka", "catalog": "rest", "storage": "file", "mode": "batch"}
"""Defaults of the settings (`model.py`, which this module cannot import), for profiles that leave one open."""

_TITLE = re.compile(r"#\s*([A-Za-z][\w-]*):")


@dataclass(frozen=True)
class Profile:
    """The active profile: its name and its file (None: defaults only)."""

    name: str
    path: Path | None

    @property
    def title(self) -> str:
        """How messages name the file."""
        return self.path.name if self.path else "defaults"


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
        return Profile(profile_title(path) or path.name.removesuffix(".env") or "custom", path)
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


@dataclass(frozen=True)
class ProfileInfo:
    """A committed profile as `config profiles` shows it."""

    name: str
    description: str
    axes: Mapping[str, str] = field(default_factory=dict[str, str])
    is_active: bool = False


def list_profiles(repo_root: Path, active: str) -> list[ProfileInfo]:
    """Return the committed profiles by name; `active` is the name of the active one."""
    found: list[ProfileInfo] = []
    for path in sorted(profiles_dir(repo_root).glob("*.env")):
        values = read_env_file(path)
        axes = {axis: values.get(names.env_name(axis), default) for axis, default in _DEFAULT_AXES.items()}
        found.append(ProfileInfo(path.stem, _description(path), axes, path.stem == active))
    return found


def use_profile(repo_root: Path, name: str) -> Path | None:
    """Copy a committed profile to `.env`, in one step; return the backup of an edited `.env`, or None.

    A `.env` that is no untouched copy may hold keys that are nowhere else: it is kept as `.env.bak`.

    Raises:
        ConfigError: there is no such profile, or the folder cannot be written.
    """
    source = find_profile(repo_root, name if (profiles_dir(repo_root) / f"{name}.env").is_file() else _plain(name)).path
    if source is None:
        raise ConfigError(
            f"there is no file platform/profiles/{name}.env", hint="`millrace config profiles` lists them"
        )
    text = source.read_text(encoding="utf-8")
    if profile_title(source) != name:
        text = f"# {name}: copied from platform/profiles/{name}.env\n{text}"
    target, backup = repo_root / ".env", None
    try:
        if target.exists() and _is_edited(repo_root, target):
            backup = repo_root / ".env.bak"
            target.replace(backup)
        _write_private(target, text)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from None
    return backup


def _plain(name: str) -> str:
    # A path would be taken for a file outside platform/profiles.
    return name.replace("/", "_").removesuffix(".env")


def _is_edited(repo_root: Path, target: Path) -> bool:
    text = target.read_bytes()
    return all(path.read_bytes() != text for path in profiles_dir(repo_root).glob("*.env"))


def _write_private(target: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only: keys will be written into it."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".env.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _description(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline().strip()
    return _TITLE.sub("", first).lstrip("# ") if first.startswith("#") else ""
