"""The stream of a dataset on the real stack: life cycle, exactness under faults, and where it may start."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.catalog import find_table, open_catalog
from orchestration.contracts.models import QualityRule
from orchestration.embedded.stack import Stack
from orchestration.errors import ConflictError, MillraceError
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.engine import open_engine
from orchestration.flink.queries.states import QueryState
from orchestration.lakehouse.streams.operate import (
    FRESH,
    deploy_stream,
    restart_stream,
    stop_stream,
    upgrade_stream,
)
from orchestration.lakehouse.streams.status import read_status
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for
from tests.integration.lake import Lake, await_slot, event, kill, make_lake

VISIBLE_S = 60.0
"""For one or two checkpoints on a busy machine."""


@pytest.fixture
def lake(settings: Settings, tmp_path: Path) -> Iterator[Lake]:
    made = make_lake(settings, tmp_path, checkpoint_interval_ms=1000, sql_engine_namespace=f"s{tmp_path.name[-8:]}")
    try:
        yield made
    finally:
        with open_engine(made.settings) as engine:
            for record in engine.registry.active():
                engine.delete(record.id, force=True)
        if find_table(open_catalog(settings), made.contract.tables.bronze) is not None:
            made.drop()


def trips(numbers: range) -> list[bytes]:
    """Return one valid trip a number; the same number is the same natural key."""
    return [event(PULocationID=1 + n % 260, fare_amount=n + 0.25) for n in numbers]


def count(lake: Lake, layer: str) -> int:
    if find_table(open_catalog(lake.settings), getattr(lake.contract.tables, layer)) is None:
        return 0
    return lake.query(f"SELECT count(*) FROM {{{layer}}}")[0][0]


def await_rows(lake: Lake, rows: int, layer: str = "bronze", timeout_s: float = VISIBLE_S) -> None:
    """Wait until a layer holds so many rows."""

    def look() -> tuple[bool | None, object]:
        found = count(lake, layer)
        return (True if found >= rows else None), found

    wait_for(look, what=f"{rows} rows in {layer}", timeout_s=timeout_s, backoff=Backoff(0.2, 0.5))
    assert count(lake, layer) == rows


def assert_exact(lake: Lake, rows: int) -> None:
    """Each record of the topic is one row of bronze."""
    assert lake.query("SELECT count(*), count(DISTINCT (_kafka_partition, _kafka_offset)) FROM {bronze}") == [
        (rows, rows)
    ]


def deploy(lake: Lake) -> str:
    return deploy_stream(lake.settings, lake.contract).job_id


def refused(step: Callable[[], object]) -> str:
    with pytest.raises(ConflictError) as caught:
        step()
    return f"{caught.value.message} {caught.value.hint}"


def test_a_stream_is_deployed_adopted_stopped_and_goes_on(lake: Lake) -> None:
    lake.post([*trips(range(100)), *trips(range(10)), event(total_amount=-1)])
    first = deploy_stream(lake.settings, lake.contract)
    await_rows(lake, 111)
    await_rows(lake, 100, "silver")
    assert lake.rejected_by() == {"total_not_positive": 1}
    again = deploy_stream(lake.settings, lake.contract)
    assert (first.action, again.action, again.job_id) == ("started", "adopted", first.job_id)

    with FlinkRest(lake.settings.flink_rest_url) as rest:
        sources = [vertex.name for vertex in rest.job(first.job_id).vertices if "Source: kafka" in vertex.name]
    assert len(sources) == 1, "the topic is decoded once"

    assert "millrace stream stop" in refused(lake.bronze)
    assert "millrace stream stop" in refused(lambda: lake.silver(full_refresh=True))

    stopped = stop_stream(lake.settings, lake.contract)
    assert stopped.state == QueryState.SUSPENDED.value
    lake.post([*trips(range(50, 150)), *trips(range(5))])
    second = deploy_stream(lake.settings, lake.contract)
    assert second.restored_from == stopped.savepoint_path
    await_rows(lake, 216)
    # The state remembers the keys of before the stop.
    await_rows(lake, 150, "silver")
    assert_exact(lake, 216)

    status = read_status(lake.settings, lake.contract)
    assert (status.state, status.is_current, status.owns_tables) == ("RUNNING", True, True)
    assert status.committed[lake.contract.tables.bronze] is not None


def test_batch_and_streaming_take_turns_on_the_same_tables(lake: Lake) -> None:
    lake.post(trips(range(40)))
    lake.load()
    lake.post(trips(range(40, 80)))
    started = deploy_stream(lake.settings, lake.contract)
    assert (started.restored_from, sum(started.start_offsets.values())) == (None, 40)
    await_rows(lake, 80)
    stop_stream(lake.settings, lake.contract)
    lake.post(trips(range(80, 120)))
    lake.load()
    assert_exact(lake, 120)
    assert count(lake, "silver") == 120
    # The savepoint is of before the batch load: restored, the stream would append those records again.
    lake.post(trips(range(120, 130)))
    back = deploy_stream(lake.settings, lake.contract)
    assert back.restored_from is None
    assert any("by other means" in warning for warning in back.warnings)
    await_rows(lake, 130)
    assert_exact(lake, 130)


def test_an_older_savepoint_is_refused_until_the_tables_are_rolled_back(lake: Lake) -> None:
    lake.post([*trips(range(19)), event(total_amount=-1)])
    job = deploy(lake)
    await_rows(lake, 20)
    await_rows(lake, 19, "silver")
    await_rows(lake, 1, "rejected")
    with FlinkRest(lake.settings.flink_rest_url) as rest:
        savepoint = rest.trigger_savepoint(job)
    tables = [find_table(open_catalog(lake.settings), name) for name in lake.contract.tables.model_dump().values()]
    then = {".".join(table.name()): table.current_snapshot() for table in tables if table is not None}
    lake.post(trips(range(20, 50)))
    await_rows(lake, 50)
    await_rows(lake, 49, "silver")
    assert "would skip commits silently" in refused(lambda: restart_stream(lake.settings, lake.contract, savepoint))
    assert read_status(lake.settings, lake.contract).job_id == job, "a refusal leaves the stream alone"

    stop_stream(lake.settings, lake.contract)
    assert "--from fresh" in refused(lambda: restart_stream(lake.settings, lake.contract, savepoint))
    for table in tables:
        snapshot = then[".".join(table.name())] if table is not None else None
        if table is not None and snapshot is not None:
            table.refresh()
            table.manage_snapshots().rollback_to_snapshot(snapshot.snapshot_id).commit()
    restored = restart_stream(lake.settings, lake.contract, savepoint)
    assert restored.restored_from == savepoint
    await_rows(lake, 50)
    await_rows(lake, 49, "silver")
    assert_exact(lake, 50)


MALFORMED: tuple[bytes | None, ...] = (
    b"not json",
    b"",
    None,
    b"[1, 2]",
    b"null",
    event(fare_amount="7"),
    event(PULocationID=8.9),
    event(tpep_pickup_datetime="yesterday"),
    event(passenger_count={"n": 1}),
    event(trip_distance=True),
)


@pytest.mark.parametrize("seed", [1, 2])
def test_batch_and_streaming_end_in_the_same_content(lake: Lake, seed: int) -> None:
    random_ = random.Random(seed)
    keys = [(random_.randrange(1, 264), random_.choice((0.5, 12.34, 1e7, 2.5e-4, 33333333.33))) for _ in range(300)]
    days = [f"2024-01-{random_.randrange(1, 20):02d}T08:00:00" for _ in keys]

    def arrival(number: int) -> bytes:
        zone, fare = keys[number]
        tip = random_.randrange(0, 5000) / 1000  # three digits: silver rounds half up
        total = random_.choice((14.0, 14.0, 14.0, -1.0))
        return event(
            PULocationID=zone,
            fare_amount=fare,
            tip_amount=tip,
            total_amount=total,
            tpep_pickup_datetime=days[number],
            passenger_count=random_.choice((1, 2, None)),
        )

    first = [arrival(number) for number in range(len(keys))]
    late = [arrival(random_.randrange(len(keys))) for _ in range(200)]
    random_.shuffle(late)
    deploy(lake)
    lake.post(first)
    await_rows(lake, len(first))
    lake.silver()
    lake.post([*late[:100], *MALFORMED, *late[100:]])
    # Five of the ten give a row with a NULL where the bad value was.
    await_rows(lake, len(first) + len(late) + 5)
    refreshed = lake.silver()
    assert refreshed.kind == "reconcile"
    assert not refreshed.reason.startswith("0 keys"), "there were late duplicates to mend"
    counts = lake.counts()
    assert all(holds for holds, _ in counts.equations().values()), counts
    assert (counts.dead_lettered, counts.bronze) == (len(MALFORMED), len(first) + len(late))
    assert_exact(lake, len(first) + len(late))
    streamed = lake.content(), lake.rejected_by()
    assert lake.silver().reason == "0 keys and 0 rejected rows were mended"

    stop_stream(lake.settings, lake.contract)
    lake.bronze()
    lake.silver(full_refresh=True)
    assert (lake.content(), lake.rejected_by()) == streamed
    assert lake.counts() == counts


def test_in_streaming_mode_a_batch_run_waits_for_the_stream(lake: Lake) -> None:
    streaming = Lake(lake.settings.with_changes(mode="streaming"), lake.contract, lake.folder)
    streaming.post(trips(range(30)))
    deploy(streaming)
    streaming.post([*trips(range(30, 60)), None])
    loaded = streaming.bronze()
    assert (loaded.total_rows, loaded.dead_lettered) == (60, 1)
    assert streaming.silver().total_rows == 60


def test_a_canceled_job_starts_again_exactly(lake: Lake) -> None:
    lake.post(trips(range(60)))
    job = deploy(lake)
    await_rows(lake, 60)
    with FlinkRest(lake.settings.flink_rest_url) as rest:
        rest.cancel(job)
    lake.post(trips(range(60, 90)))
    fresh = restart_stream(lake.settings, lake.contract, FRESH)
    assert (fresh.restored_from, sum(fresh.start_offsets.values())) == (None, 60)
    await_rows(lake, 90)
    assert_exact(lake, 90)


def test_an_upgrade_that_fails_goes_back_to_the_old_definition(lake: Lake) -> None:
    lake.post(trips(range(30)))
    job = deploy(lake)
    await_rows(lake, 30)
    worse = lake.with_contract(topic=f"{lake.contract.topic}.gone")
    assert "stream upgrade" in refused(lambda: deploy(worse))
    with pytest.raises(MillraceError, match="old definition runs again"):
        upgrade_stream(worse.settings, worse.contract)
    lake.post(trips(range(30, 40)))
    await_rows(lake, 40)

    rules = lake.contract.quality_rules
    stricter = lake.with_contract(quality_rules=(*rules, QualityRule(name="not_cheap", predicate="fare_amount > 1000")))
    upgraded = upgrade_stream(stricter.settings, stricter.contract)
    assert upgraded.action == "upgraded"
    assert upgraded.job_id != job
    lake.post(trips(range(990, 1010)))
    await_rows(lake, 60)
    assert_exact(lake, 60)
    await_rows(lake, 10, "rejected")


def test_a_killed_taskmanager_loses_and_repeats_nothing(lake: Lake, stack: Stack) -> None:
    lake.post(trips(range(500)))
    deploy(lake)
    await_rows(lake, 500)
    lake.post(trips(range(500, 1000)))
    kill(stack, "taskmanager")
    lake.post([*trips(range(1000, 1500)), *trips(range(100))])
    await_slot(stack)
    await_rows(lake, 1600, timeout_s=120)
    assert_exact(lake, 1600)
    lake.silver()
    after_refresh = lake.content()
    assert after_refresh[0] == 1500
    stop_stream(lake.settings, lake.contract)
    lake.silver(full_refresh=True)
    assert lake.content() == after_refresh


def test_a_killed_jobmanager_forgets_the_job_and_a_deploy_brings_it_back(lake: Lake, stack: Stack) -> None:
    lake.post(trips(range(300)))
    job = deploy(lake)
    await_rows(lake, 300)
    kill(stack, "jobmanager")
    lake.post([*trips(range(300, 500)), *trips(range(50))])
    await_slot(stack)
    assert "is meant to run" in refused(lake.bronze), "the stream still owns its tables"
    back = deploy_stream(lake.settings, lake.contract)
    assert back.job_id != job
    assert f"/{job}/chk-" in (back.restored_from or "")
    await_rows(lake, 550)
    await_rows(lake, 500, "silver")
    assert_exact(lake, 550)


def test_the_commands_work_as_processes(lake: Lake, environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli.main", "stream", "status", "--json"],
        env=environ | {"SQL_ENGINE_NAMESPACE": lake.settings.sql_engine_namespace},
        capture_output=True,
        text=True,
        check=True,
    )
    status = json.loads(done.stdout)
    assert (status["name"], status["state"], status["owns_tables"]) == ("taxi_stream", "ABSENT", False)
