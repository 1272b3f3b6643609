"""Rules between settings: pure functions that name the variable, its value and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.settings.problems import Problem

if TYPE_CHECKING:
    from orchestration.settings.model import Settings


def check(settings: Settings) -> list[Problem]:
    """Return every rule that the settings break."""
    return []


def warn(settings: Settings) -> list[Problem]:
    """Return what is allowed but probably not meant."""
    return []
