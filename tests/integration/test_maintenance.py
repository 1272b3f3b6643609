"""Maintenance on the real stack: beside writers that never rest, a stream that comes back, kills, and rollbacks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from orchestration.catalog import open_catalog
from orchestration.catalog.files import reachable
from orchestration.catalog.snapshots import ancestry, current_id
from orchestration.dbt_plugin.attach import attach_lakehouse, connect_catalog
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.sessions.session import open_session
from orchestration.flink.text.catalog_sql import create_catalog
from orchestration.lakehouse.maintenance.report import STEPS, Step, TableReport
from orchestration.lakehouse.maintenance.rollback import roll_back
from orchestration.lakehouse.maintenance.run import maintain
from orchestration.settings import Settings
from orchestration.storage import flink_catalog_options
from orchestration.waiting import wait_for
from tests.integration.lake import ENDPOINTS, Lake, await_job, expect, make_lake
from tests.integration.many_commits import Appender, make_rows, make_table

pytestmark = pytest.mark.stack

COMMITS = 500
MILLRACE = (sys.executable, "-m", "orchestration.cli.main")


@pytest.fixture(scope="module")
def catalog(settings: Settings) -> Catalog:
    return open_catalog(settings)


@pytest.fixture(scope="module")
def namespace(catalog: Catalog) -> Iterator[str]:
    """A namespace that is dropped with its tables."""
    name = f"maintenance_{uuid.uuid4().hex[:8]}"
    catalog.create_namespace(name)
    yield name
    for table in catalog.list_tables(name):
        catalog.drop_table(table)
    catalog.drop_namespace(name)


@pytest.fixture(scope="module")
def own(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The stack's settings with locks and journals of their own, and a history as short as it can be."""
    return settings.with_changes(
        state_dir=tmp_path_factory.mktemp("maintenance"),
        warehouse=settings.warehouse,
        iceberg_snapshot_max_age_days=0,
        iceberg_snapshot_retain_last=1,
        **{field: getattr(settings, field) for field in ENDPOINTS},
    )


def own_environ(own: Settings) -> dict[str, str]:
    """Return what makes a command use these settings."""
    return {"MILLRACE_STATE_DIR": str(own.state_dir), "CATALOG_URI": own.catalog_uri, "WAREHOUSE": own.warehouse}


def run(
    settings: Settings, table: str, *steps: Step, is_dry_run: bool = False, now: datetime | None = None
) -> TableReport:
    """Maintain one table."""
    [report] = maintain(settings, steps or STEPS, table=table, is_dry_run=is_dry_run, now=now).tables
    assert report.error is None
    return report


def content(settings: Settings, table: str, below: int = 2**62) -> tuple[int, int, int]:
    """Return rows, distinct ids and a hash of the rows that does not hang on their order, as DuckDB reads them."""
    with connect_catalog(settings) as connection:
        row = connection.execute(
            "SELECT count(*), count(DISTINCT id), bit_xor(hash(id, fare, day)) "
            f"FROM lakehouse.{table} WHERE id < {below}"
        ).fetchone()
    assert row is not None
    return row


def files_of_partitions(table: Table) -> dict[int, int]:
    """Return how many data files each partition has."""
    table.refresh()
    counts: dict[int, int] = {}
    for task in table.scan().plan_files():
        day = task.file.partition[0]
        counts[day] = counts.get(day, 0) + 1
    return counts


def stored(table: Table) -> list[str]:
    """Return all files below the table's folder, but for checksums."""
    root = Path(table.location().removeprefix("file://").removeprefix("file:"))
    return sorted(str(path) for path in root.rglob("*") if path.is_file() and path.suffix != ".crc")


# --- 500 commits and a writer that never rests ------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """What happened to a table of 500 commits."""

    before: tuple[int, int, int]
    during: tuple[int, int, int]
    report: TableReport
    appended: int
    quiet: TableReport
    again: TableReport
    counts: Mapping[int, int]
    after: tuple[int, int, int]
    unknown: list[str]


