"""Replay: dead letters that fit the contract now are produced to the main topic, each once. The letter stays.

What makes it exact, with the lock of the landing held:

1. A replay that was killed is completed in the memory first: the headers of the events behind its start say what it
   sent.
2. `started` is written down with the ends of the main topic, then the first event is sent.
3. `done` is written down, with the letters, after the last acknowledgement.

A letter is skipped if the memory has it. So a kill at any moment leaves either an event that the next replay finds by
its header, or no event. The memory outlives both topics: a replay looks at the topic only behind the start of a killed
one.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain

from orchestration.broker.admin import read_topic_id
from orchestration.broker.dead_letters import SOURCE_TOPIC, DeadLetter, scan_dead_letters
from orchestration.broker.letter_list import EVERY_LETTER, Selection
from orchestration.broker.offsets import LogRange, end_offsets, log_offsets, try_log_offsets
from orchestration.broker.producer import EventProducer
from orchestration.broker.read import Record, read_records
from orchestration.catalog import open_catalog
from orchestration.contracts import DatasetContract
from orchestration.errors import OffsetGapError
from orchestration.generator.replays import Place, Replayed, ReplayEntry, ReplayLog, Topics
from orchestration.generator.resume import wait_until_quiet
from orchestration.lakehouse.refit import LETTER_OFFSET, LETTER_PARTITION, LETTER_TOPIC, Refit, refit
from orchestration.locking import hold
from orchestration.settings import Settings

NOTHING_REPLAYED = Replayed(frozenset(), 0, ())


@dataclass(frozen=True)
class ReplayResult:
    """What a replay did, or with `dry_run` would do.

    Attributes:
        selected: letters that were meant.
        sent: of them, those that were produced now.
        already_replayed: of them, those that an earlier replay had produced.
        left: reason to number of those that still do not fit.
        places: partition and offset of each letter that was sent, in the order of sending.
        recovered: letters that a killed replay had sent and nobody had written down.
    """

    dry_run: bool
    selected: int
    sent: int
    already_replayed: int
    left: Mapping[str, int]
    places: tuple[Place, ...]
    recovered: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return the result as JSON values."""
        return {
            "dry_run": self.dry_run,
            "selected": self.selected,
            "sent": self.sent,
            "already_replayed": self.already_replayed,
            "left": dict(self.left),
            "offsets": [f"{partition}:{offset}" for partition, offset in self.places],
            "recovered": self.recovered,
        }


def replay(
    settings: Settings,
    contract: DatasetContract,
    selection: Selection = EVERY_LETTER,
    *,
    dry_run: bool = False,
    on_wait: Callable[[str], None] | None = None,
) -> ReplayResult:
    """Produce the selected dead letters that fit the contract now to the main topic, each once. Idempotent.

    Args:
        dry_run: send nothing and write nothing down.
        on_wait: called with a sentence if a landing or another replay of the dataset is under way.

    Raises:
        InputError: a topic does not exist.
        BusyError: a landing or another replay of the dataset did not end in time.
        UnreachableError: broker or catalog do not answer.
        ProduceError: not every event was acknowledged. Running it again completes the replay.
        OffsetGapError: retention removed what a killed replay had sent before anybody looked.
    """
    folder, lock = settings.instance_dir / "locks", f"landing.{contract.name}"
    with hold(folder, lock, wait_s=settings.lock_timeout_s, on_wait=on_wait):
        log = ReplayLog(open_catalog(settings))
        topics = _topics(settings, contract)
        known = log.read(topics)
        recovered = _find_sent(settings, known.open)
        if not dry_run:
            for entry in recovered:
                log.append(entry)
        found = frozenset(place for entry in recovered for place in entry.letters)
        run = _Replay(settings, contract, topics, log, known.letters | found, selection)
        result = run.plan() if dry_run else run.send()
    return replace(result, recovered=len(found))


def read_replayed(settings: Settings, contract: DatasetContract) -> Replayed:
    """Return what was replayed so far, by what is written down; nothing without a dead letter topic."""
    if try_log_offsets(settings, contract.dlq_topic) is None:
        return NOTHING_REPLAYED
    return ReplayLog(open_catalog(settings)).read(_topics(settings, contract))


def judge_letter(settings: Settings, contract: DatasetContract, letter: DeadLetter) -> Refit:
    """Return what a replay would make of one letter."""
    [found] = _refit(settings, contract, [letter], partitions=settings.topic_partitions)
    return found


