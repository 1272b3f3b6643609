"""The manifest that Dagster reads: parsed ahead, only when the project's files changed, with no service running."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

from orchestration.dbt_plugin.environment import dbt_dir, process_environment
from orchestration.errors import ConfigError
from orchestration.locking import hold
from orchestration.redaction import redact
from orchestration.settings import Settings

_OUTPUT = frozenset({"target", "logs", "dbt_packages"})
PARSE_CACHE = "partial_parse.msgpack"
_STAMP = "manifest.stamp.json"
_PARSE_TIMEOUT_S = 120


def source_hash(project: Path, target: str = "") -> str:
    """Return a hash of all files of a dbt project (paths and bytes), its place, the versions that parse it, a target.

    The place counts because a manifest holds absolute paths: after a move dbt would look for files that are gone.
    """
    digest = hashlib.sha256()
    for part in (str(project.resolve()), version("dbt-core"), version("dbt-duckdb"), target):
        digest.update(f"{part}\0".encode())
    for path in sorted(project.rglob("*")):
        name = path.relative_to(project)
        if name.parts[0] in _OUTPUT or name.parts[0].startswith(".") or not path.is_file():
            continue
        content = path.read_bytes()
        digest.update(f"{name.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def ensure_manifest(settings: Settings) -> Path:
    """Return the manifest of the settings' target, `dbt/target/<target>/manifest.json`, parsed anew if it is stale.

    Needs no service and no network. Parallel callers wait for one parse; readers never see half a file.

    Raises:
        ConfigError: dbt cannot parse the project; the message is dbt's.
        BusyError: another process has been parsing for two minutes.
    """
    project = dbt_dir(settings)
    manifest = manifest_path(settings)
    target = manifest.parent
    wanted = source_hash(project, settings.gold_target)
    if not _is_current(target, wanted):
        with hold(target, "manifest", wait_s=_PARSE_TIMEOUT_S):
            if not _is_current(target, wanted):
                _parse(settings, project, target)
                _write_stamp(target, wanted)
    return manifest


class StaleManifestWarning(UserWarning):
    """The dbt project changed since its manifest was parsed. An error wherever warnings are errors, as in our tests."""


def locate_manifest(settings: Settings) -> Path:
    """Return the manifest as it was parsed last, for whoever must start fast; warns if the project changed since.

    A checkout in which nobody parsed the project yet does it now, once.

    Raises:
        ConfigError, BusyError: as `ensure_manifest`.
    """
    manifest = manifest_path(settings)
    if not manifest.is_file():
        return ensure_manifest(settings)
    if is_stale(settings):
        warnings.warn(
            f"the dbt project changed since {manifest} was parsed: Dagster shows the models as they were then; "
            "`./millrace run` and `./millrace ui` parse it anew",
            StaleManifestWarning,
            stacklevel=2,
        )
    return manifest


def manifest_path(settings: Settings) -> Path:
    """Return where the manifest of the settings' target is, or will be."""
    # A folder each: the targets name their tables differently, and two processes may use both.
    return dbt_dir(settings) / "target" / settings.gold_target / "manifest.json"


def is_stale(settings: Settings) -> bool:
    """Whether the manifest is missing, or older than a file of the project or what parses it."""
    target = manifest_path(settings).parent
    return not _is_current(target, source_hash(dbt_dir(settings), settings.gold_target))


def _stamp(target: Path, wanted: str) -> dict[str, object]:
    # Size and time tell when `dbt` itself, run by hand on another target, has written its own manifest there.
    found = (target / "manifest.json").stat()
    return {"sources": wanted, "size": found.st_size, "mtime_ns": found.st_mtime_ns}


def _is_current(target: Path, wanted: str) -> bool:
    try:
        return json.loads((target / _STAMP).read_text(encoding="utf-8")) == _stamp(target, wanted)
    except (OSError, ValueError):
        return False


def _write_stamp(target: Path, wanted: str) -> None:
    path = target / f"{_STAMP}.new"
    path.write_text(json.dumps(_stamp(target, wanted)), encoding="utf-8")
    path.replace(target / _STAMP)


def _parse(settings: Settings, project: Path, target: Path) -> None:
    """Parse in a process of its own: dbt changes process-wide logging, and a code server may be loading definitions."""
    folder = parse_dir(project, settings.gold_target)
    forget_moved_project(project, folder)
    command = [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", "--log-level", "warn", "parse"]
    command += ["--project-dir", str(project), "--profiles-dir", str(project), "--target", settings.gold_target]
    command += ["--target-path", str(folder), "--log-path", str(folder)]
    parsed = folder / "manifest.json"
    parsed.unlink(missing_ok=True)
    try:
        done = subprocess.run(
            command,
            env=process_environment(settings),
            cwd=project,
            capture_output=True,
            text=True,
            timeout=_PARSE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"dbt did not parse {project} within {_PARSE_TIMEOUT_S} s") from error
    if done.returncode or not parsed.is_file():
        said = redact((done.stdout + done.stderr).strip())
        raise ConfigError(f"dbt cannot parse {project}: {said[-4000:]}", hint="correct the file that dbt names")
    (target / _STAMP).unlink(missing_ok=True)
    parsed.replace(target / "manifest.json")


def parse_dir(project: Path, target: str) -> Path:
    """Return the folder in which the project is parsed for a target; it keeps dbt's parse cache."""
    return project / "target" / target / "parse"


def forget_moved_project(project: Path, target_path: Path) -> None:
    """Delete dbt's parse cache in `target_path` if it was made for a project elsewhere: its files may be gone."""
    target_path.mkdir(parents=True, exist_ok=True)
    place = target_path / "project_path"
    if not place.is_file() or place.read_text(encoding="utf-8") != str(project):
        (target_path / PARSE_CACHE).unlink(missing_ok=True)
        place.write_text(str(project), encoding="utf-8")
