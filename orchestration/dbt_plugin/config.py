"""The settings that dbt's plugins use: those of the run in this process, else those of the environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestration.settings import Settings, load_settings

_bound: Settings | None = None


@contextmanager
def bound_settings(settings: Settings) -> Iterator[None]:
    """Let the plugins use `settings` instead of the environment while dbt runs in this process.

    dbt makes the plugins itself and hands them nothing but the profile, where secrets do not belong. Process-wide,
    since dbt runs models in threads of its own; callers hold the runner's lock.
    """
    global _bound
    before, _bound = _bound, settings
    try:
        yield
    finally:
        _bound = before


def current_settings() -> Settings:
    """Return the bound settings, else those of the process."""
    return _bound or load_settings()
