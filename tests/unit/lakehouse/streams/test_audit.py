"""What a stream loaded is accounted for after the fact, wherever the audit is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog

from orchestration.broker.offsets import LogRange
from orchestration.catalog.progress import BronzeMark, read_mark
from orchestration.flink.client.rest import FlinkRest
from orchestration.lakehouse import bronze
from tests.unit.lakehouse.world import KilledError, World, enter
from tests.unit.tables import append_offsets, bronze_table
from tests.unit.tiny import tiny_contract

GOOD = b'{"Zone": 1, "start": "2024-01-05T08:00:00"}'
WRONG_TYPE = b'{"Zone": "x"}'
NO_JSON = b"\xff"


@pytest.fixture
def world(iceberg: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(iceberg, tmp_path / "state")
    enter(world, monkeypatch)
    bronze_table(iceberg)
    return world


def stream(world: World, partition: int, *values: bytes | None) -> None:
    """Do what the stream does: a row of each JSON object, whatever its fields."""
    start = len(world.topic[partition])
    world.send(partition, *values)
    rows = [(partition, start + n) for n, value in enumerate(values) if value is not None and value != NO_JSON]
    if rows:
        append_offsets(world.catalog.load_table("bronze.raw_rides"), *rows)


def audit(world: World, settled: dict[int, int] | None = None) -> bronze.AuditResult:
    rest = FlinkRest("http://127.0.0.1:1")
    load = bronze._Load(world.settings, tiny_contract(), rest, world.catalog, bronze.be_silent)
    return load.audit(settled or {})


def mark_of(world: World) -> BronzeMark | None:
    return read_mark(world.catalog.load_table("bronze.raw_rides"), BronzeMark)


def test_a_row_of_a_malformed_record_becomes_a_dead_letter(world: World) -> None:
    stream(world, 0, GOOD, WRONG_TYPE, NO_JSON, GOOD)
    result = audit(world)
    assert (result.dead_lettered, result.removed) == (2, 1)
    assert world.is_complete()
    assert mark_of(world) == BronzeMark(snapshot_id=result.snapshot_id, next_offsets={0: 4, 1: 0}, dead_lettered=2)


def test_what_the_stream_dropped_at_the_end_is_found_by_what_it_settled(world: World) -> None:
    stream(world, 0, GOOD, NO_JSON, None)
    audit(world)
    assert not world.is_complete()
    audit(world, {0: 3})
    assert world.is_complete()
    assert set(world.dead) == {(0, 1), (0, 2)}


def test_a_second_audit_does_nothing(world: World) -> None:
    stream(world, 0, GOOD, WRONG_TYPE)
    audit(world)
    before = world.snapshots(), mark_of(world)
    assert (audit(world).dead_lettered, (world.snapshots(), mark_of(world))) == (0, before)


def test_what_a_landing_checked_is_not_checked_again(world: World) -> None:
    world.vouched = [(0, LogRange(0, 2))]
    stream(world, 0, GOOD, WRONG_TYPE)
    stream(world, 1, WRONG_TYPE)
    audit(world)
    assert set(world.dead) == {(1, 0)}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["dead_letter", "mark"])
def test_an_audit_that_is_cut_off_is_made_again(world: World, step: str, moment: str) -> None:
    stream(world, 0, GOOD, WRONG_TYPE, NO_JSON)
    stream(world, 1, GOOD)
    world.kill = (step, moment)
    with pytest.raises(KilledError):
        audit(world, {0: 3, 1: 1})
    stream(world, 1, WRONG_TYPE, GOOD)
    audit(world, {0: 3, 1: 3})
    assert world.is_complete()
    mark = mark_of(world)
    assert mark is not None
    assert mark.dead_lettered == len(world.dead) == 3


def test_a_batch_load_goes_on_behind_the_audit(world: World) -> None:
    stream(world, 0, GOOD, WRONG_TYPE)
    audit(world)
    world.send(0, GOOD)
    world.send(1, NO_JSON)
    world.run()
    assert world.is_complete()