@pytest.fixture(scope="module")
def told(own: Settings, catalog: Catalog, namespace: str) -> Story:
    name = f"{namespace}.many"
    table, old_rows = make_table(catalog, name, COMMITS), COMMITS * make_rows(0).num_rows
    before = content(own, name, old_rows)
    with Appender(catalog, name, COMMITS) as writer:
        wait_for(lambda: (writer.appended >= 2 or None, writer.error), what="the first appends", timeout_s=30)
        report = run(own, name)
        during = content(own, name, old_rows)
        reached = writer.appended
        wait_for(lambda: (writer.appended > reached or None, writer.error), what="an append after", timeout_s=30)
    assert writer.error is None
    quiet = run(own, name)
    counts = files_of_partitions(table)
    table.refresh()
    unknown = sorted(set(stored(table)) - reachable(table))
    return Story(before, during, report, writer.appended, quiet, run(own, name), counts, content(own, name), unknown)


def test_five_hundred_commits_become_as_few_files_as_the_size_allows(told: Story) -> None:
    compacted = told.report.compact
    assert compacted is not None
    assert compacted.files_before >= 2 * COMMITS
    assert (compacted.added, compacted.conflicts, len(compacted.snapshot_ids)) == (2, 0, 1)
    assert compacted.removed >= 2 * COMMITS
    assert max(told.counts.values()) < 5
    assert set(told.counts) == {0, 1}


def test_the_content_is_the_same_and_the_writers_rows_are_all_there(told: Story) -> None:
    assert told.during == told.before
    rows = (COMMITS + told.appended) * make_rows(0).num_rows
    assert told.after[:2] == (rows, rows)


def test_history_and_its_files_are_gone(told: Story) -> None:
    expired = [one.expire for one in (told.report, told.quiet) if one.expire is not None]
    assert sum(one.snapshots for one in expired) >= COMMITS
    # Of each commit two data files, a manifest and a manifest list.
    assert sum(one.files for one in expired) >= 4 * COMMITS
    assert told.unknown == []


def test_a_run_after_nothing_happened_does_nothing(told: Story) -> None:
    assert not told.again.did_something


# --- orphans ----------------------------------------------------------------------------------------------------------


def test_orphans_are_shown_quarantined_and_deleted(own: Settings, catalog: Catalog, namespace: str) -> None:
    name = f"{namespace}.orphans"
    table = make_table(catalog, name, 3)
    before = content(own, name)
    orphan = Path(table.location().removeprefix("file://"), "data", "day=0", "lost.parquet")
    orphan.write_bytes(b"lost")
    at = datetime.now(UTC) + timedelta(days=3, minutes=1)

    dry = run(own, name, "vacuum", is_dry_run=True, now=at).vacuum
    assert dry is not None
    assert dry.quarantined == (str(orphan),)
    assert orphan.exists()

    moved = run(own, name, "vacuum", now=at).vacuum
    assert moved is not None
    assert moved.quarantined == (str(orphan),)
    [kept] = [path for path in stored(table) if path.endswith("lost.parquet")]
    assert "/quarantine/" in kept

    gone = run(own, name, "vacuum", now=at + timedelta(days=4)).vacuum
    assert gone is not None
    assert gone.deleted == (kept,)
    assert [path for path in stored(table) if "lost" in path] == []
    assert content(own, name) == before


# --- deletes of DuckDB ------------------------------------------------------------------------------------------------


def test_rows_that_duckdb_deleted_are_folded_in(own: Settings, catalog: Catalog, namespace: str) -> None:
    import duckdb

    name = f"{namespace}.deleted"
    with duckdb.connect() as connection:
        attach_lakehouse(connection, own)
        connection.execute(f"CREATE TABLE lakehouse.{name} (id BIGINT, fare DOUBLE, day INTEGER)")
        for first in (0, 100, 200):
            rows = f"SELECT i, i / 4, 0 FROM range({first}, {first + 100}) AS numbers(i)"
            connection.execute(f"INSERT INTO lakehouse.{name} {rows}")
        connection.execute(f"DELETE FROM lakehouse.{name} WHERE id % 3 = 0")
        connection.execute(f"DELETE FROM lakehouse.{name} WHERE id BETWEEN 50 AND 149")
    before = content(own, name)
    done = run(own, name, "compact").compact
    assert done is not None
    assert (done.files_after, done.deletes_removed) == (1, 5)
    assert content(own, name) == before
    assert len(catalog.load_table(name).scan().to_arrow()) == before[0]


# --- a kill -----------------------------------------------------------------------------------------------------------


