"""The Flink client against a real gateway and a real cluster."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest

from orchestration.catalog import open_catalog
from orchestration.errors import FlinkError, JobFailedError, StatementError, UnreachableError
from orchestration.flink.client.failures import DuplicateJobError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.models import JobDetail
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.submit import run_job
from orchestration.flink.jobs.wait import cancel_job, find_live_jobs, wait_for_end
from orchestration.flink.sessions.session import Session, open_session
from orchestration.flink.text.catalog_sql import create_catalog
from orchestration.flink.text.script import split_script
from orchestration.settings import Settings
from orchestration.storage import flink_catalog_options

pytestmark = pytest.mark.usefixtures("stack")

SINK = "CREATE TEMPORARY TABLE hole (n BIGINT) WITH ('connector' = 'blackhole')"
INSERT = "INSERT INTO hole SELECT n FROM numbers"


def numbers(rows: int, per_second: int) -> str:
    """Return the DDL of a bounded source that takes about rows / per_second seconds."""
    return (
        "CREATE TEMPORARY TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', "
        f"'number-of-rows' = '{rows}', 'rows-per-second' = '{per_second}', "
        f"'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{rows}')"
    )


@pytest.fixture
def gateway(settings: Settings) -> Iterator[GatewayClient]:
    with GatewayClient(settings.flink_sql_gateway_url) as client:
        yield client


@pytest.fixture
def rest(settings: Settings) -> Iterator[FlinkRest]:
    with FlinkRest(settings.flink_rest_url) as client:
        yield client


@pytest.fixture
def session(gateway: GatewayClient) -> Iterator[Session]:
    with open_session(gateway, mode="batch", properties={"table.local-time-zone": "UTC"}, init=[SINK]) as opened:
        yield opened


@pytest.fixture
def name(rest: FlinkRest) -> Iterator[str]:
    """A job name of this test alone; what still runs under it is canceled afterwards."""
    unique = f"test.{uuid.uuid4().hex[:8]}"
    yield unique
    for job in find_live_jobs(rest, unique):
        cancel_job(rest, job.id)


def test_rows_are_typed(session: Session) -> None:
    result = session.execute(
        """
        SELECT CAST(7 AS TINYINT) AS i, CAST(1.5 AS DECIMAL(10, 2)) AS price, CAST(0.1 AS DOUBLE) AS ratio,
               'é;''x' AS txt, x'010203' AS bin, DATE '2024-01-02' AS d, TIME '03:04:05' AS t, TRUE AS yes,
               CAST(NULL AS INT) AS nothing,
               TIMESTAMP '2024-01-02 03:04:05.678901' AS ts,
               CAST(TIMESTAMP '2024-01-02 03:04:05.678' AS TIMESTAMP_LTZ(3)) AS ltz,
               ARRAY[1, 2] AS arr, MAP['a', 1.25] AS m, CAST(ROW(1, 'b') AS ROW<a INT, b STRING>) AS r,
               INTERVAL '1 02:03:04' DAY TO SECOND AS span, INTERVAL '14' MONTH AS months
        """
    )
    moment = datetime(2024, 1, 2, 3, 4, 5, 678901)
    assert result.fetch_all() == [
        (
            7,
            Decimal("1.50"),
            0.1,
            "é;'x",
            b"\x01\x02\x03",
            date(2024, 1, 2),
            time(3, 4, 5),
            True,
            None,
            moment,
            moment.replace(microsecond=678000, tzinfo=UTC),
            [1, 2],
            {"a": Decimal("1.25")},
            {"a": 1, "b": "b"},
            timedelta(days=1, hours=2, minutes=3, seconds=4),
            14,
        )
    ]
    assert [column.type for column in result.columns[:4]] == ["TINYINT", "DECIMAL(10, 2)", "DOUBLE", "CHAR(4)"]


def test_all_pages_are_read_once(gateway: GatewayClient) -> None:
    with open_session(gateway, mode="batch", init=[numbers(12_000, 1_000_000)]) as session:
        rows = session.execute("SELECT n FROM numbers").fetch_all()
    assert sorted(rows) == [(number,) for number in range(1, 12_001)]


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        pytest.param("SELECT * FROM nope", "Object 'nope' not found", id="unknown-table"),
        pytest.param(
            "SELECT 1 FROM FROM", "Incorrect syntax near the keyword 'FROM' at line 1, column 15", id="syntax"
        ),
        pytest.param("SELECT 1; SELECT 2", "single statement", id="two-statements"),
        pytest.param("INSERT INTO hole SELECT 'a', 'b'", "do not match", id="columns"),
    ],
)
def test_a_refused_statement_says_why_in_one_line(session: Session, sql: str, text: str) -> None:
    with pytest.raises(StatementError) as caught:
        session.execute(sql)
    assert text in caught.value.message
    assert "\n" not in str(caught.value)
    assert "Exception" not in caught.value.message


def test_a_missing_connector_is_named(session: Session) -> None:
    session.execute("CREATE TEMPORARY TABLE odd (n INT) WITH ('connector' = 'nosuch')").close()
    with pytest.raises(StatementError, match="Could not find any factory for identifier 'nosuch'"):
        session.execute("SELECT * FROM odd")


def test_a_query_that_fails_while_it_runs_says_why(session: Session) -> None:
    with pytest.raises(JobFailedError, match="For input string: 'abc'"):
        session.execute("SELECT CAST(v AS INT) FROM (VALUES ('1'), ('abc')) AS t (v)").fetch_all()


def test_a_job_runs_to_its_end_and_counts_its_records(session: Session, rest: FlinkRest, name: str) -> None:
    session.execute(numbers(1000, 1_000_000)).close()
    seen: list[str] = []
    result = run_job(session, rest, INSERT, name=name, timeout_s=60, on_progress=lambda job: seen.append(job.state))
    assert (result.name, result.state, result.adopted) == (name, "FINISHED", False)
    assert seen[-1] == "FINISHED"
    assert rest.job(result.job_id).name == name


def test_a_failed_job_raises_its_root_cause_and_its_link(session: Session, rest: FlinkRest, name: str) -> None:
    session.execute(numbers(10, 1000)).close()
    sql = "INSERT INTO hole SELECT CAST('x' || CAST(n AS STRING) AS BIGINT) FROM numbers"
    with pytest.raises(JobFailedError) as caught:
        run_job(session, rest, sql, name=name, timeout_s=60)
    assert caught.value.root_cause.startswith("NumberFormatException: For input string: 'x")
    assert caught.value.context["url"].startswith(rest.base_url)


def test_a_live_job_of_the_name_is_adopted(
    session: Session, gateway: GatewayClient, rest: FlinkRest, name: str
) -> None:
    session.execute(numbers(300, 100)).close()
    first = session.execute(INSERT, {"pipeline.name": name}).job_id
    with open_session(gateway, mode="batch") as other:
        result = run_job(other, rest, "INSERT INTO nowhere SELECT 1", name=name, timeout_s=60)
    assert (result.job_id, result.adopted, result.state) == (first, True, "FINISHED")


def test_flink_refuses_a_second_job_of_the_same_id(session: Session, rest: FlinkRest, name: str) -> None:
    job_id = uuid.uuid4().hex
    session.execute(numbers(300, 100)).close()
    config = {"pipeline.name": name, "$internal.pipeline.job-id": job_id}
    assert session.execute(INSERT, config).job_id == job_id
    with pytest.raises(DuplicateJobError):
        _ = session.execute(INSERT, {**config, "pipeline.name": "another"}).job_id
    wait_for_end(rest, job_id, timeout_s=60)
    again = run_job(session, rest, INSERT, name=name, job_id=job_id, timeout_s=60)
    assert (again.job_id, again.adopted, again.state) == (job_id, True, "FINISHED")
    assert [job.id for job in rest.jobs_overview() if job.name in (name, "another")] == [job_id]


def test_an_iceberg_commit_carries_the_job_id_and_the_source_counts_what_it_read(
    gateway: GatewayClient, rest: FlinkRest, settings: Settings, name: str
) -> None:
    namespace = f"flink_client_{uuid.uuid4().hex[:8]}"
    catalog = open_catalog(settings)
    tables = [f"CREATE TABLE lakehouse.{namespace}.{table} (n BIGINT)" for table in ("origin", "target")]
    init = [
        create_catalog(flink_catalog_options(settings)),
        f"CREATE DATABASE lakehouse.{namespace}",
        *tables,
        numbers(1000, 1_000_000),
    ]
    job_id = uuid.uuid4().hex
    try:
        with open_session(gateway, mode="batch", init=init) as session:
            into = f"INSERT INTO lakehouse.{namespace}"
            run_job(session, rest, f"{into}.origin SELECT n FROM numbers", name=name, job_id=job_id, timeout_s=60)
            copy = f"{into}.target SELECT MAX(n) FROM lakehouse.{namespace}.origin"
            result = run_job(session, rest, copy, name=name, timeout_s=60)
        snapshot = catalog.load_table(f"{namespace}.origin").current_snapshot()
        assert snapshot is not None
        assert snapshot.summary is not None
        assert (snapshot.summary["flink.job-id"], snapshot.summary["added-records"]) == (job_id, "1000")
        assert result.records_read("origin") == 1000
    finally:
        for table in ("origin", "target"):
            catalog.drop_table(f"{namespace}.{table}")
        catalog.drop_namespace(namespace)


def test_a_statement_set_from_a_script_is_one_job(session: Session, rest: FlinkRest, name: str) -> None:
    script = f"{numbers(100, 100_000)};\nBEGIN STATEMENT SET;\n{INSERT};\n{INSERT};\nEND;"
    first, second = split_script(script)
    session.execute(first.text).close()
    assert run_job(session, rest, second.text, name=name, timeout_s=60).state == "FINISHED"
    assert len([job for job in rest.jobs_overview() if job.name == name]) == 1


def test_an_interrupt_cancels_the_job(session: Session, rest: FlinkRest, name: str) -> None:
    session.execute(numbers(100_000, 100)).close()

    def interrupt(job: JobDetail) -> None:
        if job.state == "RUNNING":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(session, rest, INSERT, name=name, timeout_s=60, on_progress=interrupt)
    assert [job.state for job in rest.jobs_overview() if job.name == name] == ["CANCELED"]


def test_a_session_that_the_gateway_closed_is_told_apart(session: Session, gateway: GatewayClient) -> None:
    gateway.close_session(session.handle)
    gateway.close_session(session.handle)
    with pytest.raises(FlinkError, match="does not exist"):
        session.execute("SELECT 1")


def test_an_unreachable_gateway_is_named_with_the_remedy() -> None:
    with GatewayClient("http://127.0.0.1:9") as nobody, pytest.raises(UnreachableError) as caught:
        open_session(nobody, mode="batch")
    assert str(caught.value).startswith("the Flink SQL Gateway at http://127.0.0.1:9 does not answer (start the stack")
