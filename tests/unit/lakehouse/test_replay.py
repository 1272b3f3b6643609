"""A replay that is killed at every step, on a broker in memory and a real Iceberg catalog: each letter once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
from pyiceberg.catalog import Catalog

from orchestration.broker.dead_letters import DeadLetter
from orchestration.broker.letter_list import EVERY_LETTER, Selection
from orchestration.broker.offsets import LogRange
from orchestration.broker.read import Record
from orchestration.errors import OffsetGapError
from orchestration.generator.replays import ReplayEntry, ReplayLog, Topics
from orchestration.lakehouse import replay as replaying
from orchestration.lakehouse.replay import ReplayResult, ranges_since, replay
from orchestration.settings import Settings
from tests.unit.letters import event, letter_of_record, letter_of_row
from tests.unit.tiny import tiny_contract

TOPICS = Topics("rides", "rides.raw", "rides.dlq", "id")


class KilledError(Exception):
    """The process ended here."""


class Broker:
    """Both topics in memory. `dies_at`: the step, counted from 1, at which the process ends; 0: never."""

    def __init__(self, catalog: Catalog, state: Path) -> None:
        self.settings = Settings(state_dir=state)
        self.catalog = catalog
        self.letters: list[DeadLetter] = []
        self.records: list[Record] = [Record(0, 0, 0, None, event(), {"source": b"ab/0"})]
        self.steps = self.dies_at = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.dies_at:
            raise KilledError

    def run(self, selection: Selection = EVERY_LETTER, *, dry_run: bool = False) -> ReplayResult:
        self.steps = 0
        return replay(self.settings, tiny_contract(), selection, dry_run=dry_run)

    def replayed(self) -> Counter[int]:
        """Return how often the letter of each offset is on the main topic."""
        headers = [record.headers for record in self.records]
        return Counter(int(one["dead_letter.offset"] or b"") for one in headers if "dead_letter.offset" in one)

    def logs(self, *_: Any) -> dict[int, LogRange]:
        return {0: LogRange(0, len(self.records))}

    def ends(self, *_: Any) -> dict[int, int]:
        return {0: len(self.records)}

    def read(self, _: Any, __: str, ranges: Mapping[int, tuple[int, int]]) -> Iterator[list[Record]]:
        start, end = ranges[0]
        yield self.records[start:end]

    def scan(self, *_: Any) -> Iterator[list[DeadLetter]]:
        yield self.letters[:3]
        yield self.letters[3:]


class Log(ReplayLog):
    """The real memory; the process may end before or after each entry."""

    broker: Broker

    def append(self, entry: ReplayEntry) -> None:
        self.broker.step()
        super().append(entry)
        self.broker.step()


class Producer:
    """Writes at once; the process may end before or after each event."""

    broker: Broker

    def __init__(self, *_: Any) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def send_one(self, _: str, partition: int, value: bytes, headers: Any, key: bytes | None) -> None:
        self.broker.step()
        self.broker.records.append(Record(0, len(self.broker.records), 0, key, value, headers))
        self.broker.step()

    def finish(self) -> None:
        self.broker.step()


@pytest.fixture
def broker(iceberg: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker(iceberg, tmp_path)
    Log.broker = Producer.broker = made
    for name, fake in {
        "open_catalog": lambda *_: iceberg,
        "read_topic_id": lambda *_: "id",
        "wait_until_quiet": lambda *_: None,
        "log_offsets": made.logs,
        "try_log_offsets": made.logs,
        "end_offsets": made.ends,
        "read_records": made.read,
        "scan_dead_letters": made.scan,
        "ReplayLog": Log,
        "EventProducer": Producer,
    }.items():
        monkeypatch.setattr(replaying, name, fake)
    made.letters = [
        letter_of_record(event(), offset=0),
        letter_of_record(b"x", offset=1),
        letter_of_row({"Zone": 1, "start": "2024-01-05T08:00:00"}, offset=2),
        letter_of_row({"Zone": 1, "start": None}, offset=3),
        letter_of_record(event(), offset=4),
    ]
    return made


FITTING = Counter([0, 2, 4])


def test_what_fits_is_sent_and_the_rest_is_counted(broker: Broker) -> None:
    result = broker.run()
    assert (result.selected, result.sent, result.already_replayed) == (5, 3, 0)
    assert result.left == {"not JSON": 1, "start is required and missing": 1}
    assert result.places == ((0, 0), (0, 2), (0, 4))
    assert broker.replayed() == FITTING
    assert ReplayLog(broker.catalog).read(TOPICS).records == 2


def test_a_second_replay_sends_nothing_and_writes_nothing(broker: Broker) -> None:
    broker.run()
    result = broker.run()
    assert (result.sent, result.already_replayed, broker.steps) == (0, 3, 0)
    assert broker.replayed() == FITTING


@pytest.mark.parametrize("step", range(1, 12))
def test_a_replay_that_is_killed_at_any_step_is_completed_with_each_letter_once(broker: Broker, step: int) -> None:
    broker.dies_at = step
    with pytest.raises(KilledError):
        broker.run()
    # The next one is killed too, while it puts right what the first left.
    broker.dies_at = 1
    with pytest.raises(KilledError):
        broker.run()
        raise KilledError
    broker.dies_at = 0
    before = sum(broker.replayed().values())
    result = broker.run()
    assert broker.replayed() == FITTING
    assert result.sent == 3 - before
    assert broker.run().already_replayed == 3
    assert ReplayLog(broker.catalog).read(TOPICS).records == 2


def test_every_step_of_a_replay_was_a_kill(broker: Broker) -> None:
    broker.run()
    assert broker.steps == 11


def test_a_dry_run_changes_nothing(broker: Broker) -> None:
    result = broker.run(dry_run=True)
    assert (result.dry_run, result.sent, result.places) == (True, 3, ((0, 0), (0, 2), (0, 4)))
    assert broker.steps == 0
    assert broker.replayed() == Counter()


def test_a_dry_run_after_a_kill_knows_what_was_sent(broker: Broker) -> None:
    broker.dies_at = 5
    with pytest.raises(KilledError):
        broker.run()
    broker.dies_at = 0
    result = broker.run(dry_run=True)
    assert (result.sent, result.already_replayed, result.recovered) == (2, 1, 1)
    assert broker.steps == 0


def test_selected_letters_alone_are_sent(broker: Broker) -> None:
    result = broker.run(Selection(places=frozenset({(0, 4), (0, 1)})))
    assert (result.selected, result.sent, result.left) == (2, 1, {"not JSON": 1})
    assert broker.replayed() == Counter([4])
    assert broker.run(Selection("missing")).sent == 1
    assert broker.run().sent == 1
    assert broker.replayed() == FITTING


@pytest.mark.parametrize(
    "log", [pytest.param(LogRange(6, 9), id="retention"), pytest.param(LogRange(0, 4), id="created anew")]
)
def test_a_killed_replay_whose_events_are_gone_is_an_error(log: LogRange) -> None:
    entry = ReplayEntry(TOPICS, "r1", "started", {0: 5})
    with pytest.raises(OffsetGapError, match="a replay that was killed"):
        ranges_since(entry, {0: log})
    assert ranges_since(entry, {0: LogRange(5, 9), 1: LogRange(2, 3)}) == {0: (5, 9), 1: (2, 3)}
