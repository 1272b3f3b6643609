"""kill -9 in the middle of an operation, and one `reconcile` after it: one record, one job at most, no lost sink."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from orchestration.catalog import open_catalog
from orchestration.flink.client.models import TERMINAL
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.queries.states import BUSY, LIVE, QueryState
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for
from tests.integration.sql.dying import new_query, old_query
from tests.integration.sql.queries import cleaned_up, live_jobs

pytestmark = pytest.mark.usefixtures("stack")

# deploy: record, INSERT, submitted, running. stop: record, POST, suspended. delete: record, PATCH, deleted.
# upgrade: as stop, then the record of the new generation, INSERT, submitted, checkpoint, running.
EFFECTS = {"deploy": 4, "stop": 3, "upgrade": 8, "delete": 3}
SEED = 3701
KILLS = sorted(
    random.Random(SEED).sample([(what, at) for what, most in EFFECTS.items() for at in range(1, most + 1)], 10)
)


def test_the_seed_kills_every_operation() -> None:
    assert {what for what, _ in KILLS} == set(EFFECTS)


@pytest.fixture(scope="session")
def registry_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills") / "queries.sqlite"


@pytest.mark.parametrize(("what", "at"), KILLS, ids=[f"{what}-{at}" for what, at in KILLS])
def test_a_killed_operation_is_repaired(
    settings: Settings, environ: dict[str, str], registry_file: Path, what: str, at: int
) -> None:
    name, namespace = f"q_{uuid.uuid4().hex[:6]}", f"kill-{uuid.uuid4().hex[:6]}"
    own = settings.with_changes(sql_engine_registry=str(registry_file), sql_engine_namespace=namespace)
    with open_engine(own) as engine, cleaned_up(engine):
        if what != "deploy":
            engine.deploy(old_query(name), stable_for_s=0)
        given = {"SQL_ENGINE_REGISTRY": str(registry_file), "SQL_ENGINE_NAMESPACE": namespace}
        command = [sys.executable, "-m", "tests.integration.sql.dying", what, name, str(at)]
        died = subprocess.run(command, env=environ | given, capture_output=True, text=True, timeout=120, check=False)
        assert died.returncode == -signal.SIGKILL, died.stderr

        settle(engine)
        (record,) = engine.registry.all()
        jobs = live_jobs(engine)
        assert record.state not in BUSY
        assert list(jobs) == ([record.job_id] if record.state in LIVE else [])
        match what:
            case "deploy":
                assert engine.deploy(old_query(name), stable_for_s=0).query_id == record.id
            case "stop":
                assert record.state is QueryState.SUSPENDED
                assert engine.rest.checkpoints(record.job_id or "").latest.savepoint is not None
                assert record.savepoint_path
            case "upgrade":
                assert record.spec in (old_query(name), new_query(name))
                require_state_kept(engine, record.job_id or "")
            case _:
                assert record.state is QueryState.DELETED
        if record.state is not QueryState.DELETED:
            engine.delete(record.id, drop_data=True)
        assert live_jobs(engine) == {}
        assert not open_catalog(settings).table_exists(f"streams.view_{name}_{record.id[:6]}")


def settle(engine: SqlEngine) -> None:
    """Reconcile until nothing is left to do. The gateway may still be busy with what the dead process sent."""

    def look() -> tuple[bool | None, object]:
        repairs = engine.reconcile()
        is_moving = any(
            job.name.startswith(f"{engine.registry.namespace}.") and job.state not in {*TERMINAL, "RUNNING"}
            for job in engine.rest.jobs_overview()
        )
        is_busy = any(record.state in BUSY for record in engine.registry.active())
        return (None if repairs or is_moving or is_busy else True), repairs

    wait_for(look, what="the registry to be repaired", timeout_s=60, backoff=Backoff(1.0, 1.0))


def require_state_kept(engine: SqlEngine, job_id: str) -> None:
    """The job is the first one, or goes on from the savepoint that the first one was stopped with."""
    jobs = [job for job in engine.rest.jobs_overview() if job.name == engine.rest.job(job_id).name]
    first = min(jobs, key=lambda job: job.start_time.timestamp() if job.start_time else 0.0)
    if first.id == job_id:
        return
    saved = engine.rest.checkpoints(first.id).latest.savepoint
    assert saved is not None

    def look() -> tuple[str | None, object]:
        restored = engine.rest.checkpoints(job_id).latest.restored
        return (restored.path if restored is not None else None), "no restored checkpoint"

    assert wait_for(look, what=f"job {job_id} to restore its state", timeout_s=15) == saved.path