class _Replay:
    """One replay under the lock; `done` are the letters that were replayed before."""

    def __init__(
        self,
        settings: Settings,
        contract: DatasetContract,
        topics: Topics,
        log: ReplayLog,
        done: Set[Place],
        selection: Selection,
    ) -> None:
        self._settings, self._contract, self._topics, self._log = settings, contract, topics, log
        self._done, self._selection = done, selection
        self._selected = self._skipped = 0
        self._left: Counter[str] = Counter()
        self._starts = end_offsets(settings, contract.topic)

    def plan(self) -> ReplayResult:
        """Return what `send` would do."""
        return self._result([one.letter.place for one in self._fitting()], dry_run=True)

    def send(self) -> ReplayResult:
        """Send all that fits."""
        sent: list[Refit] = []
        entry = ReplayEntry(self._topics, str(uuid.uuid4()), "started", self._starts)
        with ExitStack() as stack:
            producer: EventProducer | None = None
            for one in self._fitting():
                if producer is None:
                    self._log.append(entry)
                    producer = stack.enter_context(EventProducer(self._settings))
                headers = one.headers(self._contract.dlq_topic)
                producer.send_one(self._contract.topic, one.partition, one.value, headers, one.key)
                # The payload is on its way; only the place is needed from here on.
                sent.append(replace(one, value=b"", letter=replace(one.letter, row={}, value=None)))
            if producer is not None:
                producer.finish()
                self._log.append(_finished(entry, {one.letter.place: one.letter.is_record for one in sent}))
        return self._result([one.letter.place for one in sent], dry_run=False)

    def _fitting(self) -> Iterator[Refit]:
        """Yield what is to be sent, and count the rest."""
        for letters in scan_dead_letters(self._settings, self._contract):
            selected = [letter for letter in letters if self._selection.takes(letter)]
            new = [letter for letter in selected if letter.place not in self._done]
            self._selected += len(selected)
            self._skipped += len(selected) - len(new)
            for one in _refit(self._settings, self._contract, new, partitions=len(self._starts)):
                if one.fits:
                    yield one
                else:
                    self._left[one.reason or ""] += 1

    def _result(self, places: list[Place], *, dry_run: bool) -> ReplayResult:
        left = dict(self._left.most_common())
        return ReplayResult(dry_run, self._selected, len(places), self._skipped, left, tuple(places))


def _refit(
    settings: Settings, contract: DatasetContract, letters: list[DeadLetter], *, partitions: int
) -> Iterator[Refit]:
    return refit(
        contract,
        letters,
        key_field=settings.key_field or contract.key_field,
        partitions=partitions,
        check_contract=settings.validate_schema,
    )


def _topics(settings: Settings, contract: DatasetContract) -> Topics:
    dead = contract.dlq_topic
    return Topics(contract.name, contract.topic, dead, read_topic_id(settings, dead))


def _find_sent(settings: Settings, open_entries: Iterable[ReplayEntry]) -> list[ReplayEntry]:
    """Return the end of each replay that was killed: what the main topic holds of it."""
    found: list[ReplayEntry] = []
    for entry in open_entries:
        if not found:
            # Requests of the killed producer may still lie in the broker's socket.
            wait_until_quiet(settings, [entry.topics.topic])
        ranges = ranges_since(entry, log_offsets(settings, entry.topics.topic))
        records = chain.from_iterable(read_records(settings, entry.topics.topic, ranges))
        found.append(_finished(entry, dict(find_replayed(entry.topics.dlq_topic, records))))
    return found


def ranges_since(entry: ReplayEntry, logs: Mapping[int, LogRange]) -> dict[int, tuple[int, int]]:
    """Return the offsets of the main topic that may hold events of a replay.

    Raises:
        OffsetGapError: some of them are gone.
    """
    for partition, start in entry.start_offsets.items():
        log = logs.get(partition, LogRange(0, 0))
        if not log.start <= start <= log.end:
            raise OffsetGapError(
                f"partition {partition} of topic {entry.topics.topic} holds offsets {log.start} to {log.end}, and a "
                f"replay that was killed on {entry.recorded_at:%Y-%m-%d %H:%M} started at {start}: what it sent "
                "cannot be told any more",
                hint="use a new DLQ_TOPIC; dead letters of the old one are not replayed any more",
            )
    return {partition: (entry.start_offsets.get(partition, log.start), log.end) for partition, log in logs.items()}


def find_replayed(dlq_topic: str, records: Iterable[Record]) -> Iterator[tuple[Place, bool]]:
    """Yield of each event that is a replay the place of its dead letter, and whether that was a record."""
    wanted = dlq_topic.encode()
    for record in records:
        headers = record.headers
        if headers.get(LETTER_TOPIC) == wanted:
            place = int(headers.get(LETTER_PARTITION) or -1), int(headers.get(LETTER_OFFSET) or -1)
            yield place, SOURCE_TOPIC in headers


def _finished(started: ReplayEntry, letters: Mapping[Place, bool]) -> ReplayEntry:
    return replace(
        started,
        status="done",
        letters=frozenset(letters),
        records=sum(letters.values()),
        recorded_at=datetime.now(UTC),
    )
