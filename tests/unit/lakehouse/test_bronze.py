"""Bronze holds each record once, wherever a run is cut off; what cannot become a row is a dead letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog

from orchestration.catalog.progress import BronzeMark, read_mark
from orchestration.errors import OffsetGapError
from tests.unit.lakehouse.world import KilledError, World, enter
from tests.unit.tables import roll_back

GOOD = b'{"Zone": 1, "start": "2024-01-05T08:00:00"}'
WRONG_TYPE = b'{"Zone": "x"}'
ONLY_FLINK_REFUSES = b'{"unknown": NaN}'
NO_JSON = b"\xff"
TOMBSTONE = None


@pytest.fixture
def world(iceberg: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(iceberg, tmp_path / "state")
    enter(world, monkeypatch)
    return world


def mark_of(world: World) -> BronzeMark:
    mark = read_mark(world.catalog.load_table("bronze.raw_rides"), BronzeMark)
    assert mark is not None
    return mark


def test_each_record_becomes_one_row(world: World) -> None:
    world.send(0, GOOD, GOOD, GOOD)
    world.send(1, GOOD)
    result = world.run()
    assert (result.rows, result.total_rows, result.dead_lettered) == (4, 4, 0)
    assert world.rows() == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert mark_of(world).next_offsets == {0: 3, 1: 1}


def test_rerunning_bronze_adds_no_row_no_snapshot_and_no_job(world: World) -> None:
    world.send(0, GOOD, WRONG_TYPE)
    world.run()
    before = world.snapshots(), world.jobs, world.catalog.load_table("bronze.raw_rides").metadata_location
    result = world.run()
    assert (result.rows, result.dead_lettered) == (0, 0)
    assert (world.snapshots(), world.jobs, world.catalog.load_table("bronze.raw_rides").metadata_location) == before


def test_a_later_run_reads_only_what_came_since(world: World) -> None:
    world.send(0, GOOD)
    world.run()
    world.send(0, GOOD)
    world.send(1, GOOD)
    result = world.run()
    assert result.rows == 2
    assert {p: (span.start, span.end) for p, span in result.ranges.items()} == {0: (1, 2), 1: (0, 1)}
    assert world.is_complete()


def test_an_empty_topic_makes_no_table(world: World) -> None:
    result = world.run()
    assert (result.rows, result.snapshot_id, world.jobs) == (0, None, 0)


@pytest.mark.parametrize("bad", [WRONG_TYPE, ONLY_FLINK_REFUSES, NO_JSON, TOMBSTONE], ids=repr)
def test_a_bad_record_is_dead_lettered_and_the_others_land(world: World, bad: bytes | None) -> None:
    world.send(0, GOOD, bad, GOOD)
    result = world.run()
    assert (result.rows, result.dead_lettered) == (2, 1)
    assert world.is_complete()
    assert mark_of(world).dead_lettered == 1


# A landing vouches for the types of what it sent; what is no JSON object cannot pass even so.
@pytest.mark.parametrize("bad", [ONLY_FLINK_REFUSES, NO_JSON, TOMBSTONE], ids=repr)
def test_a_record_among_vouched_ones_that_does_not_parse_is_dead_lettered_too(world: World, bad: bytes | None) -> None:
    world.send(0, GOOD, bad, GOOD)
    world.vouched = [(0, world.log_offsets()[0])]
    result = world.run()
    assert (result.rows, result.dead_lettered) == (2, 1)
    assert world.is_complete()


@pytest.mark.parametrize("bad", [WRONG_TYPE, ONLY_FLINK_REFUSES, NO_JSON, TOMBSTONE], ids=repr)
def test_a_topic_that_holds_only_bad_records_is_accounted_for(world: World, bad: bytes | None) -> None:
    world.send(0, bad, bad)
    assert world.run().dead_lettered == 2
    assert mark_of(world).next_offsets == {0: 2, 1: 0}
    world.send(0, bad)
    assert world.run().dead_lettered == 1
    assert (mark_of(world).dead_lettered, world.is_complete()) == (3, True)


def test_only_bad_records_after_good_ones_are_accounted_for(world: World) -> None:
    world.send(0, GOOD)
    world.run()
    world.send(0, WRONG_TYPE, NO_JSON)
    result = world.run()
    assert (result.rows, result.dead_lettered) == (0, 2)
    assert (mark_of(world).dead_lettered, world.is_complete()) == (2, True)


STEPS = [(name, moment) for name in ("dead_letter", "insert", "mark") for moment in ("before", "after")]


@pytest.mark.parametrize("tail", [GOOD, WRONG_TYPE, TOMBSTONE], ids=["good at the end", "bad at the end", "tombstone"])
@pytest.mark.parametrize("has_history", [False, True], ids=["first load", "later load"])
@pytest.mark.parametrize("kill", STEPS, ids=[" ".join(step) for step in STEPS])
def test_a_run_killed_anywhere_loses_and_duplicates_nothing(
    world: World, kill: tuple[str, str], has_history: bool, tail: bytes | None
) -> None:
    if has_history:
        world.send(0, GOOD, NO_JSON)
        world.send(1, GOOD)
        world.run()
    world.send(0, GOOD, WRONG_TYPE, GOOD)
    world.send(1, GOOD, TOMBSTONE, tail)
    world.kill = kill
    with pytest.raises(KilledError):
        world.run()
    world.run()
    assert world.is_complete()
    assert mark_of(world).dead_lettered == len(world.dead)
    jobs = world.jobs
    assert world.run().rows == 0
    assert world.jobs == jobs


def test_a_killed_run_and_records_that_came_after_it_are_loaded_together(world: World) -> None:
    world.send(0, GOOD, WRONG_TYPE)
    world.kill = ("insert", "after")
    with pytest.raises(KilledError):
        world.run()
    world.send(0, GOOD)
    world.send(1, WRONG_TYPE, GOOD)
    world.run()
    assert world.is_complete()
    assert mark_of(world).dead_lettered == 2


def test_a_rolled_back_table_is_loaded_again_from_where_it_stands(world: World) -> None:
    world.send(0, GOOD, WRONG_TYPE)
    first = world.run().snapshot_id
    assert first is not None
    world.send(0, GOOD, NO_JSON)
    world.send(1, GOOD)
    world.run()
    roll_back(world.catalog.load_table("bronze.raw_rides"), first)
    assert world.run().rows == 2
    assert world.is_complete()
    assert mark_of(world).dead_lettered == 2


def test_records_that_retention_took_before_they_were_loaded_are_an_error(world: World) -> None:
    world.send(0, GOOD)
    world.run()
    world.send(0, GOOD, GOOD)
    world.starts = {0: 2}
    with pytest.raises(OffsetGapError, match="removed offsets 1 to 1"):
        world.run()
    assert world.rows() == [(0, 0)]


def test_retention_of_loaded_records_changes_nothing(world: World) -> None:
    world.send(0, GOOD, GOOD)
    world.run()
    world.starts = {0: 2}
    world.send(0, GOOD)
    assert world.run().rows == 1
    assert world.is_complete()
