from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from orchestration.errors import ConfigError, StatementError
from orchestration.flink.tables.directory import TableDirectory, create_topic_table
from orchestration.settings import Settings
from tests.unit.tiny import tiny_contract, tiny_raw

TOPIC = """\
CREATE TABLE IF NOT EXISTS `default_catalog`.`default_database`.`rides_raw` (
    `Zone` BIGINT,
    `start` TIMESTAMP(3),
    `fare` DOUBLE,
    `shared` BOOLEAN,
    `note` STRING,
    `_kafka_partition` INT METADATA FROM 'partition' VIRTUAL,
    `_kafka_offset` BIGINT METADATA FROM 'offset' VIRTUAL,
    `_kafka_timestamp` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
    WATERMARK FOR `start` AS `start` - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka',
    'topic' = 'rides.raw',
    'properties.bootstrap.servers' = 'h:1',
    'scan.startup.mode' = 'earliest-offset',
    'scan.watermark.idle-timeout' = '5 s',
    'format' = 'json',
    'json.timestamp-format.standard' = 'ISO-8601',
    'json.ignore-parse-errors' = 'true'
)"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project with the dataset rides, a declared table and two views."""
    dataset = tmp_path / "datasets" / "rides"
    dataset.mkdir(parents=True)
    (dataset / "dataset.yml").write_text(yaml.safe_dump(tiny_raw()), encoding="utf-8")
    tables = tmp_path / "flink_sql" / "tables"
    tables.mkdir(parents=True)
    (tmp_path / "flink_sql" / "sources").mkdir()
    files = {
        "payments": "-- Purpose: p\nCREATE TEMPORARY TABLE payments (id INT) WITH ('topic' = 'p', 'b' = ${BROKER});",
        "paid_rides": "CREATE VIEW `paid_rides` AS SELECT 'x' AS payments2 FROM rides_raw JOIN payments ON TRUE",
        "summary": "CREATE VIEW IF NOT EXISTS summary AS SELECT * FROM paid_rides",
    }
    for name, text in files.items():
        (tables / f"{name}.sql").write_text(text, encoding="utf-8")
    return tmp_path


def directory(home: Path, **live_sinks: str) -> TableDirectory:
    settings = Settings(
        state_dir=home, datasets_dir=home / "datasets", dataset="rides", broker_url="h:1", catalog_uri="http://h:2"
    )
    return TableDirectory(settings, live_sinks=lambda: live_sinks, templates_dir=templates(home))


def templates(home: Path) -> Path:
    """The project's own templates beside the tables of the test."""
    link = home / "flink_sql" / "sources" / "topic.sql"
    if not link.exists():
        link.symlink_to(Settings().repo_root / "flink_sql" / "sources" / "topic.sql")
    return home / "flink_sql"


def names(directory: TableDirectory, sql: str) -> list[str]:
    return [item.name for item in directory.statements_for(sql)]


def test_a_topic_is_a_table_with_event_time() -> None:
    settings = Settings(broker_url="h:1")
    assert create_topic_table("rides_raw", tiny_contract(), settings, "streaming") == TOPIC


def test_in_batch_mode_a_topic_has_an_end() -> None:
    sql = create_topic_table("rides_raw", tiny_contract(), Settings(broker_url="h:1"), "batch")
    assert sql == TOPIC.replace("'true'\n)", "'true',\n    'scan.bounded.mode' = 'latest-offset'\n)")


def test_event_time_of_microseconds_gets_a_column_of_its_own() -> None:
    columns: list[dict[str, Any]] = tiny_raw()["columns"]
    columns[1]["bronze"] = "TIMESTAMP(6)"
    sql = create_topic_table("rides_raw", tiny_contract(columns=columns), Settings(), "streaming")
    assert (
        "    `event_time` AS CAST(`start` AS TIMESTAMP(3)),\n"
        "    WATERMARK FOR `event_time` AS `event_time` - INTERVAL '5' SECOND\n" in sql
    )


def test_what_a_view_reads_comes_before_it(home: Path) -> None:
    assert names(directory(home), "SELECT * FROM summary") == ["rides_raw", "payments", "paid_rides", "summary"]


