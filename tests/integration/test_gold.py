"""The whole dbt project on Iceberg: builds in a row, parts of it, kills, refusals, the local target."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.catalog import open_catalog
from orchestration.catalog.rollback import set_head
from orchestration.dbt_plugin.gold import connect_gold
from orchestration.dbt_plugin.runner import DbtRun, run_dbt
from orchestration.errors import ConfigError
from orchestration.lakehouse.freshness import read_layers
from orchestration.lakehouse.maintenance.tables import list_names, load_tables, name_of
from orchestration.settings import Settings
from tests.integration.home import Home, open_home
from tests.integration.silver_rows import SILVER, add_silver, make_silver
from tests.unit.dbt_plugin.mart_sql import EXPECTED, content, prepare

pytestmark = pytest.mark.stack

ROWS, KILLS = 2000, 10
CHAIN = ["int_daily_summary", "fct_trips", "dim_dates", "mart_daily_revenue"]
"""Models that the kills meet: one of each strategy, and a mart behind them."""
WATCHED = ("fct_trips", "mart_daily_revenue")

# Forks a child for each line of stdin that runs dbt and dies by SIGKILL at a statement of a write; importing dbt once
# saves seconds a kill. A line holds the number of the statement, and whether a commit is done before the death.
FORKS = """
import json, os, signal, sys
import dbt.cli.main
from orchestration.dbt_plugin import writer
from orchestration.dbt_plugin.runner import run_dbt
from orchestration.settings import load_settings

real = writer.write_table

def child(at, is_committed):
    left = [at]

    class Cursor:
        def __init__(self, cursor):
            self.cursor = cursor

        def execute(self, sql):
            left[0] -= 1
            if left[0] == 0:
                if sql == "COMMIT" and is_committed:
                    self.cursor.execute(sql)
                os.kill(os.getpid(), signal.SIGKILL)
            return self.cursor.execute(sql)

    writer.write_table = lambda cursor, request, **more: real(Cursor(cursor), request, **more)
    run_dbt(load_settings(), ["run", "--select", *sys.argv[1:]]).require_success()
    return at - left[0]

for line in sys.stdin:
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writes, json.dumps(child(*json.loads(line))).encode())
        os._exit(0)
    os.close(writes)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = os.fdopen(reads).read()
    print(json.dumps([code, json.loads(said or "0")]), flush=True)
"""


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A catalog of its own with a small silver, and gold after the first build."""
    with open_home(settings, tmp_path_factory.mktemp("gold")) as opened:
        with connect_gold(opened.settings, read_only=False) as conn:
            make_silver(conn, opened.folder, ROWS)
        build(opened).require_success()
        yield opened


def build(home: Home, *args: str, **changes: Any) -> DbtRun:
    """Build all or a part, with the tests of data."""
    settings = home.settings.with_changes(**changes) if changes else home.settings
    return run_dbt(settings, ["build", "--exclude-resource-type", "unit_test", *args])


def snapshots(home: Home) -> dict[str, int | None]:
    """Return the current snapshot of every table that dbt writes."""
    tables = load_tables(open_catalog(home.settings))
    return {name_of(one): one.metadata.current_snapshot_id for one in tables if not name_of(one).startswith("silver.")}


def wrong_marts(home: Home) -> list[str]:
    """Return the marts that do not hold what plain SQL computes from silver."""
    with connect_gold(home.settings) as conn:
        prepare(conn, SILVER)
        return [
            mart
            for mart in EXPECTED
            if content(conn, mart, f"from lakehouse.gold.{mart}") != content(conn, mart, EXPECTED[mart])
        ]


def test_a_second_build_writes_nothing_and_is_remembered(home: Home) -> None:
    assert wrong_marts(home) == []
    before, layers = snapshots(home), read_layers(home.settings, home.lake.contract)
    again = build(home)
    again.require_success()
    assert snapshots(home) == before
    assert sum(node.metadata["rows_written"] for node in again.nodes if node.metadata) == 0
    later = read_layers(home.settings, home.lake.contract)
    first, second = layers[-1].committed_at, later[-1].committed_at
    assert first is not None
    assert second is not None
    assert second > first
    assert later[-1].waiting == 0


def test_late_rows_reach_every_mart_by_an_incremental_build(home: Home) -> None:
    with connect_gold(home.settings, read_only=False) as conn:
        added = add_silver(conn, home.folder, 40, "2024-04-02 12:00:00", seed=7)
        conn.execute(f"update {SILVER} set tip_amount = 1, ingestion_ts = timestamp '2024-04-02 12:00:00' "
                     f"where trip_id = (select min(trip_id) from {SILVER})")  # fmt: skip
        conn.execute(f"delete from {SILVER} where pickup_date = date '2024-01-17'")
    assert read_layers(home.settings, home.lake.contract)[-1].waiting != 0
    run = build(home)
    run.require_success()
    assert added > 30
    assert wrong_marts(home) == []


def test_a_silver_that_was_rolled_back_takes_gold_back_with_it(home: Home) -> None:
    silver = open_catalog(home.settings).load_table(SILVER.removeprefix("lakehouse."))
    set_head(silver, silver.snapshots()[0].snapshot_id)
    build(home).require_success()
    assert wrong_marts(home) == []


def test_a_part_can_be_built_without_any_local_state(home: Home) -> None:
    shutil.rmtree(home.settings.instance_dir / "dbt")
    part = build(home, "--select", "mart_daily_revenue", "dim_vendors", "--indirect-selection", "empty")
    assert {node.unique_id for node in part.nodes} == {
        "model.millrace.mart_daily_revenue",
        "model.millrace.dim_vendors",
    }
    part.require_success()
    run_dbt(home.settings, ["test", "--select", "stg_yellow_trips"]).require_success()


