from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestration.errors import ConfigError, MillraceError, SqlRefusedError
from orchestration.flink.tables.profiles import ConnectorProfile, Profiles, load_profiles
from orchestration.flink.tables.schema import QueryColumn, QuerySchema
from orchestration.flink.tables.sink_paths import sink_path
from orchestration.flink.tables.sink_request import SinkRequest
from orchestration.flink.tables.sinks import SinkPlan, plan_sink
from orchestration.settings import Settings

COLUMNS = (QueryColumn("cust", "STRING", True), QueryColumn("c", "BIGINT", False))
APPENDS = QuerySchema(COLUMNS)
UPDATES = QuerySchema(COLUMNS, frozenset({"I", "UA"}), (("cust",),))
KEYLESS = QuerySchema(COLUMNS, frozenset({"I", "UB", "UA", "D"}))
JOB = "default.view.0123abcd"
TABLE = "`default_catalog`.`default_database`.`view_x_012345`"


def settings(**changes: Any) -> Settings:
    return Settings(state_dir=Path("/state"), broker_url="h:1", **changes)


def plan(
    schema: QuerySchema, profiles: Profiles | None = None, table: str = "view_x_012345", **request: Any
) -> SinkPlan:
    return plan_sink(
        SinkRequest(**request),
        schema,
        table=table,
        job_name=JOB,
        profiles=profiles or load_profiles(settings().connector_profiles_path),
        settings=settings(),
    )


def refusal(schema: QuerySchema, **request: Any) -> MillraceError:
    with pytest.raises(MillraceError) as caught:
        plan(schema, **request)
    return caught.value


def test_auto_takes_kafka_for_rows_that_are_only_added() -> None:
    planned = plan(APPENDS)
    assert (planned.profile, planned.connector, planned.topic, planned.compacted) == (
        "kafka",
        "kafka",
        "view_x_012345",
        False,
    )
    assert (planned.table, planned.key_columns, planned.is_in_session, planned.warnings) == (TABLE, (), True, ())
    assert (
        planned.ddl
        == planned.shown_ddl
        == f"""\
CREATE TABLE IF NOT EXISTS {TABLE} (
    `cust` STRING,
    `c` BIGINT NOT NULL
) WITH (
    'connector' = 'kafka',
    'topic' = 'view_x_012345',
    'properties.bootstrap.servers' = 'h:1',
    'sink.delivery-guarantee' = 'at-least-once',
    'scan.startup.mode' = 'earliest-offset',
    'format' = 'json'
)"""
    )


def test_auto_takes_upsert_kafka_for_rows_that_change() -> None:
    planned = plan(UPDATES)
    assert (planned.profile, planned.topic, planned.compacted, planned.key_columns) == (
        "upsert-kafka",
        "view_x_012345",
        True,
        ("cust",),
    )
    assert (
        planned.shown_ddl
        == f"""\
CREATE TABLE IF NOT EXISTS {TABLE} (
    `cust` STRING NOT NULL,
    `c` BIGINT NOT NULL,
    PRIMARY KEY (`cust`) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka',
    'topic' = 'view_x_012345',
    'properties.bootstrap.servers' = 'h:1',
    'sink.delivery-guarantee' = 'at-least-once',
    'key.format' = 'json',
    'value.format' = 'json'
)"""
    )
    assert planned.warnings == (
        "key column 'cust' can be NULL in the query, and a key cannot: such a row fails the job, or is dropped with "
        "table.exec.sink.not-null-enforcer=DROP",
    )


def test_exactly_once_adds_a_transaction_prefix_and_a_timeout_that_the_broker_allows() -> None:
    ddl = plan(APPENDS, options={"sink.delivery-guarantee": "exactly-once"}).shown_ddl
    assert f"'sink.transactional-id-prefix' = '{JOB}'" in ddl
    assert "'properties.transaction.timeout.ms' = '900000'" in ddl
    assert "'sink.delivery-guarantee' = 'exactly-once'" in ddl


def test_a_key_for_kafka_is_that_of_the_records() -> None:
    planned = plan(APPENDS, key_columns=["cust"])
    assert "'key.format' = 'json',\n    'key.fields' = 'cust'" in planned.shown_ddl
    assert (planned.key_columns, "PRIMARY KEY" in planned.shown_ddl) == ((), False)


def test_a_topic_of_the_query_is_the_one_to_make() -> None:
    assert plan(APPENDS, options={"topic": "orders.out"}).topic == "orders.out"
    assert "no name of a Kafka topic" in refusal(APPENDS, options={"topic": "a;b"}).message


