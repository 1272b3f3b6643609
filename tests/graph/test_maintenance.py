"""The maintenance job and its sensor, in process, on reports that are made up."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest

from orchestration.catalog.compact import Compacted
from orchestration.catalog.expiry import Expired
from orchestration.catalog.orphans import Vacuumed
from orchestration.defs.maintenance import iceberg_file_counts, iceberg_maintenance, read_cursor
from orchestration.defs.resources import KEY, MillraceSettings
from orchestration.lakehouse.maintenance import due, run
from orchestration.lakehouse.maintenance.due import Due, Found
from orchestration.lakehouse.maintenance.report import MaintenanceReport, TableReport

DONE = TableReport(
    "silver.b",
    Compacted(removed=500, added=2, snapshot_ids=(7,)),
    expire=Expired(None, 490, 10, 1200, {5: "mark"}),
    vacuum=Vacuumed(quarantined=("/t/lost",)),
)


def execute(
    monkeypatch: pytest.MonkeyPatch, report: MaintenanceReport, **config: Any
) -> tuple[dg.ExecuteInProcessResult, list[Any]]:
    calls: list[Any] = []

    def maintain(_: object, steps: list[str], **named: Any) -> MaintenanceReport:
        calls.append((steps, named["table"], named["is_dry_run"]))
        return report

    monkeypatch.setattr(run, "maintain", maintain)
    result = iceberg_maintenance.execute_in_process(
        run_config={"ops": {"maintain_tables": {"config": config}}},
        resources={KEY: MillraceSettings()},
        raise_on_error=False,
    )
    return result, calls


def test_a_run_reports_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    result, calls = execute(monkeypatch, MaintenanceReport(False, (TableReport("silver.a"), DONE)))
    assert result.success
    assert calls == [(["compact", "expire", "vacuum"], None, False)]
    [output] = [event for event in result.all_node_events if event.is_successful_output]
    shown = {name: value.value for name, value in output.step_output_data.metadata.items()}
    report = shown.pop("report")
    assert shown == {
        "tables": 2,
        "files_removed": 500,
        "files_added": 2,
        "snapshots_expired": 490,
        "files_deleted": 1200,
        "orphans_quarantined": 1,
    }
    assert [table["table"] for table in report] == ["silver.b"]
    assert report[0]["expire"]["held"] == {"5": "mark"}


def test_a_run_takes_one_step_of_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    result, calls = execute(
        monkeypatch, MaintenanceReport(True, (DONE,)), steps=["compact"], table="silver.b", dry_run=True
    )
    assert result.success
    assert calls == [(["compact"], "silver.b", True)]


def test_an_unknown_step_fails_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    result, calls = execute(monkeypatch, MaintenanceReport(False), steps=["shrink"])
    assert (result.success, calls) == (False, [])


def test_a_table_that_stopped_fails_the_run_after_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = execute(monkeypatch, MaintenanceReport(False, (DONE, TableReport("silver.c", error="damaged"))))
    failure = result.failure_data_for_node("maintain_tables")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert "maintenance of 1 of 2 tables stopped: silver.c: damaged" in (failure.user_failure_data.description or "")


def tick(monkeypatch: pytest.MonkeyPatch, found: Found, cursor: str | None = None) -> tuple[Any, list[dict[str, int]]]:
    seen: list[dict[str, int]] = []

    def find_due(_: object, so_far: dict[str, int]) -> Found:
        seen.append(so_far)
        return found

    monkeypatch.setattr(due, "find_due", find_due)
    with dg.build_sensor_context(cursor=cursor, resources={KEY: MillraceSettings()}) as context:
        return iceberg_file_counts(context), seen


def test_the_sensor_asks_for_the_compaction_of_each_table_that_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found((Due("silver.b", 7, 500, 2),), {"silver.b": 7, "silver.a": 3})
    result, seen = tick(monkeypatch, found, cursor='{"silver.b": 6}')
    assert seen == [{"silver.b": 6}]
    [request] = result.run_requests
    assert request.run_key == "silver.b:7"
    assert request.run_config == {"ops": {"maintain_tables": {"config": {"steps": ["compact"], "table": "silver.b"}}}}
    assert dg.validate_run_config(iceberg_maintenance, request.run_config)
    assert json.loads(result.cursor) == {"silver.b": 7, "silver.a": 3}


def test_the_sensor_says_why_it_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = tick(monkeypatch, Found((), {"silver.a": 3}))
    assert result.skip_reason.skip_message == "1 tables, none with many small files"
    assert json.loads(result.cursor) == {"silver.a": 3}


@pytest.mark.parametrize("cursor", [None, "", "no json", "[1]"])
def test_a_cursor_of_another_version_counts_as_none(cursor: str | None) -> None:
    assert read_cursor(cursor) == {}
