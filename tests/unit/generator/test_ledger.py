"""The memory of landed files, on a real Iceberg catalog in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pyiceberg.catalog import Catalog

from orchestration.generator.ledger import LandedTotals, Ledger, LedgerEntry

AT = datetime(2024, 3, 1, tzinfo=UTC)
STARTED = LedgerEntry(
    dataset="rides", topic="rides.raw", sha256="ab" * 32, attempt=0, path="/x.parquet", rows=10, events=0,
    dead_lettered=0, partitions=2, status="started", options={"key_field": "Zone", "chunk_rows": 5},
    start_offsets={"rides.raw": {0: 3, 1: 4}, "rides.dlq": {0: 0}}, recorded_at=AT, run_id="r1",
)  # fmt: skip
LANDED = replace(
    STARTED, status="landed", events=9, dead_lettered=1, end_offsets={"rides.raw": {0: 8, 1: 8}, "rides.dlq": {0: 1}},
    recorded_at=AT + timedelta(seconds=5),
)  # fmt: skip


def test_an_unknown_content_has_no_history(iceberg: Catalog) -> None:
    assert Ledger(iceberg).history("rides", "rides.raw", "ab" * 32).latest is None


def test_entries_read_back_as_they_were_written(iceberg: Catalog) -> None:
    ledger = Ledger(iceberg)
    ledger.append(STARTED)
    ledger.append(LANDED)
    history = ledger.history("rides", "rides.raw", "ab" * 32)
    assert (history.entries, history.started, history.latest) == ((STARTED, LANDED), STARTED, LANDED)
    assert history.is_landed


def test_the_history_is_that_of_the_latest_attempt_on_this_topic(iceberg: Catalog) -> None:
    ledger = Ledger(iceberg)
    again = replace(STARTED, attempt=1, recorded_at=AT + timedelta(hours=1))
    for entry in (STARTED, LANDED, again, replace(LANDED, topic="other.raw"), replace(LANDED, dataset="other")):
        ledger.append(entry)
    history = ledger.history("rides", "rides.raw", "ab" * 32)
    assert history.entries == (again,)
    assert not history.is_landed


def test_totals_count_each_attempt_once_by_its_last_word(iceberg: Catalog) -> None:
    ledger = Ledger(iceberg)
    partial = replace(
        LANDED, status="partial", rows=4, events=4, dead_lettered=0, recorded_at=AT + timedelta(seconds=1)
    )
    for entry in (STARTED, partial, LANDED, replace(STARTED, sha256="cd" * 32), replace(partial, sha256="ef" * 32)):
        ledger.append(entry)
    assert ledger.totals("rides") == LandedTotals(files=1, rows=14, events=13, dead_lettered=1)


def test_two_writers_do_not_lose_an_entry(iceberg: Catalog) -> None:
    first, second = Ledger(iceberg), Ledger(iceberg)
    first.append(STARTED)
    second.append(LANDED)
    first.append(replace(STARTED, attempt=1))
    assert len(first.entries("rides")) == 3
