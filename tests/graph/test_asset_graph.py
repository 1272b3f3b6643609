"""The code location as it ships: its graph, and that loading it touches nothing outside."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from orchestration.definitions import defs
from orchestration.naming import (
    BATCH_JOB,
    MAINTENANCE_JOB,
    MARTS_JOB,
    RECONCILE_JOB,
    SILVER_JOB,
    STREAM_DEPLOY_JOB,
    STREAM_HEAL_JOB,
    STREAM_STOP_JOB,
)
from tests.graph.graph_text import graph_text

REPO = Path(__file__).resolve().parents[2]
SNAPSHOT = Path(__file__).with_name("asset_graph.txt")

_PROBE = textwrap.dedent(
    """
    import os, socket, sys

    read = []

    class Watched(type(os.environ)):
        def __getitem__(self, key):
            caller = sys._getframe(1)
            while caller.f_code.co_filename.endswith(("os.py", "_collections_abc.py")):
                caller = caller.f_back
            if "orchestration" in caller.f_code.co_filename:
                read.append(key)
            return super().__getitem__(key)

    os.environ.__class__ = Watched

    def refuse(*_, **__):
        raise AssertionError("a socket was opened while definitions loaded")

    socket.socket.connect = refuse
    socket.create_connection = refuse
    import orchestration.definitions as location

    location.defs.get_repository_def().load_all_definitions()
    heavy = {"dbt", "dagster_dbt", "duckdb", "pyiceberg", "confluent_kafka", "pyarrow"} & set(sys.modules)
    assert not read, f"read from the environment: {read}"
    assert not heavy, f"imported while definitions loaded: {sorted(heavy)}"
    """
)


def test_the_graph_is_the_one_that_was_agreed_on() -> None:
    found = graph_text(defs)
    wanted = SNAPSHOT.read_text(encoding="utf-8")
    assert found == wanted, f"if it is meant: python tests/graph/graph_text.py > {SNAPSHOT.relative_to(REPO)}"


def test_definitions_load_without_service_network_or_environment(tmp_path: Path) -> None:
    # The manifest is parsed ahead, which the import above has seen to; parsing needs the environment of a process.
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        cwd=REPO,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_jobs_run_in_one_process_and_nothing_starts_by_itself_but_the_watch_over_streams() -> None:
    repository = defs.get_repository_def()
    jobs = (BATCH_JOB, SILVER_JOB, MARTS_JOB, RECONCILE_JOB, MAINTENANCE_JOB)
    jobs += (STREAM_DEPLOY_JOB, STREAM_STOP_JOB, STREAM_HEAL_JOB)
    assert {repository.get_job(name).executor_def.name for name in jobs} == {"in_process"}
    assert {(one.job_name, one.cron_schedule) for one in repository.schedule_defs} == {
        (SILVER_JOB, "*/15 * * * *"),
        (RECONCILE_JOB, "*/5 * * * *"),
        (MAINTENANCE_JOB, "30 3 * * *"),
    }
    assert {one.default_status.value for one in repository.schedule_defs} == {"STOPPED"}
    assert {
        (one.name, one.targets[0].job_name if one.targets else None, one.default_status.value)
        for one in repository.sensor_defs
    } == {
        ("query_health", RECONCILE_JOB, "STOPPED"),
        ("iceberg_file_counts", MAINTENANCE_JOB, "STOPPED"),
        ("silver_changed", MARTS_JOB, "STOPPED"),
        ("stream_audit", SILVER_JOB, "STOPPED"),
        # These do nothing while no stream is to run, nothing is silent and no mail server is named.
        ("stream_health", STREAM_HEAL_JOB, "RUNNING"),
        ("sensor_heartbeats", None, "RUNNING"),
        ("failed_run_email", None, "RUNNING"),
    }


def test_the_batch_job_deploys_no_query() -> None:
    selected = defs.get_repository_def().get_job(BATCH_JOB).asset_layer.executable_asset_keys
    assert {key.path[0] for key in selected} == {
        "landing",
        "bronze",
        "silver",
        "raw",
        "staging",
        "intermediate",
        "marts",
    }


def test_every_writer_of_a_table_has_a_pool_of_its_own() -> None:
    graph = defs.resolve_asset_graph()
    without = [key.to_user_string() for key in graph.get_all_asset_keys() if not graph.get(key).pools]
    assert without == []
