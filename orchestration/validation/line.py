"""One line of `millrace health`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestration.flink.monitoring.health import Level

Kind = Literal["service", "query", "sensor", "layer", "dead letters"]


@dataclass(frozen=True)
class Line:
    """One line of the report.

    Attributes:
        codes: kinds of trouble, for machines; empty when healthy.
        hint: what to do; None when healthy.
    """

    kind: Kind
    name: str
    level: Level
    message: str
    codes: tuple[str, ...] = ()
    hint: str | None = None
    url: str | None = None


def span(seconds: float) -> str:
    """Return a time in one unit, such as `17 min`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
