"""What a run did, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestration.errors import MillraceError

STAGES = ("landing", "bronze", "silver", "gold")


@dataclass(frozen=True)
class Stage:
    """One layer of a run.

    Attributes:
        rows: rows that it added; landing: events that it sent, to either topic.
        seconds: the whole step, loading its libraries included; `work_s`: only the work in it.
    """

    name: str
    rows: int
    seconds: float
    work_s: float


@dataclass(frozen=True)
class CheckOutcome:
    """One asset check; `is_error` tells a failure from a warning."""

    asset: str
    name: str
    passed: bool
    is_error: bool
    message: str


@dataclass(frozen=True)
class Note:
    """Something that a run says while it goes on: of which stage, what, and seconds since the run began."""

    stage: str
    text: str
    elapsed_s: float


@dataclass(frozen=True)
class RunReport:
    """What a run did. Stages that it never reached are missing."""

    run_id: str
    is_success: bool
    seconds: float
    stages: tuple[Stage, ...]
    checks: tuple[CheckOutcome, ...]

    @property
    def passed(self) -> int:
        """Checks that passed."""
        return sum(check.passed for check in self.checks)

    @property
    def failed_checks(self) -> tuple[CheckOutcome, ...]:
        """Checks that did not pass and are more than a warning."""
        return tuple(check for check in self.checks if not check.passed and check.is_error)

    @property
    def warnings(self) -> tuple[CheckOutcome, ...]:
        """Checks that did not pass and only warn."""
        return tuple(check for check in self.checks if not check.passed and not check.is_error)

    def as_dict(self) -> dict[str, Any]:
        """Return stages and checks as JSON values."""
        return {
            "stages": [
                {"name": stage.name, "rows": stage.rows, "seconds": round(stage.seconds, 3)} for stage in self.stages
            ],
            "checks": {"passed": self.passed, "failed": len(self.failed_checks), "warnings": len(self.warnings)},
        }


class RunFailedError(MillraceError):
    """A step of a run failed.

    Args:
        cause: name of the error's class in the step, which decides the exit code; another name: 1.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        context: Mapping[str, object] | None = None,
        cause: str = "",
    ) -> None:
        super().__init__(message, hint=hint, context=context)
        self.exit_code = exit_code_of(cause)  # type: ignore[misc]


def exit_code_of(name: str) -> int:
    """Return the exit code of an error class of ours by its name; 1 for any other."""
    waiting: list[type[MillraceError]] = [MillraceError]
    while waiting:
        kind = waiting.pop()
        if kind.__name__ == name:
            return kind.exit_code
        waiting += kind.__subclasses__()
    return 1
