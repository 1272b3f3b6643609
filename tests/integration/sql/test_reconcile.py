"""Repairs on the real cluster: killed processes, a lost registry, several processes at once, a restarted cluster."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestration.embedded.stack import Stack
from orchestration.errors import UnreachableError
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.jobs.wait import cancel_job, find_live_jobs
from orchestration.flink.queries.names import fixed_job_id
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import Desired, QueryState
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for

S = QueryState

NUMBERS = """CREATE TEMPORARY TABLE numbers (id BIGINT) WITH (
    'connector' = 'datagen', 'rows-per-second' = '5',
    'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '1000000'
)"""

PROGRAM = """
import os
from orchestration.errors import MillraceError
from orchestration.flink.engine import open_engine
from orchestration.flink.queries import start, stop
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.client.rest import FlinkRest
from orchestration.settings import load_settings

engine = open_engine(load_settings())
spec = QuerySpec.model_validate_json({spec!r})
{body}
"""
"""What a process of its own does with an engine; `{body}` may end it at once with os._exit, as kill -9 would."""

KILLED = 9


@dataclass
class Bench:
    """One query in a namespace and registry of its own."""

    settings: Settings
    environ: dict[str, str]
    engine: SqlEngine
    spec: QuerySpec

    @property
    def record(self) -> QueryRecord:
        """The one record that there is."""
        (found,) = self.engine.registry.all()
        return found

    def live_jobs(self) -> list[str]:
        """Ids of the live jobs of this namespace."""
        return [
            job.id
            for job in self.engine.rest.jobs_overview()
            if job.name.startswith(f"{self.settings.sql_engine_namespace}.") and job.state in ("RUNNING", "RESTARTING")
        ]

    def start(self, body: str) -> subprocess.Popen[str]:
        """Start a process that does `body`."""
        program = PROGRAM.format(spec=self.spec.model_dump_json(), body=body)
        return subprocess.Popen(
            [sys.executable, "-c", program],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_killed(self, body: str) -> None:
        """Have a process do `body` until it kills itself."""
        process = self.start(body)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == KILLED, errors

    def deploy(self) -> QueryRecord:
        self.engine.deploy(self.spec, stable_for_s=1)
        return self.record

    def wait_for_checkpoint(self) -> str:
        """Return the path of the job's first checkpoint."""
        job_id = self.record.job_id or ""

        def look() -> tuple[str | None, object]:
            done = self.engine.rest.checkpoints(job_id).latest.completed
            return (done.path if done else None), done

        return wait_for(look, what="a checkpoint", timeout_s=30, backoff=Backoff(0.2, 0.5))


@pytest.fixture
def bench(settings: Settings, environ: dict[str, str], tmp_path: Path) -> Iterator[Bench]:
    """A query that counts up into nothing, with a checkpoint a second; its jobs are canceled afterwards."""
    namespace, registry = f"rec-{uuid.uuid4().hex[:6]}", tmp_path / "registry" / "queries.sqlite"
    changed = settings.with_changes(sql_engine_registry=str(registry), sql_engine_namespace=namespace)
    spec = QuerySpec.model_validate(
        {
            "name": "Count up",
            "query": "SELECT id FROM numbers",
            "inputs": [NUMBERS],
            "sink": {"profile": "blackhole"},
            "parallelism": 1,
            "checkpoint_interval": "1 s",
        }
    )
    child = environ | {"SQL_ENGINE_REGISTRY": str(registry), "SQL_ENGINE_NAMESPACE": namespace}
    with open_engine(changed) as engine:
        made = Bench(changed, child, engine, spec)
        try:
            yield made
        finally:
            for job_id in made.live_jobs():
                cancel_job(engine.rest, job_id)


# --- a lost registry --------------------------------------------------------------------------------------------------


def test_a_query_reappears_after_its_registry_was_deleted(bench: Bench) -> None:
    before = bench.deploy()
    database = Path(bench.settings.sql_engine_registry or "")
    for file in database.parent.iterdir():
        file.unlink()
    with open_engine(bench.settings) as engine:
        assert engine.registry.all() == []
        (repair,) = engine.recover()
        (found,) = engine.registry.all()
        assert (repair.action, repair.after) == ("adopt", S.RUNNING)
        assert (found.id, found.job_id, found.job_name) == (before.id, before.job_id, before.job_name)
        assert (found.name, found.state, found.generation, found.attempt) == ("count_up", S.RUNNING, 1, 1)
        assert engine.recover() == engine.reconcile() == []
        (view,) = engine.list()
        assert (view.id, view.state, view.job_state) == (before.id, S.RUNNING, "RUNNING")
        assert engine.delete(found.id).changed
        assert bench.live_jobs() == []


# --- killed processes -------------------------------------------------------------------------------------------------


def test_a_deploy_killed_after_its_insert_is_one_record_and_one_job(bench: Bench) -> None:
    bench.run_killed(
        "submit = start.submit_job\n"
        "def killed(*args, **kwargs):\n"
        "    submit(*args, **kwargs)\n"
        f"    os._exit({KILLED})\n"
        "start.submit_job = killed\n"
        "engine.deploy(spec)\n"
    )
    left = bench.record
    assert (left.state, left.job_id) == (S.DEPLOYING, fixed_job_id(left.id, 1, 1))
    assert [repair.after for repair in bench.engine.reconcile()][-1] is not S.FAILED
    bench.engine.reconcile()
    assert (bench.record.id, bench.live_jobs()) == (left.id, [left.job_id])
    assert bench.engine.deploy(bench.spec, stable_for_s=1).unchanged
    assert bench.live_jobs() == [left.job_id]


