"""When a stream that is down is deployed again, and when nobody tries any more. A pure decision.

What was tried is known from Dagster's own history of runs, so neither a daemon that starts anew nor a cursor that is
lost makes a storm of deploys.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from orchestration.flink.monitoring.health import Health
from orchestration.settings import Settings

DOWN = frozenset({"job_failed", "deploy_failed", "job_lost", "job_canceled", "cut_off"})
"""Reasons for which a stream that is wanted has no job: a deploy brings it back."""

HUNG = frozenset({"checkpoints_stopped"})
"""Reasons for which its job is canceled first: it makes no checkpoint, so it makes no savepoint either."""

_LONGEST_PAUSE_S = 300.0

Action = Literal["nothing", "wait", "heal", "give_up"]


@dataclass(frozen=True)
class Budget:
    """How often a deploy is tried.

    Args:
        attempts: within `window_s`; then it is given up.
        pause_s: after the first attempt; it doubles with each, up to 5 minutes.
    """

    attempts: int = 5
    window_s: float = 1800.0
    pause_s: float = 15.0

    @classmethod
    def of(cls, settings: Settings) -> Budget:
        """Return that of the settings."""
        return cls(settings.stream_heal_attempts, settings.stream_heal_window_s, settings.stream_heal_pause_s)


@dataclass(frozen=True)
class History:
    """What was tried.

    Args:
        attempts: when each attempt of the last window was made, in any order.
        is_trying: one of them is not over, or waits in the queue.
        gave_up_at: when it was last given up; None: never.
        submitted_at: when the stream's newest job was submitted; None: not known.
    """

    attempts: tuple[datetime, ...] = ()
    is_trying: bool = False
    gave_up_at: datetime | None = None
    submitted_at: datetime | None = None

    @property
    def is_given_up(self) -> bool:
        """Whether it was given up, and nobody deployed it since."""
        return self.gave_up_at is not None and (self.submitted_at is None or self.submitted_at <= self.gave_up_at)


@dataclass(frozen=True)
class Healing:
    """What to do.

    Args:
        reason: one clause for people.
        attempt: its number within the window, from 1; 0 if nothing is tried now.
        is_hung: a job lives, and is to be canceled first.
    """

    action: Action
    reason: str = ""
    attempt: int = 0
    is_hung: bool = False


def decide(health: Health, history: History, budget: Budget, now: datetime) -> Healing:
    """Return what to do about a stream that somebody wants to run.

    Who gave up tries again only after somebody else deployed the stream.
    """
    codes = {reason.code for reason in health.reasons}
    if not codes & (DOWN | HUNG):
        return Healing("nothing")
    if history.is_trying:
        return Healing("wait", "a run deploys it")
    gave_up = history.gave_up_at
    if gave_up is not None and history.is_given_up:
        return Healing("wait", f"given up at {gave_up:%Y-%m-%d %H:%M:%S} UTC; `millrace stream deploy` tries again")
    start = now - timedelta(seconds=budget.window_s)
    recent = sorted(at for at in history.attempts if at > start and (gave_up is None or at > gave_up))
    if len(recent) >= budget.attempts:
        tried = f"deployed {len(recent)} times within {budget.window_s / 60:.0f} min and down again: {health.text}"
        return Healing("give_up", tried if recent else f"STREAM_HEAL_ATTEMPTS=0, so nothing was tried: {health.text}")
    if recent:
        due = recent[-1] + timedelta(seconds=min(budget.pause_s * 2.0 ** (len(recent) - 1), _LONGEST_PAUSE_S))
        if now < due:
            return Healing("wait", f"deployed {len(recent)} times, again in {(due - now).total_seconds():.0f} s")
    return Healing("heal", health.text, len(recent) + 1, is_hung=not codes & DOWN)
