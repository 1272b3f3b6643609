"""The memory of replayed dead letters, on a real Iceberg catalog in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pyiceberg.catalog import Catalog

from orchestration.generator.replays import ReplayEntry, ReplayLog, Topics

AT = datetime(2024, 3, 1, tzinfo=UTC)
TOPICS = Topics("rides", "rides.raw", "rides.dlq", "a/b+c==")
STARTED = ReplayEntry(TOPICS, "r1", "started", {0: 5, 1: 0}, recorded_at=AT)
DONE = replace(
    STARTED, status="done", letters=frozenset({(0, 3), (0, 4), (0, 9), (1, 0)}), records=3,
    recorded_at=AT + timedelta(seconds=5),
)  # fmt: skip


def test_without_an_entry_nothing_was_replayed(iceberg: Catalog) -> None:
    found = ReplayLog(iceberg).read(TOPICS)
    assert (found.letters, found.records, found.open) == (frozenset(), 0, ())


def test_a_replay_that_only_started_is_open(iceberg: Catalog) -> None:
    log = ReplayLog(iceberg)
    log.append(STARTED)
    assert log.read(TOPICS).open == (STARTED,)
    log.append(DONE)
    found = log.read(TOPICS)
    assert (found.letters, found.records, found.open) == (DONE.letters, 3, ())


def test_letters_of_all_replays_count(iceberg: Catalog) -> None:
    log = ReplayLog(iceberg)
    for entry in (DONE, replace(DONE, run_id="r2", letters=frozenset({(1, 7)}), records=0)):
        log.append(entry)
    found = log.read(TOPICS)
    assert found.letters == DONE.letters | {(1, 7)}
    assert found.records == 3


def test_a_topic_that_was_created_anew_has_no_replays(iceberg: Catalog) -> None:
    log = ReplayLog(iceberg)
    log.append(DONE)
    assert log.read(replace(TOPICS, dlq_id="other")).letters == frozenset()
    assert log.read(replace(TOPICS, topic="other.raw")).letters == frozenset()
