"""What landing says about a file: while it runs, and at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

LandingStatus = Literal["landed", "resumed", "already_landed", "partial"]


@dataclass(frozen=True)
class Progress:
    """How far one file is. `rows_per_s` is over this call's time on the file."""

    path: str
    rows: int
    total_rows: int
    rows_per_s: float


@dataclass(frozen=True)
class LandingResult:
    """What landing did with one file.

    Attributes:
        status: `landed`; `resumed`: an interrupted landing was completed; `already_landed`: nothing to do;
            `partial`: MAX_EVENTS ended it before the file's end.
        rows: rows of the file that were read (`already_landed`: when it was landed).
        events, dead_lettered: rows of the file that now are on the main and on the dead letter topic.
        sent, dead_lettered_now: of these, what this call sent.
        rows_per_s: sent by this call, over `seconds`.
        offsets: partition of the main topic to (end of the log before the file, end of the log after it).
    """

    path: str
    sha256: str
    month: str | None
    status: LandingStatus
    rows: int
    events: int
    dead_lettered: int
    sent: int = 0
    dead_lettered_now: int = 0
    seconds: float = 0.0
    attempt: int = 0
    size_bytes: int = 0
    offsets: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def skipped(self) -> int:
        """Rows of the file that were on the topics before this call."""
        return self.events + self.dead_lettered - self.sent - self.dead_lettered_now

    @property
    def rows_per_s(self) -> float:
        """Rows sent a second by this call."""
        return (self.sent + self.dead_lettered_now) / self.seconds if self.seconds else 0.0
