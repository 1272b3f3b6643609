"""Sinks on the real stack: every connector writes, keys come from real plans, refusals leave nothing behind."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from orchestration.catalog import open_catalog
from orchestration.embedded.stack import Stack
from orchestration.errors import FlinkError, SqlRefusedError, StatementError
from orchestration.flink.client import traces
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.submit import JobResult, run_job
from orchestration.flink.reading.stream import QUERY_DEFAULTS
from orchestration.flink.sessions.session import Session, open_session
from orchestration.flink.tables.connectors import CONNECTORS
from orchestration.flink.tables.directory import TableDirectory
from orchestration.flink.tables.profiles import Profiles, load_profiles
from orchestration.flink.tables.schema import QuerySchema, describe_query
from orchestration.flink.tables.sink_request import SinkRequest
from orchestration.flink.tables.sinks import SinkPlan, compare_columns, plan_sink, table_exists
from orchestration.settings import Settings
from tests.integration.sql.postgres import PASSWORD, USER, Postgres, running_postgres

ROWS = 30
ORDERS = f"""
CREATE TABLE orders (
    id BIGINT,
    cust AS CAST(MOD(id, 3) AS STRING),
    amount AS CAST(id AS DECIMAL(10, 2)),
    ts AS TO_TIMESTAMP_LTZ(id * 1000, 3),
    WATERMARK FOR ts AS ts
) WITH (
    'connector' = 'datagen', 'number-of-rows' = '{ROWS}', 'rows-per-second' = '10000',
    'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '{ROWS}'
)"""
COUNTS = "SELECT cust, COUNT(*) AS c FROM orders GROUP BY cust"
APPENDS = "SELECT id, cust, amount, 'x' AS mark FROM orders"


@dataclass(frozen=True)
class Bench:
    """A session with the source `orders`, and what a deploy does with a planned sink."""

    settings: Settings
    session: Session
    rest: FlinkRest
    profiles: Profiles
    name: str

    def plan(self, query: str, profiles: Profiles | None = None, **request: Any) -> SinkPlan:
        return plan_sink(
            SinkRequest(**request),
            self.describe(query),
            table=self.name,
            job_name=f"test.{self.name}",
            profiles=profiles or self.profiles,
            settings=self.settings,
        )

    def describe(self, query: str) -> QuerySchema:
        return describe_query(self.session, query)

    def run(self, plan: SinkPlan, query: str) -> JobResult:
        for sql in (*self.needs(plan.shown_ddl), *plan.setup, plan.ddl):
            self.session.execute(sql).close()
        insert = f"INSERT INTO {plan.table} {query}"
        return run_job(self.session, self.rest, insert, name=f"test.{self.name}", timeout_s=90)

    def needs(self, sql: str) -> list[str]:
        return [table.ddl for table in TableDirectory(self.settings).statements_for(sql)]

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Rows of a batch query, in a session of its own."""
        with (
            GatewayClient(self.settings.flink_sql_gateway_url) as gateway,
            open_session(gateway, mode="batch", init=[*self.needs(sql)]) as session,
        ):
            return session.execute(sql).fetch_all()


@pytest.fixture(scope="module")
def profiles(stack: Stack) -> Profiles:
    return load_profiles(stack.settings.connector_profiles_path)


