"""Dead letters on the real stack: listed, shown, replayed exactly once under a corrected contract; the counts hold."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pytest

from orchestration.broker.dead_letters import DeadLetter, scan_dead_letters
from orchestration.broker.letter_list import EVERY_LETTER, LetterList, Selection, list_letters
from orchestration.broker.offsets import log_offsets
from orchestration.broker.read import read_records
from orchestration.generator.land import LandingResult
from orchestration.lakehouse.counts import Counts
from orchestration.lakehouse.facts import count_reported
from orchestration.lakehouse.refit import LETTER_OFFSET, LETTER_PARTITION, LETTER_TOPIC
from orchestration.lakehouse.replay import ReplayResult, read_replayed, replay
from orchestration.settings import Settings
from orchestration.validation import Result, validate
from tests.integration.lake import Lake, event, make_lake

pytestmark = [pytest.mark.stack, pytest.mark.fault]

ROWS, DIRTY = 3000, 0.1
MALFORMED = (b"\x00 no json", b'{"VendorID": "\xff"}', None, b"null", b"[1]", b"", event()[:-1], b"3", b'"x"', b"{,}")
NOT_WHOLE = "field passenger_count is not an integer"
HALVES = tuple(event(passenger_count=number + 0.5, DOLocationID=300 + number) for number in range(3))
"""Wrong now; they fit once the field is a number, of which bronze keeps the whole part."""
HOPELESS = (event(PULocationID="two"), event(fare_amount=True))
NO_TIME = "tpep_pickup_datetime is required and missing"

CHILD = """
import os, signal, sys
from orchestration.broker import producer
from orchestration.contracts import DatasetContract
from orchestration.generator import replays
from orchestration.lakehouse.replay import replay
from orchestration.settings import Settings

settings, contract = Settings.model_validate_json(sys.argv[1]), DatasetContract.model_validate_json(sys.argv[2])
sends = int(sys.argv[3])
send_one = producer.EventProducer.send_one

def send_and_die(self, *arguments, **named):
    if self.sent == sends:
        self._producer.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    send_one(self, *arguments, **named)

def die(self):
    self._producer.flush()
    os.kill(os.getpid(), signal.SIGKILL)

if sends >= 0:
    producer.EventProducer.send_one = send_and_die
elif sends == -1:
    producer.EventProducer.finish = die
