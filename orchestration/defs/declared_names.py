"""What millrace.yaml names, looked up: modules, functions, jobs, assets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any, cast

import dagster as dg

from orchestration.errors import ConfigError

JobLike = Any
"""`dg.JobDefinition` or what `dg.define_asset_job` returns, whose class is not public."""


def imported(name: str) -> Any:
    """Return a module.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"the module {name} of millrace.yaml cannot be imported: {error}", hint="`millrace compile --strict`"
        ) from error


def function_of(path: str) -> Callable[..., Any]:
    """Return the function of an import path.

    Raises:
        ConfigError: it is not there.
    """
    module, _, name = path.rpartition(".")
    found = getattr(imported(module), name, None) if module else None
    if not callable(found):
        raise ConfigError(f"millrace.yaml names {path}, which is no function", hint="`millrace compile --strict`")
    return cast("Callable[..., Any]", found)


def matches(key: dg.AssetKey, pattern: str) -> bool:
    """Whether a glob matches a key with slashes, or its last part."""
    return fnmatchcase(key.to_user_string(), pattern) or fnmatchcase(key.path[-1], pattern)


def job_of(name: str, jobs: Mapping[str, JobLike]) -> JobLike:
    """Return the job of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in jobs:
        raise ConfigError(f"millrace.yaml names the job {name}, which is not there", hint="`millrace compile`")
    return jobs[name]
