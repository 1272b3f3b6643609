"""Rounds over streaming jobs: what is news, what is told, what asks for a repair, and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestration.flink.client.models import Vertex
from orchestration.flink.monitoring.health import Reading
from orchestration.flink.monitoring.rounds import Memory, Round, Watched, go_round

NOON = datetime(2024, 1, 5, 12, 0, tzinfo=UTC)
JOB = "a" * 32
WELL = Reading(at=NOON, state="RUNNING", running_since=NOON)


def watched(state: str = "RUNNING", at: datetime = NOON, held_ms: float = 0, **changes: object) -> Watched:
    vertex = Vertex.model_validate(
        {"id": "v", "name": "Join", "status": "RUNNING", "metrics": {"accumulated-backpressured-time": held_ms}}
    )
    reading = replace(WELL, at=at, state=state, vertices=(vertex,))
    return replace(Watched("revenue", JOB, "http://flink/job", reading), **changes)  # pyright: ignore


def again(memory: Memory) -> Memory:
    """Return the memory as a sensor's cursor gives it back."""
    return Memory.model_validate_json(memory.model_dump_json())


def codes(found: Round) -> list[str]:
    return [alert.code for alert in found.alerts]


def test_a_verdict_is_news_the_first_time_and_when_it_changes() -> None:
    memory, news = Memory(), []
    for state in ("RUNNING", "RUNNING", "RESTARTING", "RESTARTING", "RUNNING"):
        found = go_round([watched(state)], memory, NOON)
        news.append(found.verdicts[0].is_news)
        memory = again(found.memory)
    assert news == [True, False, True, False, True]


def test_a_trouble_is_told_once_and_again_when_it_lasts() -> None:
    first = go_round([watched("FAILED")], Memory(), NOON)
    assert codes(first) == ["job_failed"]
    assert first.alerts[0].job_id == JOB
    memory = again(first.memory)
    assert codes(go_round([watched("FAILED")], memory, NOON + timedelta(minutes=14))) == []
    assert codes(go_round([watched("FAILED")], memory, NOON + timedelta(minutes=15))) == ["job_failed"]
    assert codes(go_round([watched("LOST")], memory, NOON)) == ["job_lost"]


@pytest.mark.parametrize("state", ["FAILED", "LOST", "CANCELED"])
def test_a_job_that_is_down_asks_for_one_repair(state: str) -> None:
    first = go_round([watched(state)], Memory(), NOON)
    later = go_round([watched(state)], again(first.memory), NOON + timedelta(hours=3))
    assert len(first.repairs) == 1
    assert first.repairs == later.repairs
    assert go_round([watched(state, job_id="b" * 32)], Memory(), NOON).repairs != first.repairs


def test_a_job_that_may_be_restarted_asks_again_after_five_minutes() -> None:
    keys = [
        go_round([watched("FAILED", may_restart=True)], Memory(), NOON + timedelta(minutes=minutes)).repairs
        for minutes in (0, 4, 5)
    ]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("state", ["RUNNING", "RESTARTING", "FINISHED"])
def test_nothing_else_asks_for_a_repair(state: str) -> None:
    assert go_round([watched(state)], Memory(), NOON).repairs == ()


def test_a_deploy_that_failed_is_told_by_its_own_code() -> None:
    job = Watched("revenue", None, failure="no slots", failure_code="deploy_failed")
    found = go_round([job], Memory(), NOON)
    assert (codes(found), found.alerts[0].text, found.repairs) == (["deploy_failed"], "no slots", ())


def test_a_silent_service_is_told_after_a_minute_and_forgotten_when_it_answers() -> None:
    silent = {"gateway": "the Flink SQL Gateway does not answer"}
    first = go_round([], Memory(), NOON, silent=silent)
    second = go_round([], again(first.memory), NOON + timedelta(seconds=59), silent=silent)
    third = go_round([], again(second.memory), NOON + timedelta(seconds=60), silent=silent)
    assert (codes(first), codes(second), codes(third)) == ([], [], ["gateway_unreachable"])
    answered = go_round([], again(third.memory), NOON + timedelta(minutes=30))
    assert answered.memory.silent == {}
    assert codes(go_round([], answered.memory, NOON + timedelta(minutes=31), silent=silent)) == []


def test_a_job_that_no_record_knows_is_told_and_left_to_people() -> None:
    found = go_round([], Memory(), NOON, strays=["default.revenue.0a1b2c3d"])
    assert codes(found) == ["registry_mismatch"]
    assert found.repairs == ()


def test_backpressure_is_seen_over_rounds_and_loads_do_not_pile_up() -> None:
    memory, seen, most = Memory(), [], 0
    for minute in range(12):
        at = NOON + timedelta(minutes=minute)
        found = go_round([watched(at=at, held_ms=minute * 60_000 * 0.9)], memory, at)
        memory = again(found.memory)
        seen.append([reason.code for reason in found.verdicts[0].health.reasons])
        most = max(most, len(memory.loads[JOB]))
    assert seen == [[]] * 5 + [["backpressure"]] * 7
    assert most == 6


def test_what_is_no_longer_wanted_is_forgotten() -> None:
    first = go_round([watched()], Memory(), NOON)
    assert (set(first.memory.loads), set(first.memory.verdicts)) == ({JOB}, {"revenue"})
    assert go_round([], again(first.memory), NOON).memory == Memory()
