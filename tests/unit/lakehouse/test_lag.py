"""Lag is what bronze itself does not account for."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog

from orchestration.broker.offsets import LogRange
from orchestration.catalog.progress import BronzeMark, write_mark
from orchestration.lakehouse import lag
from orchestration.settings import Settings
from tests.unit.tables import append, bronze_table
from tests.unit.tiny import tiny_contract

Logs = dict[str, dict[int, LogRange]]


def read(monkeypatch: pytest.MonkeyPatch, catalog: Catalog, logs: Logs, state_dir: Path) -> lag.LagReport:
    monkeypatch.setattr(lag, "try_log_offsets", lambda _, topic: logs.get(topic))
    monkeypatch.setattr(lag, "open_catalog", lambda _: catalog)
    return lag.read_lag(Settings(state_dir=state_dir), tiny_contract())


def test_without_topic_and_table_nothing_waits(
    monkeypatch: pytest.MonkeyPatch, iceberg: Catalog, tmp_path: Path
) -> None:
    report = read(monkeypatch, iceberg, {}, tmp_path)
    assert (report.lag_records, report.partitions, report.dead_letters) == (0, (), 0)


def test_before_the_first_load_all_that_the_log_keeps_waits(
    monkeypatch: pytest.MonkeyPatch, iceberg: Catalog, tmp_path: Path
) -> None:
    report = read(monkeypatch, iceberg, {"rides.raw": {0: LogRange(5, 25), 1: LogRange(0, 3)}}, tmp_path)
    assert [one.lag_records for one in report.partitions] == [20, 3]


def test_after_a_load_the_records_behind_the_mark_wait(
    monkeypatch: pytest.MonkeyPatch, iceberg: Catalog, tmp_path: Path
) -> None:
    table = bronze_table(iceberg)
    snapshot = append(table, {"_kafka_offset": 0})
    write_mark(table, BronzeMark(snapshot_id=snapshot, next_offsets={0: 20, 1: 3}))
    logs = {"rides.raw": {0: LogRange(0, 25), 1: LogRange(0, 3)}, "rides.dlq": {0: LogRange(0, 7)}}
    report = read(monkeypatch, iceberg, logs, tmp_path)
    assert [one.lag_records for one in report.partitions] == [5, 0]
    assert (report.lag_records, report.dead_letters) == (5, 7)
