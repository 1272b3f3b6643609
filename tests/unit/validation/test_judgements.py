"""What counts as passed: the pure part of each check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestration.broker.offsets import LogRange
from orchestration.dbt_plugin.runner import DbtNode
from orchestration.flink.client.models import JobOverview
from orchestration.flink.monitoring.health import Level
from orchestration.generator.ledger import LedgerEntry
from orchestration.lakehouse.counts import Counts
from orchestration.settings import Settings
from orchestration.validation import broker, dbt, flink, iceberg, running
from orchestration.validation.line import Line
from tests.unit.tiny import tiny_contract


def counts(**changes: int) -> Counts:
    good = {"produced": 100, "dead_lettered": 5, "bronze": 95, "silver": 80, "duplicates": 10, "rejected": 5}
    return Counts(**{**good, **changes})


@pytest.mark.parametrize(
    ("found", "layer", "message"),
    [
        pytest.param(counts(), "bronze", "produced = bronze + dead_lettered", id="bronze holds"),
        pytest.param(counts(), "silver", "bronze = silver + duplicates + rejected", id="silver holds"),
        pytest.param(
            counts(produced=110), "bronze", "produced = bronze + dead_lettered: 10 rows missing", id="records wait"
        ),
        pytest.param(
            counts(silver=81), "silver", "bronze = silver + duplicates + rejected: 1 rows too many", id="a row too many"
        ),
    ],
)
def test_each_equation_is_exact_and_tells_its_gap(found: Counts, layer: str, message: str) -> None:
    outcome = iceberg.judge_equations(found)[f"accounting of {layer}"]
    assert outcome.message == message
    assert outcome.passed == (" rows " not in message)


@pytest.mark.parametrize(
    ("silver", "bronze", "allow_empty", "passed"),
    [
        pytest.param(80, 95, False, True, id="some rows"),
        pytest.param(0, 95, False, False, id="empty"),
        pytest.param(0, 95, True, True, id="empty and allowed"),
        pytest.param(96, 95, True, False, id="more than bronze"),
    ],
)
def test_silver_has_rows_and_no_more_than_bronze(silver: int, bronze: int, allow_empty: bool, passed: bool) -> None:
    outcome = iceberg.judge_silver(counts(silver=silver, bronze=bronze), allow_empty=allow_empty)
    assert outcome.passed is passed


@pytest.mark.parametrize(
    ("found", "by_landings", "by_bronze", "dlq_max", "passed"),
    [
        pytest.param(0, 0, 0, 0, True, id="none"),
        pytest.param(936, 936, 0, 0, True, id="all reported by landings"),
        pytest.param(946, 936, 10, 0, False, id="ten malformed messages, no budget"),
        pytest.param(946, 936, 10, 10, True, id="ten malformed messages within the budget"),
        pytest.param(947, 936, 10, 100, False, id="one that nobody wrote"),
        pytest.param(900, 936, 0, 100, False, id="fewer than landings reported"),
    ],
)
def test_dead_letters_are_explained_or_within_the_budget(
    found: int, by_landings: int, by_bronze: int, dlq_max: int, passed: bool
) -> None:
    outcome = iceberg.judge_dead_letters(found, by_landings, by_bronze, dlq_max)
    assert outcome.passed is passed
    assert f"{found - by_landings:,} others" in outcome.message


def test_replayed_records_do_not_count_against_the_budget() -> None:
    outcome = iceberg.judge_dead_letters(946, 936, 10, 3, replayed=7)
    assert outcome.passed
    assert outcome.message == "946 dead letters: 936 reported by landings, 10 others, 7 of them replayed (DLQ_MAX=3)"
    assert not iceberg.judge_dead_letters(946, 936, 10, 2, replayed=7).passed


def entry(status: str, end: int) -> LedgerEntry:
    return LedgerEntry(
        dataset="rides",
        topic="rides.raw",
        sha256="ab",
        attempt=0,
        path="a.parquet",
        rows=10,
        events=10,
        dead_lettered=0,
        partitions=1,
        status=status,  # type: ignore[arg-type]
        options={},
        start_offsets={"rides.raw": {0: 0}},
        end_offsets={"rides.raw": {0: end}},
    )


@pytest.mark.parametrize(
    ("status", "end", "log", "passed"),
    [
        pytest.param("landed", 10, {0: LogRange(0, 10)}, True, id="exactly there"),
        pytest.param("landed", 10, {0: LogRange(8, 90)}, True, id="retention took the start"),
        pytest.param("landed", 10, {0: LogRange(0, 9)}, False, id="the topic was made anew"),
        pytest.param("landed", 10, {}, False, id="the topic is gone"),
        pytest.param("started", 10, {}, True, id="only started"),
    ],
)
def test_the_topic_must_reach_the_offsets_that_landings_recorded(
    status: str, end: int, log: dict[int, LogRange], passed: bool
) -> None:
    outcome = broker.compare_ledger("rides.raw", [entry(status, end)], log)
    assert outcome.passed is passed
    assert (outcome.hint is None) is passed


def job(name: str, state: str, start: int = 1_700_000_000_000) -> JobOverview:
    return JobOverview.model_validate(
        {"jid": "ab" * 16, "name": name, "state": state, "start-time": start, "duration": 1500}
    )


@pytest.mark.parametrize(
    ("state", "passed", "message"),
    [
        pytest.param("FINISHED", True, "x (abababab) FINISHED in 1.5 s", id="finished"),
        pytest.param("FAILED", False, "x (abababab) FAILED: no disk", id="failed"),
        pytest.param("CANCELED", False, "x (abababab) CANCELED", id="canceled"),
        pytest.param("RUNNING", False, "x (abababab) is RUNNING", id="still running"),
    ],
)
def test_the_newest_job_of_a_layer_must_have_finished(state: str, passed: bool, message: str) -> None:
    outcome = flink.judge_batch(job("x", state), "no disk")
    assert (outcome.passed, outcome.message) == (passed, message)
    assert passed or outcome.hint


@pytest.mark.parametrize(
    ("level", "passed"), [(Level.HEALTHY, True), (Level.DEGRADED, False), (Level.UNHEALTHY, False)]
)
def test_a_stream_must_be_healthy(level: Level, passed: bool) -> None:
    outcome = flink.judge_stream("rides_stream", Line("query", "rides_stream", level, "RUNNING", hint="look"))
    assert (outcome.passed, outcome.message) == (passed, "rides_stream: RUNNING")


def test_a_stream_that_nobody_deployed_fails_and_is_told_how() -> None:
    outcome = flink.judge_stream("rides_stream", None)
    assert (outcome.passed, outcome.message) == (False, "no stream rides_stream should run")
    assert "millrace stream deploy" in (outcome.hint or "")


def test_in_streaming_mode_the_stream_stands_for_the_jobs_of_both_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [Line("query", f"{name}_stream", Level.HEALTHY, "RUNNING") for name in ("other", "rides")]
    monkeypatch.setattr(running, "look_at_queries", lambda *_: lines)
    found = flink.check_jobs(Settings(mode="streaming"), tiny_contract(), lambda _: None)
    assert [(one.name, one.passed, one.message) for one in found] == [("stream", True, "rides_stream: RUNNING")]


def test_an_old_success_does_not_hide_the_last_failure() -> None:
    known = [job("x", "FINISHED", 1), job("x", "FAILED", 2), job("y", "FINISHED", 3)]
    newest = flink.newest(known, "x")
    assert newest is not None
    assert newest.state == "FAILED"
    assert flink.newest(known, "z") is None


def test_a_layer_without_known_jobs_passes_only_if_a_job_wrote_its_table() -> None:
    assert flink.judge_unknown("x", "ab" * 16).passed
    assert not flink.judge_unknown("x", None).passed


def test_the_archive_is_read_and_files_that_are_no_archive_are_passed_over(tmp_path: Path) -> None:
    jobs = {"jobs": [{"jid": "ab", "name": "x", "state": "FINISHED", "start-time": 5, "duration": 2}]}
    (tmp_path / "ab").write_text(json.dumps({"archive": [{"path": "/jobs/overview", "json": json.dumps(jobs)}]}))
    (tmp_path / "half").write_text('{"archive": [')
    (tmp_path / "other").write_text("[]")
    (tmp_path / "empty").write_text('{"archive": []}')
    assert [found.id for found in flink.read_archive(tmp_path)] == ["ab"]
    assert flink.read_archive(tmp_path / "none") == []


def node(status: str, message: str | None = None, failures: int | None = None) -> DbtNode:
    return DbtNode("test.p.unique_id.1", "test", status, 0.1, message, failures)


@pytest.mark.parametrize(
    ("nodes", "passed", "message"),
    [
        pytest.param((node("pass"), node("warn")), True, "2 of 2 passed", id="a warning passes"),
        pytest.param((node("pass"), node("fail")), False, "1 of 2 passed", id="a failure"),
        pytest.param((node("pass"), node("skipped")), False, "1 of 2 passed, 1 skipped", id="a skipped test"),
        pytest.param((), False, "dbt ran no test", id="none"),
    ],
)
def test_all_dbt_tests_must_pass_and_there_must_be_some(nodes: tuple[DbtNode, ...], passed: bool, message: str) -> None:
    outcome = dbt.judge_tests(nodes)
    assert (outcome.passed, outcome.message) == (passed, message)


def test_of_dbts_message_the_reason_is_shown() -> None:
    message = "Runtime Error in test unique_id (models/a.yml)\n  Catalog Error: no table\n  LINE 1: x"
    assert dbt.telling_line(message) == "Catalog Error: no table"
    assert dbt.telling_line(None) == "no reason given"