def test_a_query_may_take_another_format() -> None:
    ddl = plan(APPENDS, options={"value.format": "csv", "value.csv.field-delimiter": ";"}).shown_ddl
    assert "'value.format' = 'csv'" in ddl
    assert "'format'" not in ddl.replace("'value.format'", "")


@pytest.mark.parametrize("profile", ["filesystem", "kafka", "iceberg"])
def test_changes_are_refused_where_only_new_rows_can_go(profile: str) -> None:
    error = refusal(UPDATES, profile=profile)
    assert isinstance(error, SqlRefusedError)
    assert error.code == "sink_incompatible"
    assert f"profile {profile}" in error.message
    assert "changelog I,UA" in error.message
    assert error.hint


@pytest.mark.parametrize("profile", ["auto", "upsert-kafka", "jdbc"])
def test_changes_without_a_key_are_refused(profile: str) -> None:
    error = refusal(KEYLESS, profile=profile)
    assert error.code == "key_required"
    assert "sink.key_columns" in str(error.hint)


def test_a_given_key_wins_over_the_plans() -> None:
    assert plan(KEYLESS, key_columns=["cust", "c"]).key_columns == ("cust", "c")
    error = refusal(UPDATES, key_columns=["nobody"])
    assert (error.code, error.message) == ("key_required", "key column 'nobody' is not in the query's result")


def test_jdbc_has_a_key_only_for_rows_that_change() -> None:
    upsert, append = plan(UPDATES, profile="jdbc"), plan(APPENDS, profile="jdbc")
    assert (upsert.key_columns, append.key_columns) == (("cust",), ())
    assert "'table-name' = 'view_x_012345'" in append.shown_ddl
    assert "'password' = 'env:SQL_SINK_JDBC_PASSWORD'" in append.shown_ddl