print(replay(settings, contract).sent)
"""
NEVER = -2
BEFORE_DONE = -1


@dataclass
class Story:
    """A dirty file and a foreign producer under the contract as it is, then replays under a looser one."""

    lake: Lake
    loose: Lake
    landed: LandingResult
    counts: dict[str, Counts] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    failed: dict[str, dict[str, Result]] = field(default_factory=dict)
    killed: list[int] = field(default_factory=list)
    after_kills: list[int] = field(default_factory=list)
    replays: dict[str, ReplayResult] = field(default_factory=dict)
    at_once: list[int] = field(default_factory=list)

    @property
    def dirty_rows(self) -> int:
        return sum(letter.error == NO_TIME for letter in self.letters)

    @property
    def fitting(self) -> int:
        return self.dirty_rows + len(HALVES)


def loosened(lake: Lake) -> Lake:
    """Return the lake under a contract that takes rows without a pickup time, and any number of passengers."""
    changes = {
        "tpep_pickup_datetime": {"is_required": False},
        "passenger_count": {"json_type": "number"},
    }
    columns = tuple(column.model_copy(update=changes.get(column.name, {})) for column in lake.contract.columns)
    return lake.with_contract(columns=columns)


def all_letters(lake: Lake) -> list[DeadLetter]:
    return list(chain.from_iterable(scan_dead_letters(lake.settings, lake.contract)))


def listed(lake: Lake, selection: Selection = EVERY_LETTER, limit: int = 5) -> LetterList:
    replayed = read_replayed(lake.settings, lake.contract).letters
    return list_letters(all_letters(lake), selection, limit, replayed)


def replayed_places(lake: Lake) -> Counter[tuple[int, int]]:
    """Return how often each dead letter is on the main topic, by the headers."""
    topic = lake.contract.topic
    ranges = {partition: (log.start, log.end) for partition, log in log_offsets(lake.settings, topic).items()}
    headers = [record.headers for batch in read_records(lake.settings, topic, ranges) for record in batch]
    return Counter(
        (int(one[LETTER_PARTITION] or b""), int(one[LETTER_OFFSET] or b""))
        for one in headers
        if one.get(LETTER_TOPIC) == lake.contract.dlq_topic.encode()
    )


def start_child(lake: Lake, sends: int) -> subprocess.Popen[str]:
    contract = lake.contract.model_dump_json(by_alias=True)
    settings = json.dumps({name: getattr(lake.settings, name) for name in lake.settings.model_fields_set}, default=str)
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, settings, contract, str(sends)], stdout=subprocess.PIPE, text=True
    )


def run_child(lake: Lake, sends: int) -> int:
    child = start_child(lake, sends)
    child.communicate(timeout=120)
    return child.returncode


def data_failures(lake: Lake, dlq_max: int = 0) -> dict[str, Result]:
    results = validate(lake.settings.with_changes(dlq_max=dlq_max), lake.contract, stages=["data"])
    return {result.name: result for result in results if not result.passed}


@pytest.fixture(scope="module")
def told(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    lake = make_lake(settings, tmp_path_factory.mktemp("dlq"))
    story = Story(lake, loosened(lake), lake.land(lake.sample("2024-01", ROWS, DIRTY)))
    lake.post([*MALFORMED, *HALVES, *HOPELESS])
    lake.load()
    story.letters, story.counts["before"] = all_letters(lake), lake.counts()
    story.replays["strict"] = replay(lake.settings, lake.contract)
    loose = story.loose
    story.replays["dry"] = replay(loose.settings, loose.contract, dry_run=True)
    for sends in (0, 4, BEFORE_DONE):
        story.killed.append(run_child(loose, sends))
        story.after_kills.append(sum(replayed_places(loose).values()))
    story.replays["last"] = replay(loose.settings, loose.contract)
    story.replays["again"] = replay(loose.settings, loose.contract)
    story.counts["waiting"] = loose.counts()
    loose.load()
    story.counts["after"], story.failed["after"] = loose.counts(), data_failures(loose)
    story.failed["accepted"] = data_failures(loose, dlq_max=len(MALFORMED) + len(HOPELESS))
    yield story
    lake.drop()


def test_the_list_has_every_class_with_its_count(told: Story) -> None:
    found = listed(told.lake)
    assert found.classes() == {
        "tombstone": 1,
        "malformed": len(MALFORMED) - 1,
        "wrong_type": len(HALVES) + len(HOPELESS),
        "missing": sum("is required and missing" in letter.error for letter in told.letters),
        "out_of_range": sum("is not a finite number" in letter.error for letter in told.letters),
    }
    assert found.letters == len(MALFORMED) + len(HALVES) + len(HOPELESS) + told.landed.dead_lettered
    assert len(found.newest) == 5
    assert found.newest[0].at >= found.newest[-1].at


def test_a_reason_selects(told: Story) -> None:
    found = listed(told.lake, Selection("passenger_count is not"))
    assert [(one.reason, one.letters) for one in found.reasons] == [(NOT_WHOLE, len(HALVES))]


def test_a_letter_has_the_payload_byte_for_byte(told: Story) -> None:
    sent = Counter([*MALFORMED, *HALVES, *HOPELESS])
    assert Counter(letter.payload for letter in told.letters if letter.is_record) == sent


def test_under_the_same_contract_nothing_is_replayed(told: Story) -> None:
    result = told.replays["strict"]
    assert (result.selected, result.sent) == (len(told.letters), 0)
    assert sum(result.left.values()) == len(told.letters)


def test_a_dry_run_names_what_fits_and_sends_nothing(told: Story) -> None:
    assert told.replays["dry"].sent == told.fitting > 10
    assert told.killed == [-signal.SIGKILL] * 3
    assert told.after_kills[0] == 0


def test_a_replay_that_is_killed_at_any_moment_is_completed_with_each_letter_once(told: Story) -> None:
    assert told.after_kills == [0, 4, told.fitting]
    last = told.replays["last"]
    assert (last.sent, last.recovered) == (0, told.fitting - 4)
    fitting = {letter.place for letter in told.letters if letter.error in (NO_TIME, NOT_WHOLE)}
    assert replayed_places(told.loose) == Counter(fitting)


def test_a_second_replay_sends_nothing_and_counts_what_is_left(told: Story) -> None:
    again = told.replays["again"]
    assert (again.sent, again.recovered, again.already_replayed) == (0, 0, told.fitting)
    assert sum(again.left.values()) == len(told.letters) - told.fitting
    assert again.left["field PULocationID is not an integer"] == 1


def test_the_accounting_holds_after_a_replay(told: Story) -> None:
    before, waiting, after = (told.counts[name] for name in ("before", "waiting", "after"))
    assert all(holds for holds, _ in before.equations().values())
    assert all(holds for holds, _ in after.equations().values())
    # A replayed event is produced once more; its letter stays.
    assert waiting.produced == after.produced == before.produced + told.fitting
    assert after.dead_lettered == before.dead_lettered == len(told.letters)
    assert after.bronze == before.bronze + told.fitting


def test_rows_that_a_rule_refuses_are_rejected_after_their_replay(told: Story) -> None:
    before, after = told.counts["before"], told.counts["after"]
    assert after.rejected - before.rejected == told.dirty_rows
    assert told.loose.rejected_by()["pickup_missing"] >= told.dirty_rows
    halves = "SELECT passenger_count FROM {bronze} WHERE DOLocationID BETWEEN 300 AND 302 ORDER BY DOLocationID"
    assert told.loose.query(halves) == [(0,), (1,), (2,)]


def test_validation_counts_what_is_left_against_the_budget(told: Story) -> None:
    assert set(told.failed["after"]) == {"dead letters explained"}
    assert f"15 others, {len(HALVES)} of them replayed" in told.failed["after"]["dead letters explained"].message
    assert told.failed["accepted"] == {}
    settled = count_reported(told.loose.settings, told.loose.contract)
    assert told.counts["after"].dead_lettered - settled == len(MALFORMED) + len(HOPELESS)


def test_two_replays_at_once_send_each_letter_once(told: Story) -> None:
    told.lake.post([event(passenger_count=1.5, DOLocationID=400 + number) for number in range(20)])
    told.lake.bronze()
    children = [start_child(told.loose, NEVER) for _ in range(2)]
    sent = [int(child.communicate(timeout=120)[0]) for child in children]
    assert sorted(sent) == [0, 20]
    assert max(replayed_places(told.loose).values()) == 1


def test_chosen_letters_alone_are_replayed(told: Story, tmp_path: Path) -> None:
    told.lake.post([event(passenger_count=1.5, DOLocationID=500 + number) for number in range(3)])
    told.lake.bronze()
    new = sorted({letter.place for letter in all_letters(told.lake)} - set(replayed_places(told.lake)))[-3:]
    loose = told.loose
    result = replay(loose.settings, loose.contract, Selection(places=frozenset(new[1:2])))
    assert (result.selected, result.places) == (1, (new[1],))