def test_a_declared_table_is_put_into_the_sessions_own_catalog(home: Path) -> None:
    [table] = directory(home).statements_for("SELECT id FROM payments")
    assert (table.origin, table.ddl) == (
        "declared",
        "CREATE TABLE IF NOT EXISTS `default_catalog`.`default_database`.`payments` (id INT) WITH ('topic' = 'p', "
        "'b' = 'h:1')",
    )


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM `payments`", ["payments"]),
        ("SELECT payments.id FROM payments", ["payments"]),
        ("INSERT INTO sink SELECT * FROM payments", ["payments"]),
        ("DESCRIBE payments", ["payments"]),
        ("CREATE VIEW v AS SELECT * FROM payments", ["payments"]),
        ("SELECT 'payments' FROM t", []),
        ("SELECT 1 -- payments", []),
        ("SELECT 1 /* payments */", []),
        ("SELECT /*+ OPTIONS('a' = 'payments') */ 1", []),
        ("SELECT * FROM Payments", []),
        ("SELECT * FROM payments2", []),
        ("CREATE TABLE payments (id INT)", []),
        ("CREATE TEMPORARY VIEW IF NOT EXISTS payments AS SELECT 1", []),
        ("DROP TABLE IF EXISTS payments", []),
        ("SHOW TABLES", []),
        ("", []),
    ],
)
def test_a_mention_is_an_identifier_that_the_statement_does_not_make(home: Path, sql: str, expected: list[str]) -> None:
    assert names(directory(home), sql) == expected


def test_the_catalog_comes_with_its_name_and_hides_its_credentials(home: Path) -> None:
    settings = Settings(
        catalog="polaris",
        catalog_uri="http://h:2",
        catalog_client_id="me",
        catalog_client_secret=SecretStr("hunter2hunter2"),
    )
    [catalog] = TableDirectory(settings).statements_for("SELECT * FROM lakehouse.silver.cleaned_trips")
    assert catalog.ddl.startswith("CREATE CATALOG IF NOT EXISTS `lakehouse` WITH (")
    assert "'credential' = 'me:hunter2hunter2'" in catalog.ddl
    assert "hunter2hunter2" not in catalog.shown_ddl + repr(catalog)


def test_a_live_querys_sink_is_a_table(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUT_PASSWORD", "violet-harbour-9")
    ddl = (
        "CREATE TABLE IF NOT EXISTS `default_catalog`.`default_database`.`view_a` (n INT) "
        "WITH ('password' = 'env:OUT_PASSWORD')"
    )
    [table] = directory(home, view_a=ddl).statements_for("SELECT * FROM view_a")
    assert table.origin == "query"
    assert table.ddl == ddl.replace("env:OUT_PASSWORD", "violet-harbour-9")
    assert table.shown_ddl == ddl.replace("env:OUT_PASSWORD", "******")


def test_a_live_sink_in_the_catalog_needs_the_catalog_only(home: Path) -> None:
    live = {"view_a": "CREATE TABLE IF NOT EXISTS `lakehouse`.`streams`.`view_a` (n INT)"}
    assert names(directory(home, **live), "SELECT * FROM lakehouse.streams.view_a") == ["lakehouse"]


def test_all_names_are_known(home: Path) -> None:
    assert directory(home, view_a="CREATE TABLE view_a (n INT)").names() == [
        "lakehouse",
        "paid_rides",
        "payments",
        "rides_raw",
        "summary",
        "view_a",
    ]
    assert directory(home).find("nobody") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CREATE TABLE other (n INT)", "is not one CREATE TABLE or CREATE VIEW of bad"),
        ("CREATE TABLE bad (n INT); CREATE TABLE bad2 (n INT)", "is not one CREATE TABLE or CREATE VIEW of bad"),
        ("DROP TABLE bad", "is not one CREATE TABLE or CREATE VIEW of bad"),
        ("CREATE TABLE bad (n INT) WITH ('a' = ${NOBODY})", "tables/bad.sql:1: unknown variable ${NOBODY}"),
    ],
)
def test_a_wrong_declaration_says_what_is_wrong(home: Path, text: str, message: str) -> None:
    (home / "flink_sql" / "tables" / "bad.sql").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        directory(home).statements_for("SELECT * FROM bad")
    assert message in caught.value.message


def test_two_views_that_read_each_other_come_to_an_end(home: Path) -> None:
    for one, other in (("egg", "hen"), ("hen", "egg")):
        path = home / "flink_sql" / "tables" / f"{one}.sql"
        path.write_text(f"CREATE VIEW {one} AS SELECT * FROM {other}", encoding="utf-8")
    assert names(directory(home), "SELECT * FROM egg") == ["hen", "egg"]


@given(st.text(max_size=60))
def test_any_text_gives_an_answer_or_an_error_of_ours(text: str) -> None:
    with suppress(StatementError):
        assert TableDirectory(Settings()).statements_for(text) == []
