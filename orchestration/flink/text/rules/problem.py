"""What is wrong with a SQL text, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestration.flink.text.tokens import position

Severity = Literal["error", "warning"]
Purpose = Literal["adhoc", "script", "persistent"]
Permission = Literal["ddl", "dml", "destructive"]


@dataclass(frozen=True)
class Problem:
    """One finding.

    Args:
        code: V01 to V17, or an error code of Flink's answer (`sql_semantic_error`) after deep validation.
        line, column: in the text that the caller gave, counted from 1.
        rewrite: the statement in the form that is wanted, for rules that can write it; else None.
    """

    code: str
    severity: Severity
    message: str
    hint: str | None = None
    line: int = 1
    column: int = 1
    rewrite: str | None = None

    def __str__(self) -> str:
        return f"{self.code}, line {self.line}, column {self.column}: {self.message}"


def problem_at(
    code: str,
    text: str,
    offset: int,
    message: str,
    hint: str | None = None,
    *,
    severity: Severity = "error",
    rewrite: str | None = None,
) -> Problem:
    """Return a problem at an offset of `text`."""
    line, column = position(text, offset)
    return Problem(code, severity, message, hint, line, column, rewrite)
