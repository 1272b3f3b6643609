"""When a stream is deployed again, how often, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestration.flink.monitoring.health import Health, Level, Reason
from orchestration.lakehouse.streams.healing import Action, Budget, History, decide
from orchestration.settings import Settings

NOW = datetime(2024, 1, 5, 12, 0, tzinfo=UTC)
BUDGET = Budget(attempts=3, window_s=1800, pause_s=15)


def ago(*seconds: float) -> tuple[datetime, ...]:
    return tuple(NOW - timedelta(seconds=one) for one in seconds)


def ill(*codes: str) -> Health:
    return Health(tuple(Reason(code, Level.UNHEALTHY, code) for code in codes))


DOWN = ill("job_canceled")
[GIVEN_UP], [LONG_BEFORE], [SINCE] = ago(60), ago(3600), ago(30)


@pytest.mark.parametrize(
    ("health", "history", "action", "attempt"),
    [
        pytest.param(Health(), History(), "nothing", 0, id="well"),
        pytest.param(ill("lag", "dead_letters", "restarts"), History(), "nothing", 0, id="what no deploy heals"),
        pytest.param(ill("two_jobs"), History(), "nothing", 0, id="two jobs are for people"),
        pytest.param(ill("commits_stopped"), History(), "nothing", 0, id="commits that stop are for people"),
        pytest.param(DOWN, History(), "heal", 1, id="down: at once"),
        pytest.param(ill("job_failed"), History(), "heal", 1, id="failed"),
        pytest.param(ill("job_lost"), History(), "heal", 1, id="lost"),
        pytest.param(ill("deploy_failed"), History(), "heal", 1, id="its deploy failed"),
        pytest.param(ill("cut_off"), History(), "heal", 1, id="an operation was cut off"),
        pytest.param(ill("checkpoints_stopped"), History(), "heal", 1, id="hung"),
        pytest.param(DOWN, History(ago(20), is_trying=True), "wait", 0, id="a run is at it"),
        pytest.param(DOWN, History(ago(14)), "wait", 0, id="before the first pause is over"),
        pytest.param(DOWN, History(ago(15)), "heal", 2, id="after the first pause"),
        pytest.param(DOWN, History(ago(29, 100)), "wait", 0, id="the second pause is twice as long"),
        pytest.param(DOWN, History(ago(100, 30)), "heal", 3, id="after the second pause, in any order"),
        pytest.param(DOWN, History(ago(1000, 900, 800)), "give_up", 0, id="the budget is spent"),
        pytest.param(DOWN, History(ago(1801, 900, 800)), "heal", 3, id="old attempts do not count"),
        pytest.param(
            DOWN, History(ago(3, 2, 1), gave_up_at=GIVEN_UP, submitted_at=LONG_BEFORE), "wait", 0, id="given up"
        ),
        pytest.param(DOWN, History(gave_up_at=GIVEN_UP), "wait", 0, id="given up, and the record does not say since"),
        pytest.param(
            DOWN,
            History(gave_up_at=NOW - timedelta(days=3), submitted_at=NOW - timedelta(days=4)),
            "wait",
            0,
            id="given up days ago",
        ),
        pytest.param(
            DOWN,
            History(ago(200, 150, 100), gave_up_at=GIVEN_UP, submitted_at=SINCE),
            "heal",
            1,
            id="somebody deployed it since: a new budget",
        ),
    ],
)
def test_what_is_done(health: Health, history: History, action: Action, attempt: int) -> None:
    found = decide(health, history, BUDGET, NOW)
    assert (found.action, found.attempt) == (action, attempt)
    assert bool(found.reason) == (action != "nothing")


def test_only_a_job_that_lives_is_canceled_first() -> None:
    assert decide(ill("checkpoints_stopped"), History(), BUDGET, NOW).is_hung
    assert not decide(DOWN, History(), BUDGET, NOW).is_hung
    assert not decide(ill("job_failed", "checkpoints_stopped"), History(), BUDGET, NOW).is_hung


def test_without_attempts_it_only_alerts() -> None:
    found = decide(DOWN, History(), Budget(attempts=0), NOW)
    assert (found.action, found.reason) == ("give_up", "STREAM_HEAL_ATTEMPTS=0, so nothing was tried: job_canceled")


def test_pauses_end_at_five_minutes() -> None:
    budget, made = Budget(attempts=100, window_s=7200), ago(*range(301, 3000, 100))
    assert decide(DOWN, History(made), budget, NOW).action == "heal"
    assert decide(DOWN, History((*made, *ago(299))), budget, NOW).action == "wait"


def test_a_stream_that_stays_down_is_tried_so_often_and_given_up_once() -> None:
    """Play half a day of ticks against the history that the runs would leave."""
    attempts: list[datetime] = []
    given_up: list[datetime] = []
    for number in range(12 * 60 * 4):
        now = NOW + timedelta(seconds=15 * number)
        history = History(tuple(attempts), gave_up_at=given_up[-1] if given_up else None, submitted_at=NOW)
        found = decide(DOWN, history, Budget(), now)
        if found.action == "heal":
            attempts.append(now)
        elif found.action == "give_up":
            given_up.append(now)
    assert [(at - NOW).total_seconds() for at in attempts] == [0, 15, 45, 105, 225]
    assert len(given_up) == 1


def test_the_budget_follows_the_settings() -> None:
    settings = Settings(stream_heal_attempts=2, stream_heal_window_s=60, stream_heal_pause_s=3)
    assert Budget.of(settings) == Budget(2, 60, 3)
