"""Deploys on the real stack: a job that runs, or nothing at all."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka.admin import AdminClient

from orchestration.catalog import open_catalog
from orchestration.errors import ConflictError, JobFailedError, MillraceError, SqlRefusedError
from orchestration.flink.engine import SqlEngine
from orchestration.flink.queries.outcome import DeployResult
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import QueryState
from orchestration.flink.reading.feed import Limits
from orchestration.waiting import wait_for
from tests.integration.sql.queries import STEADY_S, cleaned_up, live_jobs, numbers_query, wait_written

pytestmark = pytest.mark.usefixtures("stack", "_cleaned_up")


@pytest.fixture
def _cleaned_up(engine: SqlEngine) -> Iterator[None]:
    with cleaned_up(engine):
        yield


@pytest.fixture
def name() -> str:
    return f"q_{uuid.uuid4().hex[:6]}"


def lake_tables(engine: SqlEngine) -> set[str]:
    """Tables of the namespace that generated Iceberg sinks lie in."""
    catalog = open_catalog(engine.settings)
    if ("streams",) not in catalog.list_namespaces():
        return set()
    return {table[-1] for table in catalog.list_tables("streams")}


def test_a_query_gets_a_sink_of_its_columns_and_files_after_a_checkpoint(engine: SqlEngine, name: str) -> None:
    query = "SELECT n, CAST(n AS DECIMAL(10, 2)) AS price, 'x' AS tag FROM numbers"
    result = engine.deploy(numbers_query(name, query, sink={"profile": "filesystem"}), stable_for_s=STEADY_S)
    columns = [line.strip().rstrip(",") for line in result.ddl.splitlines()[1:4]]
    assert columns == ["`n` BIGINT", "`price` DECIMAL(10, 2)", "`tag` STRING NOT NULL"]
    (job,) = [job for job in engine.rest.jobs_overview() if job.name == result.job_name]
    assert (job.id, job.state) == (result.job_id, "RUNNING")
    assert {vertex.status for vertex in engine.rest.job(job.id).vertices} == {"RUNNING"}
    rows = wait_written(result.path, 20)
    assert rows == list(range(1, len(rows) + 1))
    assert engine.deploy(numbers_query(name, query, sink={"profile": "filesystem"})).unchanged


def test_parallel_deploys_keep_their_job_ids_apart(engine: SqlEngine, name: str) -> None:
    def deploy(label: str) -> DeployResult:
        return engine.deploy(numbers_query(f"{name}_{label}"), stable_for_s=0)

    for number in range(10):
        with ThreadPoolExecutor(2) as threads:
            pair = list(threads.map(deploy, (f"{number}a", f"{number}b")))
        assert pair[0].job_id != pair[1].job_id
        for result in pair:
            record = engine.registry.require(result.query_id)
            assert (record.job_id, engine.rest.job(result.job_id).name) == (result.job_id, record.job_name)
            engine.delete(result.query_id)


def test_of_two_deploys_of_one_name_one_wins(engine: SqlEngine, name: str) -> None:
    def deploy(_: int) -> DeployResult | MillraceError:
        try:
            return engine.deploy(numbers_query(name), stable_for_s=0)
        except MillraceError as error:
            return error

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(deploy, range(2)))
    won = [outcome for outcome in outcomes if isinstance(outcome, DeployResult)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, ConflictError)]
    assert len(won) >= 1
    assert len(won) + len(lost) == 2
    assert set(live_jobs(engine)) == {won[0].job_id}
    assert len(engine.registry.active()) == 1


@pytest.mark.parametrize("interval", ["2 s", None], ids=["checkpoints", "no checkpoints"])
def test_a_full_cluster_is_told_within_half_a_minute(engine: SqlEngine, name: str, interval: str | None) -> None:
    slots = engine.rest.overview().slots_total
    spec = numbers_query(name, sink={"profile": "iceberg"}, parallelism=slots + 4, checkpoint_interval=interval)
    tables = lake_tables(engine)
    started = time.monotonic()
    with pytest.raises(JobFailedError, match="not enough free slots") as caught:
        engine.deploy(spec)
    assert time.monotonic() - started < 30
    record = engine.registry.require(name)
    assert (caught.value.code, record.error_code, record.state) == ("no_slots", "no_slots", QueryState.FAILED)
    assert engine.rest.job(record.job_id or "").state in ("CANCELED", "FAILED")
    assert lake_tables(engine) == tables


def test_a_query_that_fails_on_each_row_is_refused_with_the_cause(engine: SqlEngine, name: str) -> None:
    query = "SELECT CAST('x' || CAST(n AS STRING) AS BIGINT) AS n FROM numbers"
    with pytest.raises(JobFailedError, match="NumberFormatException: For input string: 'x") as caught:
        engine.deploy(numbers_query(name, query))
    record = engine.registry.require(name)
    assert (caught.value.code, record.state) == ("job_failed", QueryState.FAILED)
    assert "NumberFormatException" in (record.error_text or "")
    assert engine.rest.job(record.job_id or "").state in ("CANCELED", "FAILED")
    assert live_jobs(engine) == {}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param(
            "SELECT n / 10 AS k, COUNT(*) AS c FROM numbers GROUP BY n / 10", "sink_incompatible", id="updates"
        ),
        pytest.param("SELECT n, COUNT(*) FROM numbers GROUP BY n", "validation_failed", id="no alias"),
        pytest.param("SELECT a.n, b.n FROM numbers AS a, numbers AS b", "validation_failed", id="twice"),
    ],
)
def test_a_query_that_fits_no_sink_leaves_no_trace(engine: SqlEngine, name: str, query: str, code: str) -> None:
    with pytest.raises(SqlRefusedError) as caught:
        engine.deploy(numbers_query(name, query, sink={"profile": "filesystem"}))
    assert caught.value.code == code
    assert engine.registry.get(name) is None
    assert live_jobs(engine) == {}


def test_a_statement_set_is_one_job_that_fills_a_sink_a_branch(engine: SqlEngine, name: str) -> None:
    text = (
        f"EXECUTE STATEMENT SET BEGIN INSERT INTO {name}_all SELECT n FROM numbers; "
        f"INSERT INTO {name}_even SELECT n FROM numbers WHERE MOD(n, 2) = 0; END"
    )
    result = engine.deploy(numbers_query(name, text, sink={"profile": "filesystem"}), stable_for_s=STEADY_S)
    assert list(live_jobs(engine)) == [result.job_id]
    everything, even = (result.path or "").split(", ")
    assert wait_written(everything, 10)[:3] == [1, 2, 3]
    assert wait_written(even, 5)[:3] == [2, 4, 6]


def test_a_bounded_batch_query_runs_to_its_end(engine: SqlEngine, name: str) -> None:
    spec = QuerySpec(
        name=name,
        mode="batch",
        query="SELECT n FROM (VALUES (3), (1), (2)) AS t (n)",
        sink={"profile": "filesystem"},  # pyright: ignore[reportArgumentType]
        parallelism=1,
    )
    result = engine.deploy(spec, stable_for_s=0)
    assert engine.wait_finished(name, timeout_s=60).state == "FINISHED"
    assert engine.registry.require(name).state is QueryState.FINISHED
    assert wait_written(result.path, 3) == [1, 2, 3]


def test_a_query_reads_what_another_one_writes(engine: SqlEngine, name: str) -> None:
    first = engine.deploy(numbers_query(name, sink={"profile": "auto"}), stable_for_s=0)
    assert (first.connector, first.changelog, first.topic) == ("kafka", "I", first.sink_table.split(".")[-1])
    query = f"SELECT n / 10 AS k, COUNT(*) AS c FROM {first.topic} GROUP BY n / 10"
    second = engine.deploy(numbers_query(f"{name}_counts", query, sink={"profile": "auto"}), stable_for_s=0)
    assert (second.connector, second.key_columns) == ("upsert-kafka", ("k",))
    rows = engine.execute(f"SELECT k, c FROM {second.topic}", limits=Limits(max_rows=1, fetch_timeout_s=30)).to_list()
    assert rows[0].values[1] == 1
    dropped = [*engine.delete(second.query_id, drop_data=True).dropped, *engine.delete(name, drop_data=True).dropped]
    assert dropped == [f"topic {second.topic}", f"topic {first.topic}"]
    admin = AdminClient({"bootstrap.servers": engine.settings.broker_url})

    def look() -> tuple[bool | None, object]:
        left = {first.topic, second.topic} & set(admin.list_topics(timeout=10).topics)
        return (None if left else True), left

    wait_for(look, what="the topics to go", timeout_s=15)
