"""Events of every kind from one seed, and what the tables must hold of them by the topic alone.

The oracle is plain Python over the records that the broker keeps. It shares no code with the lakehouse.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from orchestration.broker.dead_letters import SOURCE_OFFSET, SOURCE_PARTITION, scan_dead_letters
from orchestration.broker.offsets import log_offsets
from orchestration.broker.read import read_records
from tests.integration.lake import Lake, event

LATE, REFUSED, MALFORMED = 0.05, 0.02, 0.01
"""Shares of late duplicates, of events that break a rule, and of records that break the contract."""
_REACH = 20_000
"""How many keys back a late duplicate may belong to."""
_DAYS = 5
_BAD: tuple[bytes | None, ...] = (
    b"not json",
    b"",
    None,
    b"[1, 2]",
    event(fare_amount="7"),
    event(tpep_pickup_datetime="yesterday"),
    event(trip_distance=True),
)
_RULE = "total_not_positive"

Place = tuple[int, int]
Row = tuple[int, float, date, float]
"""Of a silver row: pickup zone, fare, pickup date, tip. The first three are the key; the tip tells arrivals apart."""


def records(seed: int) -> Iterator[bytes | None]:
    """Yield records for ever: new trips, late duplicates, trips that break a rule, and records that are none."""
    random_ = random.Random(seed)
    trip, number = 0, 0
    while True:
        number += 1
        kind = random_.random()
        if kind < MALFORMED:
            yield random_.choice(_BAD)
            continue
        of = trip
        if trip and kind < MALFORMED + LATE:
            of = random_.randrange(max(trip - _REACH, 0), trip)
        else:
            trip += 1
        yield event(
            PULocationID=1 + of % 260,
            fare_amount=of + 0.25,
            tpep_pickup_datetime=f"2024-01-{1 + of % _DAYS:02d}T08:00:00",
            tip_amount=number / 100,
            total_amount=14.0 if random_.random() >= REFUSED else -1.0,
        )


@dataclass(frozen=True)
class Expected:
    """What the layers must hold."""

    records: int
    bronze: frozenset[Place]
    dead: frozenset[Place]
    silver: frozenset[Row]
    rejected: frozenset[Place]


def expect(lake: Lake) -> Expected:
    """Work out from the topic what each layer must hold."""
    settings, topic = lake.settings, lake.contract.topic
    ranges = {partition: (log.start, log.end) for partition, log in log_offsets(settings, topic).items()}
    bronze: set[Place] = set()
    dead: set[Place] = set()
    rejected: set[Place] = set()
    latest: dict[tuple[int, float, date], tuple[tuple[int, int, int], float]] = {}
    total = 0
    for batch in read_records(settings, topic, ranges):
        for record in batch:
            total += 1
            place = (record.partition, record.offset)
            if record.value in _BAD:
                dead.add(place)
                continue
            bronze.add(place)
            trip = json.loads(record.value or b"")
            if trip["total_amount"] < 0:
                rejected.add(place)
                continue
            key = (trip["PULocationID"], trip["fare_amount"], date.fromisoformat(trip["tpep_pickup_datetime"][:10]))
            arrival = ((record.timestamp_ms, record.offset, record.partition), trip["tip_amount"])
            latest[key] = max(latest.get(key, arrival), arrival)
    silver = frozenset((*key, round(tip, 2)) for key, (_, tip) in latest.items())
    return Expected(total, frozenset(bronze), frozenset(dead), silver, frozenset(rejected))


@dataclass(frozen=True)
class Found:
    """What the layers hold, as counted things: a row that stands twice counts twice."""

    bronze: Counter[Place]
    dead: Counter[Place]
    silver: Counter[Row] = field(default_factory=Counter[Row])
    rejected: Counter[Place] = field(default_factory=Counter[Place])


def read_layers(lake: Lake) -> Found:
    """Read the tables and the dead letters."""
    places = "SELECT _kafka_partition, _kafka_offset FROM {%s}"
    silver = "SELECT pickup_location_id, fare_amount::DOUBLE, pickup_date, tip_amount::DOUBLE FROM {silver}"
    letters = [one for batch in scan_dead_letters(lake.settings, lake.contract) for one in batch]
    return Found(
        bronze=Counter(lake.query(places % "bronze")),
        dead=Counter((int(one.source[SOURCE_PARTITION]), int(one.source[SOURCE_OFFSET])) for one in letters),
        silver=Counter(lake.query(silver)),
        rejected=Counter(lake.query(places % "rejected")),
    )


def violations(expected: Expected, found: Found) -> list[str]:
    """Return each way in which a layer is not what it must be; none: all is exact."""
    layers = (
        ("bronze", expected.bronze, found.bronze),
        ("dead letters", expected.dead, found.dead),
        ("silver", expected.silver, found.silver),
        ("rejected", expected.rejected, found.rejected),
    )
    problems: list[str] = []
    for name, wanted, held in layers:
        ways = {
            "missing": wanted - held.keys(),
            "not expected": held.keys() - wanted,
            "more than once": {one for one, copies in held.items() if copies > 1},
        }
        for way, ones in ways.items():
            if ones:
                problems.append(f"{name}: {len(ones):,} of {len(wanted):,} {way}, such as {sorted(ones, key=str)[:3]}")
    return problems
