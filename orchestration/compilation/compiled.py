"""One environment, compiled: the files that follow from both tiers, as text, and their writing."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.compilation import crosscheck
from orchestration.dbt_plugin.environment import dbt_dir
from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.dbt_plugin.profile import compiled_profile, profile_text
from orchestration.errors import CheckFailedError
from orchestration.platform_config.faults import TierError
from orchestration.platform_config.tiers import LOCAL, Tiers, read_tiers
from orchestration.settings import Settings, load_settings
from orchestration.settings.names import env_name

PROFILES = "profiles.yml"
RESOURCES = "resources.yml"


@dataclass(frozen=True)
class Compiled:
    """What compiling an environment gave.

    Attributes:
        folder: where the files go.
        files: text by name.
    """

    environment: str
    settings: Settings
    tiers: Tiers
    folder: Path
    files: Mapping[str, str]

    @property
    def warnings(self) -> list[str]:
        """What is allowed but probably not meant."""
        return self.settings.warnings()

    def differing(self) -> list[Path]:
        """Return the files that are missing or differ on disk."""
        paths = {self.folder / name: text for name, text in self.files.items()}
        return [path for path, text in paths.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]

    def require_same(self) -> None:
        """Do nothing if the files on disk are these.

        Raises:
            CheckFailedError: names those that are not.
        """
        if found := self.differing():
            raise CheckFailedError(
                f"compiled files of the environment {self.environment} are not up to date: "
                f"{', '.join(str(path) for path in found)}",
                hint="run `millrace compile`",
            )

    def write(self) -> list[Path]:
        """Write what differs, each file whole or not at all, readable by its owner only; return what was written."""
        written = self.differing()
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in written:
            _write_private(path, self.files[path.name])
        return written


def compile_environment(
    environment: str | None,
    *,
    environ: Mapping[str, str] | None = None,
    repo_root: Path | None = None,
    folder: Path | None = None,
    is_strict: bool = False,
) -> Compiled:
    """Check both tiers of an environment and return the files that follow from them. Writes nothing.

    The same files, environment and variables give the same bytes.

    Args:
        environment: None: the one that is chosen by MILLRACE_PLATFORM_ENV, else `local`.
        environ: instead of the process environment.
        repo_root: instead of the checkout that this module is in.
        folder: for the files; None: `compiled/<environment>` in the instance's folder.
        is_strict: also look for the Python modules that the project names.

    Raises:
        TierError, ConfigError: every fault found.
    """
    settings = load_settings(environ=environ, platform_env=environment, repo_root=repo_root)
    if settings.platform_env is None:
        settings = load_settings(environ=environ, platform_env=LOCAL, repo_root=repo_root)
    name = settings.platform_env or LOCAL
    tiers = read_tiers(settings.repo_root, settings.secret_places.environ, name, settings.platform_file)
    if found := crosscheck.faults(tiers, settings, is_strict=is_strict):
        raise TierError(found)
    profile = compiled_profile(settings, tiers.project.profile_name, plugin_config(tiers, settings))
    header = _header(name, tiers, settings)
    files = {PROFILES: header + profile_text(profile), RESOURCES: header + profile_text(run_resources(tiers))}
    return Compiled(name, settings, tiers, folder or settings.instance_dir / "compiled" / name, files)


def plugin_config(tiers: Tiers, settings: Settings) -> PluginConfig:
    """Return the plugin's configuration: that of the settings, and what only platform.yaml says."""
    config = PluginConfig.from_settings(settings)
    catalog = tiers.catalog
    if catalog is None or tiers.platform is None:
        return config
    more: dict[str, Any] = {
        "catalog_type": catalog.type if settings.catalog == "rest" else settings.catalog,
        "credential_style": catalog.credential_style,
        "properties": catalog.properties,
        "namespaces": tuple(dict.fromkeys(layer.namespace for layer in tiers.platform.layers.values())),
        # Elsewhere `platform bootstrap` makes them, with the right of a platform engineer.
        "create_namespaces": tiers.environment == LOCAL,
    }
    return PluginConfig.from_profile(config.model_dump(mode="json") | more)


def run_resources(tiers: Tiers) -> dict[str, Any]:
    """Return the size of runs: container resources, variables, and the Dagster tags that give a run's pod both."""
    platform, name = tiers.platform, tiers.project.resource_profile
    if platform is None or name is None:
        return {"resource_profile": None}
    profile = platform.infrastructure.resource_profiles[name]
    return {
        "resource_profile": name,
        "resources": profile.container_resources(),
        "env": dict(sorted(profile.settings().items())),
        "run_tags": profile.run_tags(),
    }


def _header(environment: str, tiers: Tiers, settings: Settings) -> str:
    template = dbt_dir(settings) / "profiles.yml"
    inputs = {**tiers.inputs, "dbt/profiles.yml": hashlib.sha256(template.read_bytes()).hexdigest()}
    given = sorted(env_name(name) for name in settings.model_fields_set if settings.source_of(name) == "environment")
    lines = [f"# Made by `millrace compile` for the environment {environment}. Do not edit: change the inputs.", "#"]
    lines += [f"# {title}  sha256:{digest}" for title, digest in inputs.items()]
    if given:
        lines.append(f"# Also from the environment: {', '.join(given)}")
    return "\n".join(lines) + "\n"


def _write_private(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