def test_a_deploy_killed_before_its_insert_is_failed_and_can_be_made_again(bench: Bench) -> None:
    bench.run_killed(f"start.submit_job = lambda *args, **kwargs: os._exit({KILLED})\nengine.deploy(spec)\n")
    assert bench.record.state is S.DEPLOYING
    (repair,) = bench.engine.reconcile()
    assert (repair.after, bench.record.state, bench.record.error_code) == (S.FAILED, S.FAILED, "cancelled")
    assert bench.live_jobs() == []
    again = bench.deploy()
    assert (again.state, bench.live_jobs()) == (S.RUNNING, [again.job_id])


def test_a_stop_killed_after_its_savepoint_is_finished(bench: Bench) -> None:
    bench.deploy()
    bench.run_killed(
        "make = FlinkRest.stop_with_savepoint\n"
        "def killed(*args, **kwargs):\n"
        "    make(*args, **kwargs)\n"
        f"    os._exit({KILLED})\n"
        "FlinkRest.stop_with_savepoint = killed\n"
        "engine.stop(spec.name, 'savepoint')\n"
    )
    assert bench.record.state is S.STOPPING

    def look() -> tuple[QueryRecord | None, object]:
        bench.engine.reconcile()  # the job may still be on its way out
        return (bench.record if bench.record.state is not S.STOPPING else None), bench.record.state

    found = wait_for(look, what="the stop to be finished", timeout_s=30, backoff=Backoff(0.2, 0.5))
    assert (found.state, found.desired) == (S.SUSPENDED, Desired.STOPPED)
    assert Path((found.savepoint_path or "").removeprefix("file:"), "_metadata").is_file()
    assert bench.live_jobs() == []


def test_a_restart_killed_after_its_stop_goes_on_from_the_savepoint_once(bench: Bench) -> None:
    """Two processes repair it at the same time."""
    bench.deploy()
    bench.run_killed(
        f"start.submit_job = lambda *args, **kwargs: os._exit({KILLED})\nengine.restart(spec.name, 'savepoint')\n"
    )
    assert (bench.record.state, bench.record.desired, bench.live_jobs()) == (S.DEPLOYING, Desired.RUNNING, [])
    both = [bench.start("print([repair.action for repair in engine.reconcile()])") for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    found = bench.record
    assert sorted(output for output, _ in outputs) == ["['restart']\n", "[]\n"]
    assert (found.state, bench.live_jobs()) == (S.RUNNING, [found.job_id])
    restored = bench.engine.rest.checkpoints(found.job_id or "").latest.restored
    assert restored is not None
    assert restored.path == found.savepoint_path


def test_of_two_processes_that_deploy_one_name_one_has_a_job(bench: Bench) -> None:
    body = (
        "try:\n"
        "    print(engine.deploy(spec, stable_for_s=1).unchanged)\n"
        "except MillraceError as error:\n"
        "    print(error.code)\n"
    )
    both = [bench.start(body) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted(output for output, _ in outputs)[0] == "False\n", outputs
    assert {output for output, _ in outputs} <= {"False\n", "conflict\n", "True\n"}
    assert [output for output, _ in outputs].count("False\n") == 1
    assert bench.live_jobs() == [bench.record.job_id]


# --- from outside -----------------------------------------------------------------------------------------------------


def test_a_job_canceled_by_somebody_else_is_seen_and_left_alone(bench: Bench) -> None:
    record = bench.deploy()
    cancel_job(bench.engine.rest, record.job_id or "")
    (repair,) = bench.engine.reconcile()
    assert (repair.after, bench.record.desired) == (S.STOPPED, Desired.RUNNING)
    assert bench.engine.reconcile(recover=True) == []
    assert bench.live_jobs() == []


@pytest.mark.fault
def test_after_a_restart_of_the_cluster_a_lost_query_goes_on_from_its_last_checkpoint(
    bench: Bench, stack: Stack
) -> None:
    before = bench.deploy()
    bench.wait_for_checkpoint()
    assert bench.engine.reconcile() == []
    seen = bench.record.checkpoint_path
    assert seen is not None
    stack.restart("jobmanager")
    _wait_for_slots(bench.engine)
    (lost,) = bench.engine.reconcile()
    assert (lost.before, lost.after, bench.record.state) == (S.RUNNING, S.LOST, S.LOST)
    assert [view.state for view in bench.engine.list()] == [S.LOST]
    (repair,) = bench.engine.reconcile(recover=True)
    found = bench.record
    assert (repair.error, found.state, found.attempt) == (None, S.RUNNING, 2)
    restored = bench.engine.rest.checkpoints(found.job_id or "").latest.restored
    assert restored is not None
    # Younger than the one that was seen: it was found on disk.
    assert _number(restored.path) >= _number(seen)
    assert (before.job_id or "") in (restored.path or "")
    assert len(find_live_jobs(bench.engine.rest, found.job_name)) == 1


def _wait_for_slots(engine: SqlEngine) -> None:
    def look() -> tuple[bool | None, object]:
        try:
            free = engine.rest.overview().slots_available
        except UnreachableError as error:
            return None, error.message
        return (free > 0) or None, f"{free} free slots"

    wait_for(look, what="slots", timeout_s=60, backoff=Backoff(0.2, 0.5))


def _number(path: str | None) -> int:
    return int(Path(path or "").name.removeprefix("chk-"))
