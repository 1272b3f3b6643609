"""Landing on the real broker and catalog: each row once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.broker.admin import ensure_topics
from orchestration.broker.dead_letters import BadRecord, dead_letter_records, read_dead_letters
from orchestration.broker.offsets import count_messages, log_offsets, try_log_offsets
from orchestration.broker.producer import EventProducer
from orchestration.broker.read import Record, read_range, read_records
from orchestration.contracts import load_contract
from orchestration.contracts.resolve import active_contract
from orchestration.errors import BusyError, ConfigError, InputError, MillraceError, OffsetGapError, UnreachableError
from orchestration.generator.identity import SOURCE_HEADER, parse_source
from orchestration.generator.land import LandingResult, land
from orchestration.generator.ledger import Ledger
from orchestration.generator.metrics import read_metrics
from orchestration.generator.sample import write_sample
from orchestration.locking import hold
from orchestration.settings import Settings
from orchestration.waiting import wait_for

CONTRACT = load_contract("taxi")

# Lands in a process of its own, so that it can be killed.
CHILD = """
import sys
from orchestration.contracts.resolve import active_contract
from orchestration.generator.land import land
from orchestration.settings import Settings
settings = Settings.model_validate_json(sys.argv[1])
land(settings, active_contract(settings), sys.argv[2])
"""


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with topics of this test alone."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    return settings.with_changes(
        topic=f"{name}.raw", dlq_topic=f"{name}.dlq", topic_partitions=3, metrics_path=tmp_path / "metrics.json"
    )


def records(settings: Settings, topic: str | None) -> list[Record]:
    name = topic or ""
    ranges = {partition: (log.start, log.end) for partition, log in log_offsets(settings, name).items()}
    return [record for batch in read_records(settings, name, ranges) for record in batch]


def landed_rows(settings: Settings) -> Counter[tuple[str, int]]:
    """Return how often each (identity, row) is on the two topics together."""
    found = [*records(settings, settings.topic), *records(settings, settings.dlq_topic)]
    sources = [parse_source(record.headers.get(SOURCE_HEADER)) for record in found]
    return Counter(source for source in sources if source is not None)


def rows_of(result: LandingResult, rows: int, attempt: str = "") -> Counter[tuple[str, int]]:
    return Counter((result.sha256[:16] + attempt, row) for row in range(rows))


def test_a_dirty_file_lands_exactly_and_a_second_time_is_a_no_op(own: Settings, tmp_path: Path) -> None:
    path = tmp_path / "trips_2024-01.parquet"
    expected = write_sample(path, rows=5000, dirty=0.1)
    [first] = land(own, active_contract(own), str(path), run_id="r1")
    assert (first.status, first.rows, first.month) == ("landed", 5000, "2024-01")
    assert (first.events, first.dead_lettered) == (expected.bronze, expected.dead_lettered)
    assert landed_rows(own) == rows_of(first, 5000)
    assert sum(end - start for start, end in first.offsets.values()) == expected.bronze

    [event] = [json.loads(r.value or b"") for r in records(own, own.topic) if r.headers[SOURCE_HEADER][-3:] == b"/77"]
    source = pq.read_table(path).slice(77, 1).to_pylist()[0]
    assert event["tpep_pickup_datetime"] == source["tpep_pickup_datetime"].isoformat()
    assert event["fare_amount"] == source["fare_amount"]
    letters = read_dead_letters(own, active_contract(own), limit=1000)
    assert {letter.error for letter in letters} == {
        "tpep_pickup_datetime is required and missing",
        "tpep_dropoff_datetime is required and missing",
        "fare_amount is not a finite number",
    }
    assert list(letters[0].row) == list(CONTRACT.column_names)

    entries = Ledger.open(own).entries("taxi", own.topic)
    [second] = land(own, active_contract(own), str(path))
    assert (second.status, second.sent, second.dead_lettered_now, second.skipped) == ("already_landed", 0, 0, 5000)
    assert landed_rows(own) == rows_of(first, 5000)
    assert Ledger.open(own).entries("taxi", own.topic) == entries
    metrics = read_metrics(own.metrics_path)
    assert metrics is not None
    assert (metrics.events, metrics.invalid, metrics.already_there) == (0, 0, 5000)


def test_the_same_content_under_another_name_is_not_landed_twice(own: Settings, tmp_path: Path) -> None:
    write_sample(tmp_path / "a_2024-01.parquet", rows=100)
    (tmp_path / "b_2024-01.parquet").write_bytes((tmp_path / "a_2024-01.parquet").read_bytes())
    assert [result.status for result in land(own, active_contract(own), str(tmp_path))] == ["landed", "already_landed"]
    assert count_messages(own, own.topic or "") == 100


def test_again_sends_a_landed_file_deliberately(own: Settings, tmp_path: Path) -> None:
    path = tmp_path / "t_2024-01.parquet"
    write_sample(path, rows=300)
    [first] = land(own, active_contract(own), str(path))
    [second] = land(own, active_contract(own), str(path), again=True)
    assert (second.status, second.attempt, second.sent) == ("landed", 1, 300)
    assert landed_rows(own) == rows_of(first, 300) + rows_of(first, 300, "#1")
    assert [result.status for result in land(own, active_contract(own), str(path))] == ["already_landed"]


def test_max_events_lands_a_part_and_the_next_run_the_rest(own: Settings, tmp_path: Path) -> None:
    path = tmp_path / "t_2024-01.parquet"
    write_sample(path, rows=1000, dirty=0.1)
    limited = own.with_changes(max_events=400)
    assert [(r.status, r.rows) for r in land(limited, active_contract(own), str(path))] == [("partial", 400)]
    assert [(r.status, r.sent) for r in land(limited, active_contract(own), str(path))] == [("partial", 0)]
    [whole] = land(own, active_contract(own), str(path))
    assert whole.status == "resumed"
    assert landed_rows(own) == rows_of(whole, 1000)


@pytest.mark.parametrize("mode", ["burst", "realtime", "batch"])
def test_every_mode_sends_each_row_once(own: Settings, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "t_2024-01.parquet"
    write_sample(path, rows=500)
    paced = own.with_changes(generator_mode=mode, speed_factor=10_000_000, batch_size=200, batch_delay=0)
    [result] = land(paced, active_contract(own), str(path))
    assert landed_rows(own) == rows_of(result, 500)


def kill_when(own: Settings, path: Path, is_time: Callable[[int], bool]) -> None:
    """Land in a child process and kill it when the number of events on the topic says so."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, as_json(own), str(path)])

    def look() -> tuple[bool | None, object]:
        logs = try_log_offsets(own, own.topic or "") or {}
        events = sum(log.records for log in logs.values())
        return (True if is_time(events) or child.poll() is not None else None), events

    try:
        wait_for(look, what="the child to send", timeout_s=60)
    finally:
        child.send_signal(signal.SIGKILL)
        code = child.wait()
    assert code == -signal.SIGKILL, "it was through before it could be killed"


