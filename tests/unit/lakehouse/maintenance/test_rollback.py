"""Rolling back: refused beside writers, and the next runs make good what went."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from orchestration.catalog import rollback as catalog_rollback
from orchestration.catalog.compact import compact_table
from orchestration.catalog.compaction import SizePolicy
from orchestration.catalog.journal import Journal
from orchestration.catalog.progress import SilverMark, read_mark, write_mark
from orchestration.catalog.snapshots import current_id
from orchestration.errors import ConflictError, NotFoundError
from orchestration.flink.client.models import JobOverview
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.states import Desired, QueryState
from orchestration.lakehouse.maintenance import history, rollback
from orchestration.lakehouse.maintenance.history import list_snapshots
from orchestration.lakehouse.maintenance.needed import Activity, find_writers, writer_lock
from orchestration.lakehouse.maintenance.rollback import roll_back
from orchestration.lakehouse.silver import plan_silver
from orchestration.locking import hold
from orchestration.settings import Settings
from tests.unit.lakehouse.world import World, enter
from tests.unit.tables import append_offsets, bronze_table, silver_table

GOOD = b'{"Zone": 1, "start": "2024-01-05T08:00:00"}'
BRONZE, SILVER, REFUSED = "bronze.raw_rides", "silver.rides", "silver.refused_rides"
QUIET = Activity((), ())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


@pytest.fixture
def catalog(iceberg: Catalog, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.setattr(rollback, "open_catalog", lambda _: iceberg)
    monkeypatch.setattr(history, "open_catalog", lambda _: iceberg)
    monkeypatch.setattr(rollback, "look_around", lambda _: QUIET)
    return iceberg


def job(name: str, job_id: str = "a" * 32) -> JobOverview:
    return JobOverview.model_validate(
        {"jid": job_id, "name": name, "state": "RUNNING", "start-time": 1, "end-time": -1, "duration": 1}
    )


def test_bronze_loads_again_exactly_what_was_rolled_back(
    catalog: Catalog, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(catalog, tmp_path / "world")
    enter(world, monkeypatch)
    for _ in range(3):
        world.send(0, GOOD, GOOD)
        world.send(1, GOOD, None)
        world.run()
    first = list_snapshots(settings, BRONZE)[-1]
    done = roll_back(settings, BRONZE, first.id)
    assert (done.rows_before, done.rows_after) == (9, 3)
    assert done.consequences == (f"the next run loads the records again that {BRONZE} does not hold any more",)
    assert world.run().rows == 6
    assert world.is_complete()
    assert world.run().rows == 0


def test_bronze_that_was_compacted_loads_again_exactly_what_was_rolled_back(
    catalog: Catalog, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(catalog, tmp_path / "world")
    enter(world, monkeypatch)
    for _ in range(6):
        world.send(0, GOOD)
        world.run()
    oldest = list_snapshots(settings, BRONZE)[-1]
    compact_table(catalog.load_table(BRONZE), SizePolicy(), Journal(tmp_path / "journal"))
    assert world.run().rows == 0
    roll_back(settings, BRONZE, oldest.id)
    assert world.run().rows == 5
    assert world.is_complete()


def test_silver_is_rebuilt_after_its_rollback_and_after_that_of_bronze(catalog: Catalog, settings: Settings) -> None:
    bronze, silver = bronze_table(catalog), silver_table(catalog)
    first, second = append_offsets(bronze, (0, 0)), append_offsets(bronze, (0, 1))
    silver.append(silver.schema().as_arrow().empty_table())
    old = current_id(silver)
    silver.append(silver.schema().as_arrow().empty_table())
    assert old is not None
    mark = SilverMark(bronze_snapshot_id=second, snapshot_id=current_id(silver), fingerprint="f")
    write_mark(silver, mark)

    assert roll_back(settings, SILVER, old).consequences == (f"the next refresh rebuilds {SILVER} from bronze",)
    silver.refresh()
    assert plan_silver(bronze, silver, mark, "f", full=False).kind == "rebuild"

    roll_back(settings, SILVER, mark.snapshot_id or 0)
    done = roll_back(settings, BRONZE, first)
    assert done.consequences == (f"the next refresh rebuilds {SILVER}, which was built from later rows",)
    bronze.refresh()
    silver.refresh()
    assert plan_silver(bronze, silver, mark, "f", full=False).kind == "rebuild"


def test_rejected_rows_come_back_with_a_rebuild_of_silver(catalog: Catalog, settings: Settings) -> None:
    silver, refused = silver_table(catalog), catalog.create_table(REFUSED, bronze_table(catalog).schema())
    first, second = append_offsets(refused, (0, 0)), append_offsets(refused, (0, 1))
    write_mark(silver, SilverMark(bronze_snapshot_id=7, rejected_snapshot_id=second, fingerprint="f"))
    done = roll_back(settings, REFUSED, first)
    assert done.consequences == (f"the next refresh rebuilds {SILVER} and {REFUSED} from bronze",)
    assert read_mark(catalog.load_table(SILVER), SilverMark) is None


def test_a_rollback_can_be_undone(catalog: Catalog, settings: Settings) -> None:
    table = bronze_table(catalog)
    first, second = append_offsets(table, (0, 0)), append_offsets(table, (0, 1))
    roll_back(settings, BRONZE, first)
    assert [(view.id, view.is_current, view.is_ancestor) for view in list_snapshots(settings, BRONZE)] == [
        (second, False, False),
        (first, True, True),
    ]
    assert roll_back(settings, BRONZE, second).rows_after == 2


def test_a_table_that_stands_there_already_is_left_alone(catalog: Catalog, settings: Settings) -> None:
    table = bronze_table(catalog)
    only = append_offsets(table, (0, 0))
    location = table.metadata_location
    assert roll_back(settings, BRONZE, only).consequences == ()
    table.refresh()
    assert table.metadata_location == location


def test_unknown_tables_and_snapshots_are_named(catalog: Catalog, settings: Settings) -> None:
    append_offsets(bronze_table(catalog), (0, 0))
    with pytest.raises(NotFoundError, match=r"no table silver\.none"):
        roll_back(settings, "silver.none", 1)
    with pytest.raises(NotFoundError, match=r"bronze\.raw_rides has no snapshot 1") as error:
        roll_back(settings, BRONZE, 1)
    assert error.value.hint == "`millrace snapshots bronze.raw_rides` lists those that it has"


def two_commits(catalog: Catalog) -> tuple[Table, int]:
    table = bronze_table(catalog)
    first = append_offsets(table, (0, 0))
    append_offsets(table, (0, 1))
    return table, first


def test_it_is_refused_while_a_job_writes_the_table_unless_told(
    catalog: Catalog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, first = two_commits(catalog)
    add_by_flink(table, "b" * 32)
    monkeypatch.setattr(rollback, "look_around", lambda _: Activity((job("stream", "b" * 32),), ()))
    before = current_id(table)
    with pytest.raises(ConflictError, match=r"Flink job b+ \(stream, RUNNING\)"):
        roll_back(settings, BRONZE, first)
    table.refresh()
    assert current_id(table) == before
    assert roll_back(settings, BRONZE, first, is_forced=True).after == first


def test_it_is_refused_while_the_cluster_does_not_answer(
    catalog: Catalog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first = two_commits(catalog)
    monkeypatch.setattr(rollback, "look_around", lambda _: Activity(None, ()))
    with pytest.raises(ConflictError, match="does not answer"):
        roll_back(settings, BRONZE, first)


def test_it_is_refused_while_a_batch_run_holds_the_table(catalog: Catalog, settings: Settings) -> None:
    _, first = two_commits(catalog)
    with (
        hold(settings.instance_dir / "locks", BRONZE, wait_s=0),
        pytest.raises(ConflictError, match="is written now"),
    ):
        roll_back(settings, BRONZE, first)


def test_a_commit_meanwhile_is_not_lost(catalog: Catalog, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    table, first = two_commits(catalog)
    update = catalog_rollback.head_update

    def commit_first(*arguments: object) -> object:
        made = update(*arguments)  # pyright: ignore[reportArgumentType]
        append_offsets(table, (0, 2))
        return made

    monkeypatch.setattr(catalog_rollback, "head_update", commit_first)
    with pytest.raises(ConflictError, match="got a new snapshot meanwhile"):
        roll_back(settings, BRONZE, first)
    assert len(catalog.load_table(BRONZE).scan().to_arrow()) == 3


def add_by_flink(table: Table, job_id: str) -> None:
    table.append(table.schema().as_arrow().empty_table(), snapshot_properties={"flink.job-id": job_id})


def test_batch_jobs_of_ours_are_known_by_name(catalog: Catalog, settings: Settings) -> None:
    table = catalog.create_table("silver.rejected_trips", silver_table(catalog).schema())
    running = Activity((job("millrace.silver.taxi"), job("millrace.bronze.taxi"), job("else")), ())
    assert find_writers(settings, table, running) == [f"Flink job {'a' * 32} (millrace.silver.taxi, RUNNING)"]


@pytest.mark.parametrize(
    ("state", "desired", "is_writer"),
    [
        (QueryState.RUNNING, Desired.RUNNING, True),
        (QueryState.LOST, Desired.RUNNING, True),
        (QueryState.FINISHED, Desired.RUNNING, False),
        (QueryState.SUSPENDED, Desired.STOPPED, False),
    ],
)
def test_a_query_that_may_come_back_counts_as_a_writer(
    catalog: Catalog, settings: Settings, state: QueryState, desired: Desired, is_writer: bool
) -> None:
    query = QueryRecord(
        id="1" * 8,
        namespace="default",
        name="taxi",
        owner="me",
        spec=None,
        job_name="default.taxi",
        job_id="e" * 32,
        sinks=(f"lakehouse.{BRONZE}",),
        state=state,
        desired=desired,
    )
    wanted = ["query taxi, which is meant to run"] if is_writer else []
    assert find_writers(settings, bronze_table(catalog), Activity((), (query,))) == wanted


def test_rejected_rows_are_written_under_the_lock_of_silver(settings: Settings) -> None:
    assert writer_lock(settings, "silver.rejected_trips") == "silver.cleaned_trips"
    assert writer_lock(settings, "bronze.raw_trips") == "bronze.raw_trips"
    assert writer_lock(settings, "some.table") == "some.table"


def test_jobs_that_may_come_back_are_known_only_when_both_answer() -> None:
    assert Activity((job("x", "c"),), ()).job_ids == {"c"}
    assert Activity(None, ()).job_ids is None
    assert Activity((), None).job_ids is None


def test_the_history_names_writers_and_holders(catalog: Catalog, settings: Settings, tmp_path: Path) -> None:
    table = bronze_table(catalog)
    for offset in range(5):
        append_offsets(table, (0, offset))
    add_by_flink(table, "d" * 32)
    oldest = list_snapshots(settings, BRONZE)[-1].id
    write_mark(silver_table(catalog), SilverMark(bronze_snapshot_id=oldest, fingerprint="f"))
    compact_table(table, SizePolicy(), Journal(tmp_path / "journal"))
    views = list_snapshots(settings, BRONZE)
    assert [view.operation for view in views] == ["replace", *["append"] * 6]
    assert [view.writer for view in views[:3]] == ["millrace compact", f"flink job {'d' * 32}", ""]
    assert (views[0].held_by, views[-1].held_by) == (("branch main",), ("progress mark of silver.rides",))
    assert (views[0].added_rows, views[0].deleted_rows, views[0].total_rows, views[0].total_files) == (5, 5, 5, 1)
    assert views[0].as_dict()["id"] == str(views[0].id)
    assert views[0].at.tzinfo is UTC
    assert views[0].at <= datetime.now(UTC)
