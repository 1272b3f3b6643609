"""counts, lag and validate: the shape of their documents and their exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from orchestration import validation
from orchestration.cli import counts, lag, validate
from orchestration.errors import UnreachableError
from orchestration.lakehouse import counts as counting
from orchestration.lakehouse import lag as lagging
from orchestration.lakehouse.counts import Counts
from orchestration.lakehouse.lag import LagReport, PartitionLag
from orchestration.validation import Result

RUNNER = CliRunner()
COUNTS = Counts(produced=100, dead_lettered=5, bronze=95, silver=80, duplicates=10, rejected=5)


def app_of(register: Callable[[typer.Typer], None]) -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None)
    app.callback()(lambda: None)
    register(app)
    return app


def test_counts_prints_exactly_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "count_layers", lambda *_: COUNTS)
    done = RUNNER.invoke(app_of(counts.register), ["counts", "--json"])
    assert json.loads(done.stdout) == {
        "produced": 100,
        "dead_lettered": 5,
        "bronze": 95,
        "silver": 80,
        "duplicates": 10,
        "rejected": 5,
    }


def test_counts_says_which_equation_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "count_layers", lambda *_: Counts(100, 5, 90, 80, 5, 5))
    lines = RUNNER.invoke(app_of(counts.register), ["counts"]).stdout.splitlines()
    assert "DOES NOT HOLD: produced = bronze + dead_lettered (100 = 90 + 5)" in lines
    assert "holds: bronze = silver + duplicates + rejected (90 = 80 + 5 + 5)" in lines


def test_lag_is_told_for_each_partition_and_in_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    report = LagReport("taxi.raw", "taxi.dlq", (PartitionLag(0, 0, 50, 40), PartitionLag(1, 10, 20, 20)), 3)
    monkeypatch.setattr(lagging, "read_lag", lambda *_: report)
    document = json.loads(RUNNER.invoke(app_of(lag.register), ["lag", "--json"]).stdout)
    assert document == {
        "topic": "taxi.raw",
        "lag_records": 10,
        "partitions": [
            {"partition": 0, "start": 0, "end": 50, "next_offset": 40, "lag_records": 10},
            {"partition": 1, "start": 10, "end": 20, "next_offset": 20, "lag_records": 0},
        ],
        "dlq_topic": "taxi.dlq",
        "dead_letters": 3,
    }
    text = RUNNER.invoke(app_of(lag.register), ["lag"]).stdout
    assert "bronze is 10 records behind; taxi.dlq holds 3 dead letters" in text


def test_a_watched_lag_tells_rates_bears_an_outage_and_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = iter([(50, 40), (70, 60), None, (70, 70)])

    def read(*_: object) -> LagReport:
        ends = next(reports, "end")
        if ends == "end":
            raise KeyboardInterrupt
        if ends is None:
            raise UnreachableError("the broker does not answer")
        return LagReport("taxi.raw", "taxi.dlq", (PartitionLag(0, 0, *ends),), 0)  # type: ignore[misc]

    monkeypatch.setattr(lagging, "read_lag", read)
    done = RUNNER.invoke(app_of(lag.register), ["lag", "--watch", "--interval", "0.2", "--json"])
    looks = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert [look.get("lag_records") for look in looks] == [10, 10, None, 0]
    assert (looks[0]["produced_per_s"], looks[2]["error"]) == (None, "the broker does not answer")
    assert 0 < looks[1]["produced_per_s"] == looks[1]["loaded_per_s"] <= 100
    assert looks[3]["produced_per_s"] == 0 < looks[3]["loaded_per_s"]


def test_a_watched_lag_is_a_line_a_look_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = iter([LagReport("taxi.raw", "taxi.dlq", (PartitionLag(0, 0, 5, 5),), 0)])

    def read(*_: object) -> LagReport:
        for report in reports:
            return report
        raise KeyboardInterrupt

    monkeypatch.setattr(lagging, "read_lag", read)
    done = RUNNER.invoke(app_of(lag.register), ["lag", "--watch", "--interval", "0.2"])
    [line] = done.stdout.splitlines()
    assert line.endswith("taxi.raw: bronze is up to date; taxi.dlq holds 0 dead letters")


def invoke_validate(monkeypatch: pytest.MonkeyPatch, results: list[Result], *arguments: str) -> Any:
    def fake(*_: object, stages: list[str], **__: object) -> list[Result]:
        return [result for result in results if result.stage in stages]

    monkeypatch.setattr(validation, "validate", fake)
    return RUNNER.invoke(app_of(validate.register), ["validate", *arguments])


GOOD = Result("health", "broker answers", True, "1 broker")
BAD = Result("data", "accounting of bronze", False, "10 rows missing", "100 = 90 + 0", "`millrace run` loads them")


def test_validate_groups_by_stage_and_gives_a_hint_for_each_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    done = invoke_validate(monkeypatch, [GOOD, BAD])
    assert done.exit_code == 1
    lines = [line for line in done.stdout.splitlines() if line]
    assert lines[:6] == [
        "1 Services answer",
        "  PASS  broker answers: 1 broker",
        "3 Every row is accounted for",
        "  FAIL  accounting of bronze: 10 rows missing",
        "        100 = 90 + 0",
        "        hint: `millrace run` loads them",
    ]
    assert lines[6].startswith("1 of 2 checks passed")


def test_validate_exits_with_0_only_if_all_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke_validate(monkeypatch, [GOOD]).exit_code == 0


def test_validate_json_is_a_summary_and_a_flat_list(monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads(invoke_validate(monkeypatch, [GOOD, BAD], "--json").stdout)
    assert {name: document[name] for name in ("passed", "failed", "total")} == {"passed": 1, "failed": 1, "total": 2}
    assert [set(result) for result in document["results"]] == [
        {"stage", "name", "passed", "message", "detail", "hint"}
    ] * 2


def test_validate_runs_only_the_stages_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    done = invoke_validate(monkeypatch, [GOOD, BAD], "--stage", "health", "--json")
    assert json.loads(done.stdout)["total"] == 1


def test_an_unknown_stage_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke_validate(monkeypatch, [GOOD], "--stage", "helth").exit_code == 2