def test_the_command_lists_what_can_be_queried(home: Home) -> None:
    listed = home.millrace("duckdb", "--json")
    names = [row["table"] for row in json.loads(listed.out)]
    assert names[:2] == ["lakehouse.gold.dim_dates", "lakehouse.gold.dim_locations"]
    assert SILVER in names


def test_only_declared_tables_and_no_temporary_ones_are_in_the_catalog(home: Home) -> None:
    names = {name for name in list_names(open_catalog(home.settings)) if not name.startswith("silver.")}
    assert {name for name in names if "__" in name} == set()
    assert {name.split(".")[0] for name in names} == {"gold", "intermediate", "raw"}


def test_ten_kills_leave_old_or_new_content_and_the_next_build_succeeds(home: Home) -> None:
    forks = subprocess.Popen(
        [sys.executable, "-c", FORKS, *CHAIN],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(home.environ), cwd=home.settings.repo_root,
    )  # fmt: skip
    assert forks.stdin is not None
    assert forks.stdout is not None

    def die(at: int, *, is_committed: bool) -> tuple[int, int]:
        print(json.dumps([at, is_committed]), file=forks.stdin, flush=True)
        code, statements = json.loads(forks.stdout.readline())
        return code, statements

    def marts() -> tuple[tuple[int, int], ...]:
        with connect_gold(home.settings) as conn:
            return tuple(
                content(conn, name, f"from lakehouse.gold.{name}") for name in ("fct_trips", "mart_daily_revenue")
            )

    def change(number: int) -> None:
        with connect_gold(home.settings, read_only=False) as conn:
            add_silver(conn, home.folder, 40, f"2024-05-{number + 1:02} 12:00:00", seed=100 + number)

    change(0)
    code, statements = die(10**6, is_committed=False)
    assert code == 0
    dice = random.Random(20240101)
    for number in range(1, KILLS + 1):
        change(number)
        before = marts()
        code, _ = die(dice.randint(1, statements), is_committed=number % 2 == 0)
        assert code == -signal.SIGKILL
        after = marts()
        prepared = wrong_marts(home)
        for name, was, now in zip(WATCHED, before, after, strict=True):
            assert now == was or name not in prepared, f"{name} is neither old nor new after kill {number}"
        test_only_declared_tables_and_no_temporary_ones_are_in_the_catalog(home)
    forks.stdin.close()
    assert forks.wait(60) == 0
    forks.stdout.close()
    build(home).require_success()
    assert wrong_marts(home) == []


def test_the_local_target_writes_a_file_and_nothing_to_the_catalog(home: Home, tmp_path: Path) -> None:
    before = snapshots(home)
    local = home.settings.with_changes(
        gold_target="duckdb", state_dir=tmp_path, catalog_uri=home.settings.catalog_uri,
        warehouse=home.settings.warehouse,
    )  # fmt: skip
    run_dbt(local, ["build", "--exclude-resource-type", "unit_test"]).require_success()
    assert snapshots(home) == before
    with duckdb.connect(str(local.gold_path), read_only=True) as conn, connect_gold(home.settings) as iceberg:
        for mart in EXPECTED:
            assert content(conn, mart, f"from marts.{mart}") == content(iceberg, mart, f"from lakehouse.gold.{mart}")


def test_models_that_the_catalog_cannot_hold_are_refused_with_a_way_out(home: Home, tmp_path: Path) -> None:
    shutil.copytree(home.settings.repo_root / "dbt", tmp_path / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    models = tmp_path / "dbt" / "models" / "marts" / "refused"
    models.mkdir()
    config = "contract={'enforced': false}"
    files = {
        "a_view.sql": f"{{{{ config(materialized='view', {config}) }}}} select 1 as n",
        "a_strategy.sql": "{{ config(materialized='incremental', incremental_strategy='sometimes', "
        "contract={'enforced': false}) }} select 1 as n",
        "a_sync.sql": "{{ config(materialized='incremental', on_schema_change='sync_all_columns', "
        "contract={'enforced': false}, unique_key='n') }} select 1 as n",
        "no_key.sql": "{{ config(materialized='iceberg_incremental', incremental_strategy='merge', "
        "contract={'enforced': false}) }} select 1 as n",
        "in_python.py": "def model(dbt, session):\n    dbt.config(materialized='table', contract={'enforced': False})\n"
        "    return session.sql('select 1 as n')\n",
    }
    for name, text in files.items():
        (models / name).write_text(text, encoding="utf-8")
    settings = home.settings.with_changes(
        repo_root=tmp_path, state_dir=home.settings.state_dir, datasets_dir=home.settings.datasets_dir,
        catalog_uri=home.settings.catalog_uri, warehouse=home.settings.warehouse,
    )  # fmt: skip
    run = run_dbt(settings, ["run", "--select", *(Path(name).stem for name in files)])
    said = {node.unique_id.split(".")[2]: node.message or "" for node in run.nodes}
    assert "materialized: table; materialized: ephemeral; or database: local" in said["a_view"]
    assert "incremental_strategy sometimes is refused" in said["a_strategy"]
    assert "sync_all_columns is refused" in said["a_sync"]
    assert "merge needs unique_key" in said["no_key"]
    assert "Python models are refused" in said["in_python"]
    assert not any(name.startswith("gold.a_") for name in list_names(open_catalog(home.settings)))

    shutil.rmtree(models)
    (tmp_path / "dbt" / "models" / "lost.sql").write_text("{{ config(schema='nowhere') }} select 1 as n")
    with pytest.raises(ConfigError, match=r"schema nowhere is no layer.*layers: raw, intermediate, marts"):
        run_dbt(settings, ["run", "--select", "lost"])
