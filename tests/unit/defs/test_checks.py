"""Judgements: rows of numbers and what they mean."""

from __future__ import annotations

from typing import Any

import dagster as dg
import httpx
import pytest

from orchestration.defs.checks import (
    BRONZE_CHECKS,
    LANDING_DEAD_LETTERS,
    SILVER_CHECKS,
    count_restarts,
    judge_bronze,
    judge_budget,
    judge_landing,
    judge_silver,
)
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.submit import JobResult
from orchestration.generator.results import LandingResult
from orchestration.lakehouse.counts import Counts
from orchestration.lakehouse.facts import KeyCounts, NullCounts, time_columns
from orchestration.settings import Settings
from tests.unit.tiny import tiny_contract

NO_NULLS = NullCounts(90, {"start": 0})
KEYS = KeyCounts(80, 80)


def file(**changes: Any) -> LandingResult:
    """Return a file of 10 rows that landed with one dead letter."""
    values = {"status": "landed", "rows": 10, "events": 9, "dead_lettered": 1} | changes
    return LandingResult("a.parquet", "ab", "2024-01", **values)


@pytest.mark.parametrize(
    ("dead_letters", "budget", "passed", "severity"),
    [
        pytest.param(0, 0, True, "WARN", id="none"),
        pytest.param(5, 5, True, "WARN", id="within"),
        pytest.param(6, 5, False, "ERROR", id="above"),
    ],
)
def test_dead_letters_are_measured_against_the_budget(
    dead_letters: int, budget: int, passed: bool, severity: str
) -> None:
    result = judge_budget(LANDING_DEAD_LETTERS, dead_letters, budget)
    assert (result.passed, result.severity.value) == (passed, severity)
    assert result.metadata["dead_letters"].value == dead_letters


@pytest.mark.parametrize(
    ("results", "passed"),
    [
        pytest.param([file()], True, id="all acknowledged"),
        pytest.param([file(), file(events=8)], False, id="an event is missing"),
        pytest.param([], True, id="no file"),
    ],
)
def test_every_row_is_an_event_or_a_dead_letter(results: list[LandingResult], passed: bool) -> None:
    assert judge_landing(results, 5)[0].passed is passed


@pytest.mark.parametrize(
    ("results", "passed"),
    [
        pytest.param([file(rows=20, events=14, dead_lettered=6)], False, id="above the budget"),
        pytest.param([file(rows=20, events=14, dead_lettered=6, status="already_landed")], True, id="judged before"),
        pytest.param([file(), file(status="resumed", dead_lettered=5, events=5)], False, id="resumed counts whole"),
    ],
)
def test_a_landing_answers_for_the_dead_letters_of_its_own_files(results: list[LandingResult], passed: bool) -> None:
    assert judge_landing(results, 5)[1].passed is passed


def test_only_dead_letters_that_no_landing_reported_count_against_the_budget_of_bronze() -> None:
    found = verdicts(judge_bronze(194, 104, NO_NULLS, Settings(dlq_max=2), unreported=3, waiting=0))
    assert found["dead_letters_within_budget"] == (False, "ERROR")
    found = verdicts(judge_bronze(194, 104, NO_NULLS, Settings(dlq_max=3), unreported=3, waiting=0))
    assert found["dead_letters_within_budget"][0]


def verdicts(results: list[dg.AssetCheckResult]) -> dict[str | None, tuple[bool, str]]:
    """Return name to (passed, severity)."""
    return {result.check_name: (result.passed, result.severity.value) for result in results}


@pytest.mark.parametrize(
    ("produced", "waiting", "verdict"),
    [
        pytest.param(94, 0, (True, "ERROR"), id="holds"),
        pytest.param(95, 0, (False, "ERROR"), id="an event was lost"),
        pytest.param(93, 0, (False, "ERROR"), id="more rows than events"),
        pytest.param(93, 5, (False, "ERROR"), id="more rows than events although some wait"),
        pytest.param(97, 3, (True, "WARN"), id="three came after the load"),
        pytest.param(97, 2, (False, "ERROR"), id="two came after the load, one was lost"),
    ],
)
def test_the_bronze_equation_forgives_only_what_came_after_the_load(
    produced: int, waiting: int, verdict: tuple[bool, str]
) -> None:
    found = verdicts(judge_bronze(produced, 4, NO_NULLS, Settings(), unreported=0, waiting=waiting))
    assert found["produced_equals_bronze_plus_dead_lettered"] == verdict


