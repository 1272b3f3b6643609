"""Records that break the contract on the topic: none vanishes, each is a dead letter once, the counts hold."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from orchestration.broker.dead_letters import DeadLetter, read_dead_letters
from orchestration.lakehouse.bronze import BronzeResult
from orchestration.settings import Settings
from orchestration.validation import Result, validate
from tests.integration.lake import Lake, event, make_lake

pytestmark = pytest.mark.stack

CLEAN_ROWS = 400

MALFORMED: tuple[tuple[bytes | None, str], ...] = (
    (b"\x00\x01 no json", "not JSON"),
    (b'{"VendorID": "\xff\xfe"}', "not UTF-8 text"),
    (event(passenger_count="two"), "field passenger_count is not an integer"),
    (event(tpep_pickup_datetime="yesterday"), "field tpep_pickup_datetime is not a date-time"),
    (event(fare_amount=True), "field fare_amount is not a number"),
    (None, "tombstone: the record has no value"),
    (b"null", "JSON, but not an object"),
    (b"[" + event() + b"]", "JSON, but not an object"),
    (b"", "not JSON"),
    (event()[:-1], "not JSON"),
)
"""Ten records and the reason of each."""

FITTING = (
    event(DOLocationID=100, note="a field that nobody knows"),
    event(DOLocationID=101),
)
WITHOUT_PICKUP = b'{"VendorID": 1, "total_amount": 5.0}'
"""A missing field is unknown; the quality rules decide about it."""


def text_of(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


@dataclass(frozen=True)
class Seen:
    """What the checks of the data said at one time."""

    results: list[Result]

    @property
    def failed(self) -> dict[str, Result]:
        """Failed checks by name."""
        return {result.name: result for result in self.results if not result.passed}


@dataclass(frozen=True)
class Story:
    """A clean file, then malformed records of another producer."""

    lake: Lake
    before: Seen
    waiting: Seen
    first: BronzeResult
    after: Seen
    letters: list[DeadLetter]
    second: BronzeResult


def look(lake: Lake) -> Seen:
    return Seen(validate(lake.settings, lake.contract, stages=["jobs", "data"]))


@pytest.fixture(scope="module")
def told(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    lake = make_lake(settings, tmp_path_factory.mktemp("malformed"))
    lake.land(lake.sample("2024-01", CLEAN_ROWS))
    lake.load()
    before = look(lake)
    lake.post([value for value, _ in MALFORMED] + [*FITTING, WITHOUT_PICKUP])
    waiting = look(lake)
    first, _ = lake.load()
    after = look(lake)
    letters = read_dead_letters(lake.settings, lake.contract)
    second, _ = lake.load()
    yield Story(lake, before, waiting, first, after, letters, second)
    lake.drop()


def test_malformed_records_are_dead_lettered_and_the_rest_is_loaded(told: Story) -> None:
    assert (told.first.rows, told.first.dead_lettered) == (3, len(MALFORMED))


def test_each_dead_letter_has_payload_offset_and_reason(told: Story) -> None:
    # Record n went to partition n modulo their number; where it stands there is read back by its payload.
    partitions = told.lake.settings.topic_partitions
    wanted = {(n % partitions, text_of(value), reason) for n, (value, reason) in enumerate(MALFORMED)}
    assert {(letter.row["partition"], letter.row["raw"], letter.error) for letter in told.letters} == wanted
    for letter in told.letters:
        partition, offset = letter.row["partition"], letter.row["offset"]
        assert isinstance(partition, int)
        assert isinstance(offset, int)
        span = told.first.ranges[partition]
        assert span.start <= offset < span.end
        assert (letter.source["source.partition"], letter.source["source.offset"]) == (str(partition), str(offset))


def test_bronze_rows_and_dead_letters_share_no_offset(told: Story) -> None:
    loaded = set(told.lake.query("SELECT _kafka_partition, _kafka_offset FROM {bronze}"))
    dead = {(letter.row["partition"], letter.row["offset"]) for letter in told.letters}
    assert len(dead) == len(MALFORMED)
    assert not loaded & dead


def test_the_counts_hold(told: Story) -> None:
    rows = CLEAN_ROWS + len(FITTING) + 1
    assert told.lake.counts().as_dict() == {
        "produced": rows + len(MALFORMED),
        "dead_lettered": len(MALFORMED),
        "bronze": rows,
        "silver": CLEAN_ROWS + len(FITTING),
        "duplicates": 0,
        "rejected": 1,
    }


def test_a_missing_field_is_unknown_and_judged_by_the_rules(told: Story) -> None:
    assert told.lake.rejected_by() == {"pickup_missing": 1}


def test_a_second_run_dead_letters_nothing_again(told: Story) -> None:
    assert (told.second.rows, told.second.dead_lettered, told.second.jobs) == (0, 0, ())
    assert len(read_dead_letters(told.lake.settings, told.lake.contract)) == len(MALFORMED)


def test_validation_passes_before_any_malformed_record(told: Story) -> None:
    assert told.before.failed == {}


def test_validation_tells_of_records_that_wait_on_the_topic(told: Story) -> None:
    failed = told.waiting.failed["accounting of bronze"]
    assert "13 rows missing" in failed.message
    assert failed.hint is not None
    assert "millrace run" in failed.hint


def test_validation_counts_the_dead_letters_against_the_budget(told: Story) -> None:
    assert set(told.after.failed) == {"dead letters explained"}
    failed = told.after.failed["dead letters explained"]
    assert failed.message == "10 dead letters: 0 reported by landings, 10 others (DLQ_MAX=0)"
    assert failed.detail == "10 records of the topic were malformed"
    assert "DLQ_MAX" in (failed.hint or "")


def test_validation_accepts_them_within_the_budget(told: Story) -> None:
    accepting = told.lake.settings.with_changes(dlq_max=len(MALFORMED))
    assert Seen(validate(accepting, told.lake.contract, stages=["data"])).failed == {}