# Compacts as the command does, and dies beside its first commit.
KILLED = """
import os, signal, sys
from orchestration.catalog.replace import Replacement
from orchestration.cli.main import main

commit, moment = Replacement.commit, sys.argv.pop(1)

def die(self):
    if moment == "after":
        commit(self)
    os.kill(os.getpid(), signal.SIGKILL)

Replacement.commit = die
main()
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_run_leaves_the_rows_and_the_next_one_finishes_its_work(
    own: Settings, catalog: Catalog, namespace: str, environ: dict[str, str], moment: str
) -> None:
    name = f"{namespace}.killed_{moment}"
    table = make_table(catalog, name, 40)
    before = content(own, name)
    journal = own.instance_dir / "maintenance" / f"{name}.jsonl"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, moment, "maintain", "compact", "--table", name],
        env=environ | own_environ(own),
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert journal.exists()
    assert content(own, name) == before

    report = run(own, name)
    assert content(own, name) == before
    assert files_of_partitions(table) == {0: 1, 1: 1}
    table.refresh()
    assert sorted(set(stored(table)) - reachable(table)) == []
    assert not journal.exists()
    assert not run(own, name).did_something
    assert (report.left_over > 0) is (moment == "before")


# --- a stream that comes back -----------------------------------------------------------------------------------------


def start_stream(settings: Settings, rest: FlinkRest, name: str, table: str, savepoint: str | None = None) -> str:
    """Start a job that appends rising ids to a table for ever, with a checkpoint a second; return its id."""
    properties = {
        "parallelism.default": "1",
        "execution.checkpointing.interval": "1s",
        "table.dml-sync": "false",
        "pipeline.name": name,
        **({"execution.state-recovery.path": savepoint} if savepoint else {}),
    }
    init = [
        create_catalog(flink_catalog_options(settings)),
        "CREATE TEMPORARY TABLE source (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '20', "
        "'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '1000000')",
    ]
    path = ".".join(f"`{part}`" for part in ("lakehouse", *table.split(".")))
    insert = f"INSERT INTO {path} SELECT CAST(MOD(id, 2) AS INT), id, CAST(id AS DOUBLE) FROM source"
    with (
        GatewayClient(settings.flink_sql_gateway_url) as gateway,
        open_session(gateway, mode="streaming", properties=properties, init=init, name=name) as session,
    ):
        session.submit(insert).wait_ready()
        return await_job(rest, name).id


def await_commits(table: Table, count: int) -> None:
    """Wait for so many more snapshots."""
    table.refresh()
    first = current_id(table)

    def look() -> tuple[bool | None, object]:
        table.refresh()
        newer = [snapshot.snapshot_id for snapshot in ancestry(table)]
        seen = newer.index(first) if first in newer else len(newer)
        return (seen >= count) or None, seen

    wait_for(look, what=f"{count} commits of the stream", timeout_s=90)


def test_a_stream_goes_on_beside_maintenance_and_comes_back_from_a_savepoint(
    own: Settings, catalog: Catalog, namespace: str, tmp_path: Path
) -> None:
    name, job_name = f"{namespace}.streamed", f"maintenance-{uuid.uuid4().hex[:8]}"
    table = make_table(catalog, name, 0)
    with FlinkRest(own.flink_rest_url) as rest:
        jobs = [start_stream(own, rest, job_name, name)]
        try:
            await_commits(table, 6)
            first = run(own, name)
            await_commits(table, 1)
            savepoint = rest.stop_with_savepoint(jobs[0], target_directory=f"file://{tmp_path}", timeout_s=60)
            for _ in range(5):
                # Five small files of each partition more, so that a compaction stands above the stream's last commit.
                table.refresh()
                table.append(make_rows(10**9))
            second = run(own, name)
            jobs.append(start_stream(own, rest, job_name, name, savepoint))
            await_commits(table, 3)
            third = run(own, name)
            exceptions = rest.job_exceptions(jobs[1])
        finally:
            for job in jobs:
                rest.cancel(job)
    assert first.compact is not None
    assert first.compact.snapshot_ids
    assert exceptions.root is None
    assert second.expire is not None
    assert list(second.expire.held.values()) == [f"last commit of Flink job {jobs[0]}"]
    assert third.error is None
    rows, distinct, _ = content(own, name, below=10**9)
    assert rows == distinct > 0
    with connect_catalog(own) as connection:
        [bounds] = connection.execute(f"SELECT min(id), max(id) FROM lakehouse.{name} WHERE id < {10**9}").fetchall()
    assert bounds == (0, rows - 1)


# --- bronze and silver ------------------------------------------------------------------------------------------------


MONTHS = {"2024-01": 600, "2024-02": 500, "2024-03": 400, "2024-04": 300}


@dataclass(frozen=True)
class Layers:
    """A lake whose tables were maintained and rolled back between its runs."""

    read_after_compaction: int
    kind_after_compaction: str
    compacted_files: int
    held: Mapping[int, str]
    counts: dict[str, dict[str, int]]
    contents: dict[str, tuple[int, int]]
    bronze_rows_again: int
    silver_kind_again: str
    idle: TableReport


@pytest.fixture(scope="module")
def layers(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layers]:
    lake = make_lake(
        settings,
        tmp_path_factory.mktemp("layers"),
        iceberg_snapshot_max_age_days=0,
        iceberg_snapshot_retain_last=1,
    )
    yield tell(lake)
    lake.drop()


def tell(lake: Lake) -> Layers:
    """Load, compact, expire, load, roll back, load."""
    tables, settings = lake.contract.tables, lake.settings
    months = iter(MONTHS.items())

    def load() -> None:
        month, rows = next(months)
        lake.land(lake.sample(month, rows))
        lake.bronze()

    counts: dict[str, dict[str, int]] = {}
    contents: dict[str, tuple[int, int]] = {}

    def note(name: str) -> None:
        counts[name], contents[name] = lake.counts().as_dict(), lake.content()

    load()
    lake.silver()
    load()
    load()
    maintained = run(settings, tables.bronze)
    load()
    refreshed = lake.silver()
    note("refreshed")
    run(settings, tables.silver)
    run(settings, tables.rejected)
    idle = run(settings, tables.silver)
    note("maintained")

    catalog = open_catalog(settings)
    old = ancestry(catalog.load_table(tables.bronze))[-1].snapshot_id
    roll_back(settings, tables.bronze, old)
    again = lake.bronze()
    lake.silver()
    note("bronze rolled back")

    silver = ancestry(catalog.load_table(tables.silver))
    roll_back(settings, tables.silver, silver[-1].snapshot_id)
    redone = lake.silver()
    note("silver rolled back")
    assert maintained.compact is not None
    assert maintained.expire is not None
    return Layers(
        read_after_compaction=refreshed.bronze_rows_read,
        kind_after_compaction=refreshed.kind,
        compacted_files=maintained.compact.files_after,
        held=maintained.expire.held,
        counts=counts,
        contents=contents,
        bronze_rows_again=again.rows,
        silver_kind_again=redone.kind,
        idle=idle,
    )


def test_silver_reads_only_new_bronze_rows_across_a_compaction(layers: Layers) -> None:
    assert layers.compacted_files == 1
    assert layers.kind_after_compaction == "refresh"
    new_rows = sum(MONTHS.values()) - MONTHS["2024-01"]
    # Silver and the rejected rows may each read bronze.
    assert layers.read_after_compaction in (new_rows, 2 * new_rows)
    assert any("progress mark" in holder for holder in layers.held.values())


def test_counts_are_exact_after_maintenance_and_rollbacks(layers: Layers) -> None:
    wanted: dict[str, Any] = expect(sum(MONTHS.values()))
    assert layers.counts == dict.fromkeys(layers.counts, wanted)
    assert len(layers.counts) == 4
    assert len(set(layers.contents.values())) == 1


def test_bronze_loads_again_what_was_rolled_back(layers: Layers) -> None:
    assert 0 < layers.bronze_rows_again < sum(MONTHS.values())


def test_silver_that_was_rolled_back_is_made_anew(layers: Layers) -> None:
    assert layers.silver_kind_again == "rebuild"
    assert not layers.idle.did_something


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_one_document(
    own: Settings, catalog: Catalog, namespace: str, environ: dict[str, str]
) -> None:
    name = f"{namespace}.command"
    make_table(catalog, name, 6)
    ended = subprocess.run(
        [*MILLRACE, "maintain", "all", "--table", name, "--json"],
        env=environ | own_environ(own),
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    [table] = json.loads(ended.stdout)["tables"]
    assert (table["compact"]["removed"], table["compact"]["added"], table["expire"]["snapshots"]) == (12, 2, 0)
