"""The compiled dbt profile: `dbt/profiles.yml` with one environment's values in place of its variables.

Targets, paths and plugins are described there and nowhere else. The result holds names of secrets, never values, so
`dbt parse` needs no variable and no service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from orchestration.dbt_plugin.environment import dbt_dir, profile_env, work_path
from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.errors import ConfigError
from orchestration.settings import Settings

TARGETS = ("iceberg", "duckdb")
"""The compiled targets; the first is the default."""
PLUGIN = "orchestration.dbt_plugin.polaris"
NAMES = (PLUGIN, "orchestration.dbt_plugin.plugin")
"""Modules of the plugin that attaches the catalog, whichever name the profile uses."""

_VARIABLE = re.compile(r"\{\{\s*env_var\('(\w+)'(?:,\s*'([^']*)')?\)\s*(\|\s*as_number\s*)?\}\}")


def compiled_profile(settings: Settings, name: str, config: PluginConfig) -> dict[str, Any]:
    """Return the profile as data, under `name`.

    Raises:
        ConfigError: `dbt/profiles.yml` lacks a target, the plugin, or uses a variable that nobody sets.
    """
    path = dbt_dir(settings) / "profiles.yml"
    outputs = _outputs(path)
    variables = profile_env(settings) | {"MILLRACE_WORK_PATH": str(work_path(settings))}
    if missing := [target for target in TARGETS if target not in outputs]:
        raise ConfigError(f"{path} has no target {missing[0]}", hint=f"a profile has the targets {', '.join(TARGETS)}")
    compiled = {target: _filled(outputs[target], variables, path) for target in TARGETS}
    for target in TARGETS:
        compiled[target] = _with_config(compiled[target], config, f"{path}, target {target}")
        if config.threads is not None:
            compiled[target]["threads"] = config.threads
    return {name: {"target": TARGETS[0], "outputs": compiled}}


def profile_text(profile: Mapping[str, Any]) -> str:
    """Return the profile as YAML, always the same bytes for the same data."""
    return yaml.safe_dump(dict(profile), sort_keys=False, default_flow_style=False, width=120, allow_unicode=True)


def _outputs(path: Path) -> dict[str, Any]:
    try:
        found = cast("dict[str, Any]", yaml.safe_load(path.read_text(encoding="utf-8")))
        return next(iter(found.values()))["outputs"]
    except (OSError, yaml.YAMLError, StopIteration, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no dbt profile with outputs"
        raise ConfigError(
            f"{path} cannot be used: {reason}", hint="it describes the targets of the dbt project"
        ) from None


def _filled(value: Any, variables: Mapping[str, str], path: Path) -> Any:
    """Return `value` with each `env_var(...)` replaced."""
    if isinstance(value, dict):
        return {name: _filled(item, variables, path) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_filled(item, variables, path) for item in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value
    whole = _VARIABLE.fullmatch(value)
    if whole and whole[3]:
        return int(_value(whole, variables, path))
    filled = _VARIABLE.sub(lambda match: _value(match, variables, path), value)
    if "{{" in filled:
        raise ConfigError(f"{path}: {value} is not understood", hint="use env_var('NAME', 'default') alone")
    return filled


def _value(match: re.Match[str], variables: Mapping[str, str], path: Path) -> str:
    default: str | None = match[2]
    found = variables.get(match[1], default)
    if found is None:
        raise ConfigError(f"{path} asks for the variable {match[1]}, which nobody sets", hint="give it a default there")
    return found


def _with_config(output: dict[str, Any], config: PluginConfig, where: str) -> dict[str, Any]:
    plugins = [
        # dbt-duckdb knows a plugin by the last part of its module.
        {"module": PLUGIN, "config": config.model_dump(mode="json", exclude_none=True)}
        if plugin["module"] in NAMES
        else plugin
        for plugin in cast("list[dict[str, Any]]", output.get("plugins", []))
    ]
    if not any("config" in plugin for plugin in plugins):
        raise ConfigError(f"{where} does not use the plugin {PLUGIN}", hint="without it no catalog is attached")
    return {**output, "plugins": plugins}
