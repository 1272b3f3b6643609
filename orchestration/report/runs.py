"""A run as the report lists it. Apart from the rest, for Dagster's definitions, which load nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class RunLine:
    """A run of Dagster.

    Attributes:
        status: as Dagster spells it, in lower case.
        seconds: None while it goes on, or if it never started.
    """

    run_id: str
    job: str
    status: str
    started_at: datetime | None
    seconds: float | None
