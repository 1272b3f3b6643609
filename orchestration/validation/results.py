"""Results of checks, and running one check so that a failure or a timeout becomes a result too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from orchestration.errors import MillraceError

Stage = Literal["health", "jobs", "data", "models"]
T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """One check.

    Attributes:
        message: what was seen, in one line.
        detail: more of it, for who wants to know; None where the message says all.
        hint: what to do about a failure; None after a success.
    """

    stage: Stage
    name: str
    passed: bool
    message: str
    detail: str | None = None
    hint: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a check saw; `hint` counts only if it did not pass."""

    passed: bool
    message: str
    detail: str | None = None
    hint: str | None = None


def check(stage: Stage, name: str, timeout_s: float, look: Callable[[], Outcome]) -> Result:
    """Run one check; an error of ours or running out of time is a failure with its own text and hint."""
    try:
        outcome = within(timeout_s, look)
    except MillraceError as error:
        return Result(stage, name, False, error.message, hint=error.hint)
    except TimeoutError:
        return Result(
            stage, name, False, f"no answer within {timeout_s:g} s", hint="`millrace status` shows what is slow or down"
        )
    hint = None if outcome.passed else outcome.hint
    return Result(stage, name, outcome.passed, outcome.message, outcome.detail, hint)


def within(timeout_s: float, look: Callable[[], T]) -> T:
    """Return what `look` returns; it is left running in the background if it takes longer.

    Raises:
        TimeoutError: it did.
    """
    done: list[Any] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(look())
        # Handed over to the caller's thread, whatever it is.
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    # A daemon: the process may end while a query that nobody waits for still hangs in a library.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError
    return done[0]
