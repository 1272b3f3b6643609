"""Environment variables of dbt: what `dbt/profiles.yml` asks for, and the settings for a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from pydantic import SecretStr

from orchestration.settings import Settings
from orchestration.settings.names import env_name

_NOT_EXPORTED = frozenset({"profile", "repo_root"})
"""A profile's values are exported one by one; its name may be that of a file elsewhere."""


def dbt_dir(settings: Settings) -> Path:
    """Return the folder of the dbt project and its profile."""
    return settings.repo_root / "dbt"


def work_path(settings: Settings) -> Path:
    """Return the DuckDB file in which a build on Iceberg works: views, temporary data, stored test failures.

    Each build starts with a new one: nothing in it lasts, as in a container.
    """
    return settings.instance_dir / "dbt" / "work.duckdb"


def profile_env(settings: Settings) -> dict[str, str]:
    """Return the variables that `dbt/profiles.yml` and the project read. None is secret."""
    return {
        "MILLRACE_DBT_TARGET": settings.gold_target,
        "MILLRACE_GOLD_PATH": str(settings.gold_path.absolute()),
        "MILLRACE_MODULES": str(settings.repo_root.absolute()),
        "MILLRACE_DBT_THREADS": str(settings.duckdb_threads or min(4, os.cpu_count() or 1)),
        "MILLRACE_ALLOW_EMPTY": str(settings.allow_empty).lower(),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def dbt_env(settings: Settings) -> dict[str, str]:
    """Return the variables for a dbt process of its own: those of the profile, and every setting that was given.

    The plugin there reads the same settings from them. Holds secrets: pass it as an environment, never log it.
    """
    given = {
        env_name(name): _text(getattr(settings, name))
        for name in sorted(settings.model_fields_set - _NOT_EXPORTED)
        if getattr(settings, name) is not None
    }
    return given | profile_env(settings)


def process_environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment with `dbt_env` over it."""
    return dict(os.environ) | dbt_env(settings)


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)


@contextmanager
def set_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process for the block: dbt and Dagster take them from nowhere else."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
