"""What a look reads of the tables, and how verdicts of several looks come together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from orchestration.broker.offsets import LogRange
from orchestration.catalog.progress import BronzeMark, write_mark
from orchestration.flink.monitoring.health import Level, Reading
from orchestration.flink.monitoring.rounds import Watched
from orchestration.lakehouse.streams.verdict import Flow
from orchestration.lakehouse.streams.watch import (
    StreamLook,
    StreamMemory,
    count_dropped,
    judge_streams,
    look_at_stream,
    newest_commit_at,
    remember_streams,
)
from orchestration.settings import Settings
from tests.unit.tables import append_offsets, bronze_table, roll_back, snapshot_id
from tests.unit.tiny import tiny_contract

NOW = datetime(2024, 1, 5, 12, tzinfo=UTC)
LOGS = {0: LogRange(0, 50), 1: LogRange(0, 50)}


@pytest.fixture
def bronze(iceberg: Catalog) -> Table:
    return bronze_table(iceberg)


def test_records_that_gave_no_row_are_counted_from_the_last_audit_on(bronze: Table) -> None:
    assert count_dropped(bronze, {0: 3}, LOGS) == 3
    append_offsets(bronze, (0, 0), (0, 2))
    assert count_dropped(bronze, {0: 3, 1: 0}, LOGS) == 1
    write_mark(bronze, BronzeMark(snapshot_id=snapshot_id(bronze), next_offsets={0: 3, 1: 0}, dead_lettered=1))
    assert count_dropped(bronze, {0: 3, 1: 0}, LOGS) == 0
    append_offsets(bronze, (1, 0), (1, 1))
    assert count_dropped(bronze, {0: 3, 1: 2}, LOGS) == 0
    assert count_dropped(bronze, {0: 5, 1: 2}, LOGS) == 2


def test_rows_that_are_there_before_their_offsets_are_nothing_dropped(bronze: Table) -> None:
    append_offsets(bronze, (0, 0), (0, 1))
    assert count_dropped(bronze, {0: 1}, LOGS) == 0


def test_what_retention_removed_before_the_first_audit_is_not_counted(bronze: Table) -> None:
    assert count_dropped(bronze, {0: 30}, {0: LogRange(20, 50)}) == 10


def test_a_history_that_was_rolled_back_tells_nothing(bronze: Table) -> None:
    first = append_offsets(bronze, (0, 0))
    append_offsets(bronze, (0, 1))
    write_mark(bronze, BronzeMark(snapshot_id=snapshot_id(bronze), next_offsets={0: 2}))
    roll_back(bronze, first)
    assert count_dropped(bronze, {0: 9}, LOGS) is None


def test_only_a_stream_counts_as_a_commit_of_the_stream(bronze: Table) -> None:
    append_offsets(bronze, (0, 0))
    assert newest_commit_at(bronze) is None


def test_where_nothing_was_ever_deployed_nothing_is_opened(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, dataset="rides")
    assert look_at_stream(settings, tiny_contract(), NOW) is None
    assert list(tmp_path.iterdir()) == []


def look(name: str = "rides_stream", at: datetime = NOW, **flow: int) -> StreamLook:
    reading = Reading(at, "RUNNING", running_since=at - timedelta(hours=1))
    return StreamLook(name, at, Watched(name, "a" * 32, reading=reading), Flow(at, **flow))  # type: ignore[arg-type]


def test_trouble_beside_the_job_is_part_of_its_verdict_and_remembered() -> None:
    settings, memory, codes = Settings(stream_max_lag_records=10), StreamMemory(), []
    for minute, lag in enumerate((5, 50, 70)):
        seen = look(at=NOW + timedelta(minutes=minute), lag_records=lag)
        found = judge_streams([seen], memory, settings, seen.at)
        codes.append([reason.code for reason in found.verdicts[0].health.reasons])
        memory = StreamMemory.model_validate_json(remember_streams([seen], memory, found).model_dump_json())
    assert codes == [[], ["lag"], ["lag"]]
    assert [one.lag_records for one in memory.flows["rides_stream"]] == [5, 50, 70]


def test_a_service_that_is_silent_for_a_minute_is_told_once() -> None:
    memory, told = StreamMemory(), []
    for second in (0, 30, 60, 90):
        seen = replace(look(at=NOW + timedelta(seconds=second)), silent={"broker": "no answer"})
        found = judge_streams([seen], memory, Settings(), seen.at)
        told.append([alert.code for alert in found.alerts])
        memory = remember_streams([seen], memory, found)
    assert told == [[], [], ["broker_unreachable"], []]


def test_a_stream_that_somebody_works_on_is_not_judged_and_not_forgotten() -> None:
    seen = look(lag_records=3)
    memory = remember_streams([seen], StreamMemory(), judge_streams([seen], StreamMemory(), Settings(), NOW))
    busy = StreamLook("rides_stream", NOW)
    found = judge_streams([busy], memory, Settings(), NOW)
    assert found.verdicts == ()
    assert remember_streams([busy], memory, found).flows == memory.flows
    assert remember_streams([], memory, found).flows == {}


def test_two_jobs_are_unhealthy() -> None:
    seen = replace(look(), watched=Watched("rides_stream", None, failure="2 jobs live", failure_code="two_jobs"))
    [verdict] = judge_streams([seen], StreamMemory(), Settings(), NOW).verdicts
    assert (verdict.health.level, verdict.health.text) == (Level.UNHEALTHY, "2 jobs live")