@pytest.mark.parametrize(
    ("silver", "unrefined", "verdict"),
    [
        pytest.param(80, 0, (True, "ERROR"), id="holds"),
        pytest.param(79, 0, (False, "ERROR"), id="a row was lost"),
        pytest.param(79, 1, (True, "WARN"), id="bronze grew"),
        pytest.param(79, None, (True, "WARN"), id="bronze moved on, its history is gone"),
    ],
)
def test_the_silver_equation_forgives_only_a_bronze_that_moved_on(
    silver: int, unrefined: int | None, verdict: tuple[bool, str]
) -> None:
    found = verdicts(judge_silver(Counts(94, 4, 90, silver, 4, 6), KEYS, Settings(), unrefined))
    assert found["bronze_equals_silver_plus_duplicates_plus_rejected"] == verdict


@pytest.mark.parametrize(("allow_empty", "severity"), [(False, "ERROR"), (True, "WARN")])
def test_empty_layers_are_errors_unless_they_may_be_empty(allow_empty: bool, severity: str) -> None:
    nothing, settings = Counts(0, 0, 0, 0, 0, 0), Settings(allow_empty=allow_empty)
    bronze = verdicts(judge_bronze(0, 0, NullCounts(0, {"start": 0}), settings, unreported=0, waiting=0))
    silver = verdicts(judge_silver(nothing, KeyCounts(0, 0), settings, 0))
    assert bronze["bronze_is_not_empty"] == silver["silver_is_not_empty"] == (False, severity)


@pytest.mark.parametrize(
    ("nulls", "passed"),
    [
        pytest.param({"start": 0}, True, id="none"),
        pytest.param({"start": 5}, True, id="five percent"),
        pytest.param({"start": 6}, False, id="above"),
        pytest.param({"start": 0, "end": 100}, False, id="a wrong format in one of two"),
    ],
)
def test_unknown_times_above_the_rate_are_an_error(nulls: dict[str, int], passed: bool) -> None:
    results = judge_bronze(100, 0, NullCounts(100, nulls), Settings(), unreported=0, waiting=0)
    assert verdicts(results)["event_times_are_known"] == (passed, "ERROR")


def test_each_check_of_a_layer_is_judged_once() -> None:
    bronze = judge_bronze(94, 4, NO_NULLS, Settings(), unreported=0, waiting=0)
    silver = judge_silver(Counts(94, 4, 90, 80, 4, 6), KEYS, Settings(), 0)
    assert [result.check_name for result in bronze] == [check.name for check in BRONZE_CHECKS]
    assert [result.check_name for result in silver] == [check.name for check in SILVER_CHECKS]


def test_time_columns_are_the_event_time_and_required_times() -> None:
    assert time_columns(tiny_contract()) == ("start",)


@pytest.mark.parametrize(
    ("status", "body", "restarts"),
    [
        pytest.param(200, {"exceptionHistory": {"entries": []}}, 0, id="never"),
        pytest.param(
            200,
            {"exceptionHistory": {"entries": [{"exceptionName": "x", "stacktrace": "x", "timestamp": 1}]}},
            1,
            id="once",
        ),
        pytest.param(404, {"errors": ["unknown job"]}, 1, id="forgotten by a new JobManager"),
    ],
)
def test_restarts_are_read_from_the_history_of_exceptions(
    monkeypatch: pytest.MonkeyPatch, status: int, body: dict[str, Any], restarts: int
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    monkeypatch.setattr(
        "orchestration.flink.client.rest.FlinkRest", lambda url, **_: FlinkRest("http://flink", transport=transport)
    )
    job = JobResult("a" * 32, "j", "FINISHED", None, 1.0, False, (), "http://flink/")
    assert count_restarts(Settings(), [job]) == restarts


def test_without_a_job_flink_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr("orchestration.flink.client.rest.FlinkRest", refuse)
    assert count_restarts(Settings(), []) == 0