@pytest.fixture
def bench(stack: Stack, profiles: Profiles) -> Iterator[Bench]:
    settings = stack.settings
    properties = {"parallelism.default": "1"}
    with (
        GatewayClient(settings.flink_sql_gateway_url) as gateway,
        FlinkRest(settings.flink_rest_url) as rest,
        open_session(gateway, mode="streaming", init=[ORDERS], properties=properties) as session,
    ):
        yield Bench(settings, session, rest, profiles, f"sink_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def topic(bench: Bench) -> Iterator[str]:
    """A compacted topic called like the sink: the embedded broker makes none by itself."""
    admin = AdminClient({"bootstrap.servers": bench.settings.broker_url})
    new = NewTopic(bench.name, num_partitions=1, replication_factor=1, config={"cleanup.policy": "compact"})
    admin.create_topics([new])[bench.name].result(timeout=15)
    yield bench.name
    admin.delete_topics([bench.name])[bench.name].result(timeout=15)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


def records(settings: Settings, topic: str, count: int) -> list[tuple[Any, Any]]:
    """Return key and value, as JSON, of the first `count` committed records of partition 0."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.broker_url,
            "group.id": f"test-{uuid.uuid4().hex[:8]}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    try:
        messages = consumer.consume(count, timeout=20)
        return [(json.loads(m.key() or b"null"), json.loads(m.value() or b"null")) for m in messages]
    finally:
        consumer.close()


def test_rows_that_change_go_to_a_compacted_topic_under_their_key(bench: Bench, topic: str) -> None:
    plan = bench.plan(COUNTS)
    assert (plan.connector, plan.topic, plan.compacted, plan.key_columns) == ("upsert-kafka", topic, True, ("cust",))
    assert "`cust` STRING NOT NULL" in plan.shown_ddl
    assert "PRIMARY KEY (`cust`) NOT ENFORCED" in plan.shown_ddl
    assert len(plan.warnings) == 1

    bench.run(plan, COUNTS)
    changes = records(bench.settings, topic, ROWS)
    assert len(changes) == ROWS
    latest = {key["cust"]: value["c"] for key, value in changes}
    assert latest == {"0": 10, "1": 10, "2": 10}
    assert table_exists(bench.session, plan.table)
    assert compare_columns(bench.session, plan.table, bench.describe(COUNTS)) == []
    other = bench.describe("SELECT cust, SUM(amount) AS c FROM orders GROUP BY cust")
    assert (
        compare_columns(bench.session, plan.table, other)
        == [
            "column 'c' is BIGINT in the table and DECIMAL(38, 2) in the query",
            "column 'c' is NOT NULL in the table and can be NULL in the query",
        ][:1]
    )


def test_rows_that_are_only_added_go_to_a_topic(bench: Bench, topic: str) -> None:
    plan = bench.plan(APPENDS, options={"sink.delivery-guarantee": "exactly-once"}, key_columns=["cust"])
    assert (plan.connector, plan.key_columns) == ("kafka", ())
    bench.run(plan, APPENDS)
    found = records(bench.settings, topic, ROWS)
    assert sorted(value["id"] for _, value in found) == list(range(1, ROWS + 1))
    assert found[0] == ({"cust": "1"}, {"id": 1, "cust": "1", "amount": 1, "mark": "x"})


def test_a_file_sink_that_cannot_take_the_changes_is_refused_before_anything_is_made(bench: Bench) -> None:
    jobs = {job.id for job in bench.rest.jobs_overview()}
    with pytest.raises(SqlRefusedError, match=r"profile filesystem .* takes only new rows.*changelog I,UA") as caught:
        bench.plan(COUNTS, profile="filesystem")
    assert caught.value.code == "sink_incompatible"
    assert not table_exists(bench.session, f"`{bench.name}`")
    assert f"test.{bench.name}" not in {job.name for job in bench.rest.jobs_overview() if job.id not in jobs}


@pytest.mark.parametrize(("options", "parse"), [({}, json.loads), ({"format": "csv"}, lambda line: line.split(","))])
def test_files_hold_the_querys_columns(bench: Bench, options: dict[str, str], parse: Any) -> None:
    plan = bench.plan(APPENDS, profile="filesystem", options=options)
    body = plan.shown_ddl.partition("(\n")[2].partition("\n)")[0]
    assert body == "    `id` BIGINT,\n    `cust` STRING,\n    `amount` DECIMAL(10, 2),\n    `mark` STRING NOT NULL"
    bench.run(plan, APPENDS)
    assert plan.path is not None
    folder = Path(plan.path.removeprefix("file://"))
    assert folder.parent == bench.settings.instance_dir / "sinks"
    lines = [line for file in folder.glob("part-*") for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == ROWS
    assert list(parse(lines[0]))[-1] in ("mark", "x")


def test_iceberg_gets_a_table_in_the_catalog(bench: Bench) -> None:
    namespace = f"sinks_{uuid.uuid4().hex[:8]}"
    profiles = Profiles.model_validate(
        {"version": 1, "profiles": {"ice": {"connector": "iceberg", "namespace": namespace}}}
    )
    catalog = open_catalog(bench.settings)
    tables: list[str] = []
    try:
        plan = bench.plan(APPENDS, profiles, profile="ice", partitioned_by=["cust"])
        tables.append(f"{namespace}.{bench.name}")
        bench.run(plan, APPENDS)
        table = catalog.load_table(tables[0])
        assert table.scan().to_arrow().num_rows == ROWS
        assert [field.name for field in table.spec().fields] == ["cust"]
        assert compare_columns(bench.session, plan.table, bench.describe(APPENDS)) == []

        with pytest.raises(SqlRefusedError, match="takes only new rows"):
            bench.plan(COUNTS, profiles, profile="ice")
        upsert = plan_sink(
            SinkRequest(profile="ice", options={"write.upsert.enabled": "true"}),
            bench.describe(COUNTS),
            table=f"{bench.name}_upsert",
            job_name="test",
            profiles=profiles,
            settings=bench.settings,
        )
        tables.append(f"{namespace}.{bench.name}_upsert")
        bench.run(upsert, COUNTS)
        assert sorted(bench.rows(f"SELECT cust, c FROM {upsert.table}")) == [("0", 10), ("1", 10), ("2", 10)]
        assert compare_columns(bench.session, upsert.table, bench.describe(COUNTS)) == []
    finally:
        for name in tables:
            catalog.drop_table(name)
        catalog.drop_namespace(namespace)


def test_postgresql_gets_the_latest_row_of_each_key_with_a_secret_by_reference(
    bench: Bench, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.execute(f"CREATE TABLE {bench.name} (cust text PRIMARY KEY, c bigint NOT NULL)")
    monkeypatch.setenv("SQL_SINK_JDBC_URL", postgres.jdbc_url)
    monkeypatch.setenv("SQL_SINK_JDBC_USERNAME", USER)
    monkeypatch.setenv("SQL_SINK_JDBC_PASSWORD", PASSWORD)
    plan = bench.plan(COUNTS, profile="jdbc")
    assert PASSWORD not in plan.shown_ddl
    bench.run(plan, COUNTS)
    assert postgres.execute(f"SELECT cust, c FROM {bench.name} ORDER BY cust") == [("0", 10), ("1", 10), ("2", 10)]


def test_a_wrong_password_fails_the_job_and_is_not_shown(
    bench: Bench, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.execute(f"CREATE TABLE {bench.name} (id bigint, cust text, amount numeric, mark text)")
    monkeypatch.setenv("SQL_SINK_JDBC_URL", postgres.jdbc_url)
    monkeypatch.setenv("SQL_SINK_JDBC_USERNAME", USER)
    monkeypatch.setenv("SQL_SINK_JDBC_PASSWORD", "marble-cupboard-88")
    plan = bench.plan(APPENDS, profile="jdbc")
    bench.session.execute(plan.ddl).close()
    with pytest.raises(FlinkError, match="authentication failed") as caught:
        run_job(
            bench.session,
            bench.rest,
            f"INSERT INTO {plan.table} {APPENDS}",
            name=f"test.{bench.name}",
            config={"restart-strategy.type": "none"},
            timeout_s=60,
        )
    assert "marble-cupboard-88" not in f"{caught.value} {caught.value.context}"


@pytest.mark.parametrize("profile", ["print", "blackhole"])
def test_test_sinks_take_every_change(bench: Bench, profile: str) -> None:
    assert bench.run(bench.plan(COUNTS, profile=profile), COUNTS).state == "FINISHED"


WINDOW = "TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECONDS))"
NUMBERED = "SELECT *, ROW_NUMBER() OVER (PARTITION BY cust ORDER BY {order}) AS rn FROM orders"


@pytest.mark.parametrize(
    ("query", "changelog", "keys"),
    [
        pytest.param(COUNTS, "I,UA", (("cust",),), id="group-by"),
        pytest.param(
            f"SELECT window_start, window_end, cust, SUM(amount) AS s FROM {WINDOW} "
            "GROUP BY window_start, window_end, cust",
            "I",
            (("window_start", "window_end", "cust"),),
            id="window",
        ),
        pytest.param(
            f"SELECT id, cust, rn FROM ({NUMBERED.format(order='amount DESC')}) WHERE rn <= 2",
            "I,UA,D",
            (("cust", "rn"),),
            id="rank",
        ),
        pytest.param(
            f"SELECT id, cust FROM ({NUMBERED.format(order='ts DESC')}) WHERE rn = 1",
            "I,UA,D",
            (("cust",),),
            id="deduplicate",
        ),
        pytest.param(
            "SELECT a.cust, a.c, b.top FROM (SELECT cust, COUNT(*) AS c FROM orders GROUP BY cust) AS a "
            "JOIN (SELECT cust, MAX(id) AS top FROM orders GROUP BY cust) AS b ON a.cust = b.cust",
            "I,UA",
            (("cust",),),
            id="join-on-keys",
        ),
        pytest.param("SELECT a.id, b.amount FROM orders a JOIN orders b ON a.id = b.id", "I", (), id="join"),
        pytest.param("SELECT UPPER(cust) AS cust, COUNT(*) AS c FROM orders GROUP BY cust", "I,UA", (), id="lost"),
    ],
)
def test_keys_come_from_the_plan(bench: Bench, query: str, changelog: str, keys: tuple[tuple[str, ...], ...]) -> None:
    schema = bench.describe(query)
    assert (schema.changelog_text, schema.keys) == (changelog, keys)


def test_a_key_without_nulls_needs_no_materializer(bench: Bench) -> None:
    """The planner agrees that the key is one: it adds no state that sorts out rows of the same key."""
    plan = bench.plan(COUNTS, profile="upsert-kafka")
    bench.session.execute(plan.ddl).close()
    explained = bench.session.execute(f"EXPLAIN INSERT INTO {plan.table} {COUNTS}").fetch_all()
    assert "upsertMaterialize" not in str(explained[0][0])


def test_columns_that_are_no_columns_of_a_table_are_refused(bench: Bench) -> None:
    with pytest.raises(SqlRefusedError, match="column 2 is an expression without a name") as caught:
        bench.plan("SELECT cust, COUNT(*) FROM orders GROUP BY cust")
    assert caught.value.context["rule"] == "V15"
    with pytest.raises(SqlRefusedError, match="two columns of the query are called 'id'") as caught:
        bench.plan("SELECT a.id, b.id FROM orders a JOIN orders b ON a.id = b.id")
    assert caught.value.context["rule"] == "V15"
    with pytest.raises(SqlRefusedError, match=r"column 1 \(span\) is of type INTERVAL") as caught:
        bench.plan("SELECT INTERVAL '1' DAY AS span, COLLECT(cust) AS bag FROM orders")
    assert caught.value.hint == "use CAST(span AS STRING); use CAST(bag AS STRING)"
    casts = "SELECT CAST(INTERVAL '1' DAY AS STRING) AS span, CAST(COLLECT(cust) AS STRING) AS bag FROM orders"
    assert [column.type for column in bench.describe(casts).columns] == ["STRING", "STRING"]


def test_describing_leaves_nothing_in_the_session(bench: Bench) -> None:
    bench.describe(COUNTS)
    with pytest.raises(StatementError):
        bench.describe("SELECT * FROM nobody")
    assert bench.session.execute("SHOW TABLES").fetch_all() == [("orders",)]
    assert [job.name for job in bench.rest.jobs_overview() if "describe" in job.name] == []


def test_a_declared_table_is_there_by_its_name(bench: Bench) -> None:
    query = "SELECT customer, amount > 0 FROM demo_orders"
    for sql in bench.needs(query):
        bench.session.execute(sql).close()
        bench.session.execute(sql).close()
    with bench.session.execute(query, QUERY_DEFAULTS) as result:
        rows = list(islice(result.rows(), 2))
    assert [(len(str(customer)), is_paid) for customer, is_paid in rows] == [(1, True), (1, True)]


def test_a_datasets_topic_has_event_time(bench: Bench) -> None:
    for sql in bench.needs("DESCRIBE taxi_raw"):
        bench.session.execute(sql).close()
    columns = {column.name: column for column in bench.describe("SELECT * FROM taxi_raw").columns}
    assert columns["tpep_pickup_datetime"].is_rowtime
    assert "_kafka_offset" in columns


WITH = {
    "kafka": "'topic' = 'x', 'properties.bootstrap.servers' = 'x:1', 'format' = 'json'",
    "upsert-kafka": "'topic' = 'x', 'properties.bootstrap.servers' = '', 'key.format' = 'csv', 'value.format' = 'json'",
    "filesystem": "'path' = '/x', 'format' = 'csv'",
    "jdbc": "'url' = 'jdbc:postgresql://x/y', 'table-name' = 't'",
    "print": "'print-identifier' = 'x'",
    "blackhole": "'property-version' = '1'",
    "datagen": "'number-of-rows' = '1'",
}


@pytest.mark.parametrize("connector", WITH)
def test_the_model_of_a_connector_knows_its_options(
    bench: Bench, connector: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "_TEXT_LIMIT", 100_000)
    key = ", PRIMARY KEY (n) NOT ENFORCED" if connector == "upsert-kafka" else ""
    options = f"'connector' = '{connector}', {WITH[connector]}, 'no.such.option' = '1'"
    bench.session.execute(f"CREATE TABLE probe (n INT NOT NULL{key}) WITH ({options})").close()
    explain = "EXPLAIN SELECT * FROM probe" if connector == "datagen" else "EXPLAIN INSERT INTO probe SELECT 1"
    with pytest.raises(StatementError, match=r"no\.such\.option") as caught:
        bench.session.execute(explain)
    assert caught.value.code == "connector_option_invalid"
    listed = set(caught.value.message.partition("Supported options:")[2].split())
    given = dict(re.findall(r"'([\w.-]+)' = '([^']*)'", WITH[connector]))
    model = CONNECTORS[connector]
    known = model.known_options(given)
    assert {option for option in listed - known if not model.is_open(option)} == set()
    if connector != "filesystem":  # it lists no options of its format
        assert known - listed == set()