def as_json(settings: Settings) -> str:
    return json.dumps({**settings.model_dump(mode="json"), "catalog_client_secret": None})


def test_a_landing_that_is_killed_again_and_again_ends_with_each_row_once(own: Settings, tmp_path: Path) -> None:
    rows = 120_000
    path = tmp_path / "t_2024-01.parquet"
    expected = write_sample(path, rows=rows, dirty=0.01)
    slow = own.with_changes(rate_limit=30_000)
    for share in (0.0, 0.2, 0.5):
        kill_when(slow, path, lambda events, share=share: events > share * rows)
    [result] = land(own, active_contract(own), str(path))
    assert result.status == "resumed"
    assert (result.events, result.dead_lettered) == (expected.bronze, expected.dead_lettered)
    assert 0 < result.sent < rows * 0.8
    assert landed_rows(own) == rows_of(result, rows)


def test_a_killed_realtime_landing_may_be_completed_as_a_burst(own: Settings, tmp_path: Path) -> None:
    path = tmp_path / "t_2024-01.parquet"
    write_sample(tmp_path / "ordered.parquet", rows=40_000)
    table = pq.read_table(tmp_path / "ordered.parquet")
    # Backwards in time: sorted within a chunk, it goes out in another order than it stands in the file.
    pq.write_table(table.take(pa.array(range(39_999, -1, -1))), path)
    kill_when(
        own.with_changes(generator_mode="realtime", speed_factor=200_000, topic_retention_ms=-1),
        path,
        lambda events: events > 3000,
    )
    [result] = land(own.with_changes(topic_retention_ms=-1), active_contract(own), str(path))
    assert result.status == "resumed"
    assert landed_rows(own) == rows_of(result, 40_000)


def test_a_file_that_was_started_with_other_partitions_is_not_resumed(own: Settings, tmp_path: Path) -> None:
    path = tmp_path / "t_2024-01.parquet"
    write_sample(path, rows=1000)
    land(own.with_changes(max_events=100), active_contract(own), str(path))
    with pytest.raises(ConfigError, match="key_field was PULocationID, is VendorID"):
        land(own.with_changes(key_field="VendorID"), active_contract(own), str(path))
    with pytest.raises(ConfigError, match="has 3 partitions, the settings say 4"):
        land(own.with_changes(topic_partitions=4), active_contract(own), str(path))