def test_secrets_are_resolved_only_when_the_statement_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(APPENDS, profile="jdbc")
    with pytest.raises(ConfigError, match="env:SQL_SINK_JDBC_URL is empty or not set"):
        _ = planned.ddl
    for name in ("URL", "USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"SQL_SINK_JDBC_{name}", f"value-of-{name.lower()}")
    assert "'password' = 'value-of-password'" in planned.ddl
    assert "value-of-password" not in repr(planned)


def test_a_query_cannot_send_a_profiles_secrets_elsewhere() -> None:
    error = refusal(APPENDS, profile="jdbc", options={"url": "jdbc:postgresql://other/db"})
    assert "a query cannot change url" in error.message


def test_a_query_cannot_read_the_environment_through_a_plain_option() -> None:
    error = refusal(APPENDS, options={"properties.client.id": "env:HOME"})
    assert "a query cannot give it as a reference" in error.message


def test_an_option_with_a_newline_is_refused() -> None:
    assert "holds a newline" in refusal(APPENDS, options={"properties.client.id": "a\nb"}).message


def test_an_unknown_option_is_refused() -> None:
    assert refusal(APPENDS, options={"sink.parallelsm": "1"}).hint == "did you mean 'sink.parallelism'?"


def test_the_connector_belongs_to_the_profile() -> None:
    assert refusal(APPENDS, options={"connector": "print"}).message == "the connector of a sink is set by its profile"


def test_files_go_to_a_folder_of_their_own_and_are_finished_at_checkpoints() -> None:
    planned = plan_sink(
        SinkRequest(profile="filesystem", partitioned_by=("cust",)),
        APPENDS,
        table="out",
        job_name=JOB,
        profiles=load_profiles(settings().connector_profiles_path),
        settings=settings(),
        checkpoint_interval_ms=1500,
    )
    assert planned.path == "file:///state/default/sinks/out"
    assert (
        planned.shown_ddl
        == """\
CREATE TABLE IF NOT EXISTS `default_catalog`.`default_database`.`out` (
    `cust` STRING,
    `c` BIGINT NOT NULL
) PARTITIONED BY (`cust`) WITH (
    'connector' = 'filesystem',
    'sink.rolling-policy.rollover-interval' = '1500 ms',
    'sink.rolling-policy.check-interval' = '1500 ms',
    'format' = 'json',
    'path' = 'file:///state/default/sinks/out'
)"""
    )


def test_files_have_no_key() -> None:
    assert "has no key" in refusal(APPENDS, profile="filesystem", key_columns=["cust"]).message


@pytest.mark.parametrize(
    ("root", "asked", "path"),
    [
        ("/data/sinks", None, "file:///data/sinks/t"),
        ("/data/sinks/", "a/b", "file:///data/sinks/a/b"),
        ("file:///data", "/data/x", "file:///data/x"),
        ("s3://bucket/sinks", None, "s3://bucket/sinks/t"),
        ("s3://bucket", "s3://bucket/x", "s3://bucket/x"),
    ],
)
def test_a_path_lies_below_its_root(root: str, asked: str | None, path: str) -> None:
    assert sink_path(root, "t", asked) == path


@pytest.mark.parametrize(
    ("root", "asked"),
    [
        ("/data/sinks", "/etc/passwd"),
        ("/data/sinks", "/data/sinks-other"),
        ("/data/sinks", "/data/sinks"),
        ("/data/sinks", "../x"),
        ("/data/sinks", "a/../../x"),
        ("/data/sinks", "a%2e%2e/x"),
        ("/data/sinks", "s3://bucket/x"),
        ("s3://bucket/a", "s3://bucket/b"),
        ("s3://bucket/a", "s3://other/a/x"),
        ("data", None),
        ("s3://", None),
    ],
)
def test_a_path_outside_its_root_is_refused(root: str, asked: str | None) -> None:
    with pytest.raises(ConfigError):
        sink_path(root, "t", asked)


def test_iceberg_is_a_table_of_the_catalog() -> None:
    planned = plan(APPENDS, profile="iceberg", partitioned_by=["cust"], options={"write.target-file-size-bytes": 1024})
    assert (planned.table, planned.is_in_session) == ("`lakehouse`.`streams`.`view_x_012345`", False)
    assert planned.setup == ("CREATE DATABASE IF NOT EXISTS `lakehouse`.`streams`",)
    assert (
        planned.shown_ddl
        == """\
CREATE TABLE IF NOT EXISTS `lakehouse`.`streams`.`view_x_012345` (
    `cust` STRING,
    `c` BIGINT NOT NULL
) PARTITIONED BY (`cust`) WITH (
    'format-version' = '2',
    'write.target-file-size-bytes' = '1024'
)"""
    )


@pytest.mark.parametrize("table", ["mart.x", "lakehouse.mart.x"])
def test_a_namespace_of_the_query_wins(table: str) -> None:
    assert plan(APPENDS, profile="iceberg", table=table).table == "`lakehouse`.`mart`.`x`"


def test_iceberg_takes_changes_only_when_asked_for_equality_deletes() -> None:
    assert "write.upsert.enabled" in str(refusal(UPDATES, profile="iceberg").hint)
    planned = plan(UPDATES, profile="iceberg", options={"write.upsert.enabled": True})
    assert planned.key_columns == ("cust",)
    assert "'write.upsert.enabled' = 'true'" in planned.shown_ddl
    assert "'format-version' = '2'" in planned.shown_ddl


def test_partitions_of_a_table_with_a_key_are_part_of_it() -> None:
    options = {"write.upsert.enabled": True}
    error = refusal(UPDATES, profile="iceberg", options=options, partitioned_by=["c"])
    assert error.message == "partition column 'c' is not part of the key"
    assert "is not in the query's result" in refusal(APPENDS, profile="iceberg", partitioned_by=["x"]).message
    assert "has no partitions" in refusal(APPENDS, partitioned_by=["cust"]).message


@pytest.mark.parametrize("profile", ["print", "blackhole"])
def test_test_sinks_take_everything_without_a_key(profile: str) -> None:
    planned = plan(KEYLESS, profile=profile)
    assert planned.key_columns == ()
    assert planned.shown_ddl.endswith(f"WITH (\n    'connector' = '{profile}'\n)")


def test_a_source_is_no_sink() -> None:
    profiles = Profiles(version=1, profiles={"made": ConnectorProfile(connector="datagen")})
    with pytest.raises(ConfigError, match="which is a source"):
        plan(APPENDS, profiles, profile="made")


def test_a_table_name_is_a_plain_identifier() -> None:
    assert "plain identifier" in refusal(APPENDS, profile="print", table="a`b").message


def test_an_expression_without_a_name_is_refused_before_anything_else() -> None:
    schema = QuerySchema((QueryColumn("cust", "STRING", True), QueryColumn("EXPR$1", "BIGINT", False)))
    error = refusal(schema)
    assert (error.code, error.context["rule"]) == ("validation_failed", "V15")
    assert "`c2` BIGINT" in plan(schema, auto_alias=True).shown_ddl


def test_reserved_words_are_quoted() -> None:
    schema = QuerySchema((QueryColumn("select", "INT", True), QueryColumn("a`b", "INT", True)))
    assert "`select` INT,\n    `a``b` INT" in plan(schema, profile="print").shown_ddl
