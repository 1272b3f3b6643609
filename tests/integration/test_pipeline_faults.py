"""A TaskManager that dies in the middle, a job that fails, services that are down: nothing is lost or half-written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestration.contracts.models import QualityRule
from orchestration.embedded.stack import Stack
from orchestration.errors import JobFailedError, MillraceError, UnreachableError
from orchestration.flink.client.models import JobDetail
from orchestration.flink.client.rest import FlinkRest
from orchestration.naming import bronze_job, silver_job
from orchestration.settings import Settings
from orchestration.validation import validate
from orchestration.waiting import Backoff, wait_for
from tests.integration.lake import (
    Lake,
    await_job,
    await_slot,
    closed_port,
    expect,
    kill_taskmanager,
    make_lake,
    retried,
)

pytestmark = pytest.mark.stack

KILLED_ROWS = 300_000
"""A second of work for each job, so that a kill meets it at work."""
BY_ZERO = QualityRule(name="by_zero", predicate="VendorID / (PULocationID - PULocationID) >= 0", null_passes=True)
"""Flink plans it, and fails at the first row; DuckDB, which looks at the rows before, divides by zero to NULL."""


@pytest.fixture(scope="module")
def struck(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake whose jobs are struck by the loss of the TaskManager."""
    lake = make_lake(settings, tmp_path_factory.mktemp("struck"))
    lake.land(lake.sample("2024-01", KILLED_ROWS, dirty=0.01))
    yield lake
    lake.drop()


def kill_during(stack: Stack, job: str, step: Callable[[], object], is_time: Callable[[JobDetail], bool]) -> None:
    """Kill the TaskManager in the middle of the step's job; the step may recover, or fail with an error of ours."""
    with ThreadPoolExecutor(1) as pool, FlinkRest(stack.settings.flink_rest_url) as rest:
        future: Future[object] = pool.submit(step)
        running = await_job(rest, job)

        def look() -> tuple[bool | None, object]:
            detail = rest.job(running.id)
            return (True if is_time(detail) or detail.is_terminal else None), detail.state

        wait_for(look, what=f"{job} to work", timeout_s=120, backoff=Backoff(0.01, 0.02))
        kill_taskmanager(stack)
        error = future.exception()
        assert error is None or isinstance(error, MillraceError)
        assert error is None or "\n" not in str(error)
        assert rest.job_exceptions(running.id).history.entries, "the job was over before the kill"
    await_slot(stack)


@pytest.mark.fault
def test_bronze_is_exact_after_its_taskmanager_was_killed(stack: Stack, struck: Lake) -> None:
    data = Path(struck.settings.warehouse.removeprefix("file://"), *struck.contract.tables.bronze.split("."), "data")
    kill_during(stack, bronze_job(struck.contract.name), struck.bronze, lambda _: any(data.glob("**/*.parquet")))
    retried(struck.bronze)
    counts = struck.counts()
    assert (counts.bronze, counts.dead_lettered) == (
        expect(KILLED_ROWS, 0.01)["bronze"],
        expect(KILLED_ROWS, 0.01)["dead_lettered"],
    )
    assert struck.snapshots()["bronze"] == 1
    assert struck.query("SELECT count(DISTINCT (_kafka_partition, _kafka_offset)) FROM {bronze}") == [(counts.bronze,)]


@pytest.mark.fault
def test_silver_is_exact_after_its_taskmanager_was_killed(stack: Stack, struck: Lake) -> None:
    retried(struck.bronze)
    kill_during(
        stack,
        silver_job(struck.contract.name),
        struck.silver,
        lambda detail: any(vertex.status == "RUNNING" for vertex in detail.vertices),
    )
    retried(struck.silver)
    assert struck.counts().as_dict() == expect(KILLED_ROWS, 0.01)


@pytest.fixture(scope="module")
def loaded(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake whose bronze holds a small file."""
    lake = make_lake(settings, tmp_path_factory.mktemp("loaded"))
    lake.land(lake.sample("2024-01", 2000))
    lake.bronze()
    yield lake
    lake.drop()


def test_a_job_that_fails_shows_its_root_cause_and_leaves_nothing_half_written(loaded: Lake) -> None:
    broken = loaded.with_contract(quality_rules=(BY_ZERO, *loaded.contract.quality_rules))
    with pytest.raises(JobFailedError) as caught:
        broken.silver()
    assert "/ by zero" in caught.value.root_cause
    assert caught.value.root_cause in caught.value.message
    assert caught.value.exit_code != 0
    assert loaded.snapshots() == {"bronze": 1, "silver": 0, "rejected": 0}
    mended = loaded.silver()
    assert mended.total_rows == 2000
    assert loaded.counts().as_dict() == expect(2000)


DOWN = [
    pytest.param("broker_url", "{}", "Kafka broker", id="broker"),
    pytest.param("flink_rest_url", "http://{}", "JobManager", id="jobmanager"),
    pytest.param("flink_sql_gateway_url", "http://{}", "SQL Gateway", id="gateway"),
    pytest.param("catalog_uri", "http://{}", "atalog", id="catalog"),
]


@pytest.mark.parametrize(("field", "form", "title"), DOWN)
def test_a_service_that_is_down_is_named_with_the_remedy(loaded: Lake, field: str, form: str, title: str) -> None:
    address = f"127.0.0.1:{closed_port()}"
    loaded.post([b"{}"])
    cut_off = Lake(loaded.settings.with_changes(**{field: form.format(address)}), loaded.contract, loaded.folder)
    with pytest.raises(UnreachableError, match=title) as caught:
        cut_off.bronze()
    assert address in caught.value.message
    assert "./millrace up" in (caught.value.hint or "")
    assert caught.value.exit_code == (4 if field == "catalog_uri" else 5)


@pytest.mark.parametrize(("field", "form", "title"), DOWN)
def test_validation_names_a_service_that_is_down(loaded: Lake, field: str, form: str, title: str) -> None:
    address = f"127.0.0.1:{closed_port()}"
    cut_off = loaded.settings.with_changes(**{field: form.format(address)})
    failed = [r for r in validate(cut_off, loaded.contract, stages=["health"]) if not r.passed]
    assert len(failed) == 1
    assert address in failed[0].message
    assert "./millrace up" in (failed[0].hint or "")