def drifted(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    write_sample(path, rows=50)
    pq.write_table(change(pq.read_table(path)), path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            lambda t: t.rename_columns([n.lower() for n in t.column_names]), "was it renamed to vendorid", id="renamed"
        ),
        pytest.param(
            lambda t: t.drop_columns("tpep_pickup_datetime"), "required column tpep_pickup_datetime", id="missing"
        ),
        pytest.param(
            lambda t: t.set_column(16, "total_amount", t["total_amount"].cast(pa.string())),
            "column total_amount is string, expected floating or integer or decimal",
            id="retyped",
        ),
    ],
)
def test_a_changed_file_is_refused_before_the_first_event_of_any_file(
    own: Settings, tmp_path: Path, change: Callable[[pa.Table], pa.Table], reason: str
) -> None:
    write_sample(tmp_path / "a_good_2024-01.parquet", rows=50)
    drifted(tmp_path / "b_2024-02.parquet", change)
    with pytest.raises(InputError, match=reason):
        land(own, active_contract(own), str(tmp_path))
    assert count_messages(own, own.topic or "") == 0


def test_a_file_that_is_not_parquet_is_refused(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "x_2024-01.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        land(own, active_contract(own), str(tmp_path))


def test_an_empty_file_is_landed_with_no_event(own: Settings, tmp_path: Path) -> None:
    write_sample(tmp_path / "x_2024-01.parquet", rows=0)
    assert [(r.status, r.rows) for r in land(own, active_contract(own), str(tmp_path))] == [("landed", 0)]
    assert [r.status for r in land(own, active_contract(own), str(tmp_path))] == ["already_landed"]


def test_an_unreachable_broker_is_named_with_the_remedy(own: Settings, tmp_path: Path) -> None:
    write_sample(tmp_path / "x_2024-01.parquet", rows=10)
    with pytest.raises(UnreachableError, match=r"Kafka broker at 127\.0\.0\.1:1 does not answer") as caught:
        land(own.with_changes(broker_url="127.0.0.1:1"), active_contract(own), str(tmp_path))
    assert "./millrace up" in (caught.value.hint or "")


def test_a_second_landing_waits_for_the_first(own: Settings, tmp_path: Path) -> None:
    write_sample(tmp_path / "x_2024-01.parquet", rows=2000)
    results: list[LandingResult] = []
    failures: list[MillraceError] = []

    def run() -> None:
        try:
            results.extend(land(own, active_contract(own), str(tmp_path)))
        except MillraceError as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(result.status for result in results) == ["already_landed", "landed"]
    assert count_messages(own, own.topic or "") == 2000


def test_a_landing_that_cannot_wait_is_refused_with_the_holder(own: Settings, tmp_path: Path) -> None:
    write_sample(tmp_path / "x_2024-01.parquet", rows=10)
    with (
        hold(own.instance_dir / "locks", "landing.taxi", wait_s=60),
        pytest.raises(BusyError, match=f"in use by process {os.getpid()}"),
    ):
        land(own.with_changes(lock_timeout_s=1), active_contract(own), str(tmp_path))


def test_bad_records_of_the_topic_are_dead_lettered_once(own: Settings) -> None:
    ensure_topics(own, active_contract(own))
    bad = [BadRecord(0, 5, b"\xff", "not UTF-8 text"), BadRecord(2, 7, None, "tombstone")]
    assert dead_letter_records(own, active_contract(own), bad).written == 2
    again = dead_letter_records(own, active_contract(own), [*bad, BadRecord(0, 6, b"x", "not JSON")])
    assert (again.written, again.skipped) == (1, 2)
    letters = {letter.error: letter for letter in read_dead_letters(own, active_contract(own))}
    assert letters["tombstone"].source == {"source.topic": own.topic, "source.partition": "2", "source.offset": "7"}
    assert letters["not UTF-8 text"].row["raw"] == "/w=="


def test_a_range_beyond_the_log_is_refused_at_once(own: Settings) -> None:
    ensure_topics(own, active_contract(own))
    with EventProducer(own) as producer:
        producer.send_one(own.topic or "", 1, b"x", {})
        producer.finish()
    [batch] = read_range(own, own.topic or "", {0: (0, 0), 1: (0, 1)})
    assert (batch.num_rows, batch.column("value").to_pylist()) == (1, [b"x"])
    with pytest.raises(OffsetGapError):
        list(read_range(own, own.topic or "", {1: (0, 2)}))


def test_creating_topics_again_is_harmless(own: Settings) -> None:
    contract = active_contract(own)
    assert [topic.was_created for topic in ensure_topics(own, contract)] == [True, True]
    assert [topic.was_created for topic in ensure_topics(own, contract)] == [False, False]
