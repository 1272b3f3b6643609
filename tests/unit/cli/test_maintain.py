"""What `millrace maintain`, `snapshots` and `rollback` print."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestration.catalog.compact import Compacted, CompactionPlan
from orchestration.catalog.compaction import FileFacts
from orchestration.catalog.expiry import Expired
from orchestration.catalog.orphans import Vacuumed
from orchestration.cli.main import run
from orchestration.cli.maintain import describe
from orchestration.lakehouse.maintenance import history, rollback
from orchestration.lakehouse.maintenance import run as maintenance
from orchestration.lakehouse.maintenance.history import SnapshotView
from orchestration.lakehouse.maintenance.report import MaintenanceReport, TableReport
from orchestration.lakehouse.maintenance.rollback import RolledBack

IDLE = TableReport("silver.a", Compacted(), expire=Expired(kept=3), vacuum=Vacuumed())
BUSY = TableReport(
    "silver.b",
    compact=Compacted(None, 500, 2, 3 * 1024**2, 1024**2, 500, 1, 500, 2, 4, 1, (7,)),
    expire=Expired(None, 490, 10, 1200, {5: "progress mark of silver.c"}),
    vacuum=Vacuumed(None, ("/t/lost",), 2048, ("/t/quarantine/x/old",), 10, ("/t/back",), 3),
    left_over=2,
)
GROUP = (FileFacts("/t/a", 0, 1024, 1, 1), FileFacts("/t/b", 0, 1024, 1, 1))


def report(*tables: TableReport, dry: bool = False) -> MaintenanceReport:
    return MaintenanceReport(dry, tables)


def test_a_run_that_found_nothing_says_so() -> None:
    assert describe(report(IDLE, IDLE)) == ["nothing to do: 2 tables are as they should be"]


def test_each_step_that_did_something_is_a_line() -> None:
    assert describe(report(IDLE, BUSY)) == [
        "silver.b: 2 files of a run that was cut off deleted",
        "silver.b: 500 files (3.0 MiB) became 2 (1.0 MiB), 500 manifests 1, 4 delete files folded in",
        "silver.b: 1 groups left to the next run: a writer changed their files meanwhile",
        "silver.b: 490 snapshots expired with 1,200 files, 10 are kept",
        "silver.b: snapshot 5 is kept: progress mark of silver.c",
        "silver.b: 1 orphans (2.0 KiB) moved to quarantine",
        "silver.b: 1 files (10 B) deleted from quarantine",
        "silver.b: 1 files moved back: a snapshot needs them",
    ]


def test_a_dry_run_speaks_of_what_would_be() -> None:
    planned = CompactionPlan(groups=(GROUP,), dangling=1, manifests=12, files=9, size_bytes=9999)
    table = replace(BUSY, compact=None, planned=planned, left_over=0)
    lines = describe(report(table, dry=True))
    assert lines[0] == (
        "silver.b: 2 of 9 files (2.0 KiB) would become at most 1; 12 small manifests merged, 1 delete files dropped"
    )
    assert lines[1] == "silver.b: 490 snapshots would expire with 1,200 files, 10 are kept"
    assert lines[3:5] == ["silver.b: 1 orphans (2.0 KiB) would be moved to quarantine", "silver.b:   /t/lost"]
    assert lines[-1] == "dry run: nothing was changed"


def test_what_is_left_alone_is_named_with_the_reason() -> None:
    table = TableReport(
        "silver.c", Compacted("v3"), expire=Expired("gc"), vacuum=Vacuumed("shared"), error="no", hint="do"
    )
    assert describe(report(table)) == [
        "silver.c: not compacted: v3",
        "silver.c: snapshots not expired: gc",
        "silver.c: not vacuumed: shared",
        "silver.c: stopped: no (do)",
    ]


def answer(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, result: object) -> list[tuple[Any, ...]]:
    """Put an answer in the place of a function; return the list of its calls."""
    calls: list[tuple[Any, ...]] = []

    def call(_: object, *arguments: Any, **named: Any) -> object:
        calls.append((*arguments, {key: value for key, value in named.items() if not isinstance(value, Callable)}))
        return result

    monkeypatch.setattr(place, name, call)
    return calls


def test_maintain_takes_its_arguments_and_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answer(monkeypatch, maintenance, "maintain", report(IDLE, BUSY))
    assert run(["maintain", "vacuum", "--table", "silver.b", "--dry-run", "--json"]) == 0
    assert calls == [(("vacuum",), {"table": "silver.b", "is_dry_run": True})]
    document = json.loads(capsys.readouterr().out)
    assert [table["did_something"] for table in document["tables"]] == [False, True]
    assert document["tables"][1]["expire"]["held"] == {"5": "progress mark of silver.c"}


def test_maintain_does_the_three_steps_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = answer(monkeypatch, maintenance, "maintain", report(IDLE))
    assert run(["maintain"]) == 0
    assert calls == [(("compact", "expire", "vacuum"), {"table": None, "is_dry_run": False})]


def test_maintain_fails_when_a_table_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, maintenance, "maintain", report(IDLE, replace(IDLE, error="no")))
    assert run(["maintain"]) == 1


VIEW = SnapshotView(
    5304926632623754544,
    None,
    datetime(2026, 3, 1, 12, tzinfo=UTC),
    "append",
    10,
    0,
    None,
    1,
    "",
    False,
    False,
    ("tag x",),
)


def test_snapshots_are_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(monkeypatch, history, "list_snapshots", [VIEW])
    assert run(["snapshots", "silver.b"]) == 0
    assert "rolled back, tag x" in capsys.readouterr().out


def test_ids_of_snapshots_are_text_in_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(monkeypatch, history, "list_snapshots", [VIEW])
    assert run(["snapshots", "silver.b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == "5304926632623754544"


def test_rollback_says_what_follows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    calls = answer(monkeypatch, rollback, "roll_back", RolledBack("silver.b", 9, 5, 30, 10, ("it is rebuilt",)))
    assert run(["rollback", "silver.b", "--to", "5", "--force"]) == 0
    assert calls == [("silver.b", 5, {"is_forced": True})]
    assert capsys.readouterr().out.splitlines() == ["silver.b went from 9 to 5: 10 rows (-20)", "it is rebuilt"]


def test_a_rollback_to_where_the_table_stands_does_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, rollback, "roll_back", RolledBack("silver.b", 5, 5, 30, 30))
    assert run(["rollback", "silver.b", "--to", "5"]) == 0
    assert capsys.readouterr().out == "silver.b stands at 5 already: nothing to do\n"
