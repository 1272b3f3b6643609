"""Whole SQL texts of a small dataset: what reaches Flink is what stands here."""

from __future__ import annotations

from datetime import date

import pytest

from orchestration.broker.offsets import LogRange
from orchestration.contracts import load_contract
from orchestration.errors import ConfigError
from orchestration.flink.text.catalog_sql import create_catalog, create_namespace
from orchestration.lakehouse import statements
from tests.unit.tiny import tiny_contract

BRONZE = """\
CREATE TABLE IF NOT EXISTS `lakehouse`.`bronze`.`raw_rides` (
    `Zone` BIGINT,
    `start` TIMESTAMP(3),
    `fare` DOUBLE,
    `shared` BOOLEAN,
    `note` STRING,
    `_kafka_partition` INT,
    `_kafka_offset` BIGINT,
    `_kafka_timestamp` TIMESTAMP_LTZ(3),
    `ingestion_ts` TIMESTAMP(3)
) WITH (
    'format-version' = '2',
    'write.format.default' = 'parquet',
    'write.parquet.compression-codec' = 'snappy',
    'write.parquet.dict-size-bytes' = '65536'
)"""

SILVER = """\
CREATE TABLE IF NOT EXISTS `lakehouse`.`silver`.`rides` (
    `ride_id` STRING,
    `zone_id` INT,
    `started_at` TIMESTAMP(3),
    `fare` DECIMAL(6, 2),
    `is_shared` BOOLEAN,
    `note` STRING,
    `ingestion_ts` TIMESTAMP(3),
    `ride_date` DATE
) PARTITIONED BY (`ride_date`) WITH (
    'format-version' = '2',
    'write.format.default' = 'parquet',
    'write.parquet.compression-codec' = 'snappy',
    'write.parquet.dict-size-bytes' = '65536',
    'write.distribution-mode' = 'none'
)"""

REJECTED = """\
CREATE TABLE IF NOT EXISTS `lakehouse`.`silver`.`refused_rides` (
    `rejected_by` STRING,
    `Zone` BIGINT,
    `start` TIMESTAMP(3),
    `fare` DOUBLE,
    `shared` BOOLEAN,
    `note` STRING,
    `_kafka_partition` INT,
    `_kafka_offset` BIGINT,
    `_kafka_timestamp` TIMESTAMP_LTZ(3),
    `ingestion_ts` TIMESTAMP(3)
) WITH (
    'format-version' = '2',
    'write.format.default' = 'parquet',
    'write.parquet.compression-codec' = 'snappy',
    'write.parquet.dict-size-bytes' = '65536'
)"""

SOURCE = """\
CREATE TEMPORARY TABLE kafka_source (
    `Zone` BIGINT,
    `start` TIMESTAMP(3),
    `fare` DOUBLE,
    `shared` BOOLEAN,
    `note` STRING,
    `_kafka_partition` INT METADATA FROM 'partition' VIRTUAL,
    `_kafka_offset` BIGINT METADATA FROM 'offset' VIRTUAL,
    `_kafka_timestamp` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
) WITH (
    'connector' = 'kafka',
    'topic' = 'rides.raw',
    'properties.bootstrap.servers' = 'h:9092',
    'properties.group.id' = 'millrace-rides-bronze',
    'properties.auto.offset.reset' = 'none',
    'scan.startup.mode' = 'specific-offsets',
    'scan.startup.specific-offsets' = 'partition:0,offset:0;partition:1,offset:4',
    'scan.bounded.mode' = 'specific-offsets',
    'scan.bounded.specific-offsets' = 'partition:0,offset:0;partition:1,offset:9',
    'format' = 'json',
    'json.timestamp-format.standard' = 'ISO-8601',
    'json.ignore-parse-errors' = 'false'
)"""

LOAD = """\
INSERT INTO `lakehouse`.`bronze`.`raw_rides`
SELECT
    `Zone`,
    `start`,
    `fare`,
    `shared`,
    `note`,
    `_kafka_partition`,
    `_kafka_offset`,
    `_kafka_timestamp`,
    CAST(CURRENT_TIMESTAMP AS TIMESTAMP(3)) AS `ingestion_ts`
FROM kafka_source
WHERE TRUE"""

# Lines over 120 characters are put together here.
IN_RANGE = "(Zone IS NULL OR Zone BETWEEN -2147483648 AND 2147483647) AND (fare IS NULL OR fare BETWEEN -9999 AND 9999)"
JUDGED = f"""\
CREATE TEMPORARY VIEW judged AS
SELECT
    *,
    CASE
        WHEN NOT (COALESCE(start IS NOT NULL, FALSE)) THEN 'start_missing'
        WHEN NOT (COALESCE(CAST(start AS DATE) >= DATE '2024-01-01', FALSE)) THEN 'before_window'
        WHEN NOT (COALESCE(fare >= 0, TRUE)) THEN 'fare_negative'
        WHEN NOT ({IN_RANGE}) THEN 'value_out_of_range'
    END AS `rejected_by`
FROM `lakehouse`.`bronze`.`raw_rides` /*+ OPTIONS('start-snapshot-id' = '41', 'end-snapshot-id' = '42') */"""

REBUILD = """\
INSERT OVERWRITE `lakehouse`.`silver`.`rides`
SELECT
    MD5(COALESCE(CAST(`Zone` AS STRING), '') || '|' || COALESCE(CAST(CAST(`start` AS TIMESTAMP(6)) AS STRING), '')),
    CAST(`Zone` AS INT),
    `start`,
    CAST(`fare` AS DECIMAL(6, 2)),
    `shared`,
    `note`,
    `ingestion_ts`,
    CAST(`start` AS DATE)
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY `start`, `Zone`
            ORDER BY `_kafka_timestamp` DESC, `_kafka_offset` DESC, `_kafka_partition` DESC
        ) AS `arrival_rank`
    FROM judged
    WHERE `rejected_by` IS NULL AND TRUE
)
WHERE `arrival_rank` = 1"""

REFRESH = """\
INSERT OVERWRITE `lakehouse`.`silver`.`rides`
SELECT
    `ride_id`,
    `zone_id`,
    `started_at`,
    `fare`,
    `is_shared`,
    `note`,
    `ingestion_ts`,
    `ride_date`
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY `ride_id`
            ORDER BY `is_new` DESC, `arrived_at` DESC, `arrival_offset` DESC, `arrival_partition` DESC
        ) AS `arrival_rank`
    FROM (
        SELECT
            MD5(COALESCE(CAST(`Zone` AS STRING), '') || '|' || COALESCE(CAST(CAST(`start` AS TIMESTAMP(6)) AS STRING), '')) AS `ride_id`,
    CAST(`Zone` AS INT) AS `zone_id`,
    `start` AS `started_at`,
    CAST(`fare` AS DECIMAL(6, 2)) AS `fare`,
    `shared` AS `is_shared`,
    `note` AS `note`,
            `ingestion_ts`,
            CAST(`start` AS DATE) AS `ride_date`,
            1 AS `is_new`,
            `_kafka_timestamp` AS `arrived_at`,
            `_kafka_offset` AS `arrival_offset`,
            `_kafka_partition` AS `arrival_partition`
        FROM judged
        WHERE `rejected_by` IS NULL AND TRUE
        UNION ALL
        SELECT
            `ride_id`,
    `zone_id`,
    `started_at`,
    `fare`,
    `is_shared`,
    `note`,
            `ingestion_ts`,
            `ride_date`,
            0,
            CAST(NULL AS TIMESTAMP_LTZ(3)),
            CAST(NULL AS BIGINT),
            CAST(NULL AS INT)
        FROM `lakehouse`.`silver`.`rides`
        WHERE `ride_date` IN (DATE '2024-01-05', DATE '2024-02-01')
    )
)
WHERE `arrival_rank` = 1"""  # noqa: E501

STORE_REJECTED = """\
INSERT INTO `lakehouse`.`silver`.`refused_rides`
SELECT
    `rejected_by`,
    `Zone`,
    `start`,
    `fare`,
    `shared`,
    `note`,
    `_kafka_partition`,
    `_kafka_offset`,
    `_kafka_timestamp`,
    `ingestion_ts`
FROM judged
WHERE `rejected_by` IS NOT NULL AND TRUE"""


def test_the_catalog_takes_any_value_as_a_literal() -> None:
    sql = create_catalog({"type": "iceberg", "uri": "http://h:1/o'neil", "warehouse": "${HOME}"})
    assert (
        sql
        == """\
CREATE CATALOG IF NOT EXISTS `lakehouse` WITH (
    'type' = 'iceberg',
    'uri' = 'http://h:1/o''neil',
    'warehouse' = '${HOME}'
)"""
    )


def test_a_value_with_a_line_break_is_refused() -> None:
    with pytest.raises(ConfigError, match="control character"):
        create_catalog({"uri": "a\nb"})


def test_a_namespace_is_created_if_it_is_not_there() -> None:
    assert create_namespace("silver") == "CREATE DATABASE IF NOT EXISTS `lakehouse`.`silver`"


def test_bronze_keeps_source_names_and_adds_the_records_place() -> None:
    assert statements.create_bronze(tiny_contract()) == BRONZE


def test_silver_is_partitioned_by_the_day() -> None:
    assert statements.create_silver(tiny_contract()) == SILVER


def test_rejected_rows_keep_bronze_columns_and_the_rule() -> None:
    assert statements.create_rejected(tiny_contract()) == REJECTED


@pytest.mark.parametrize("is_tolerant", [False, True], ids=["strict", "tolerant"])
def test_the_source_lists_every_partition_in_both_offset_lists(is_tolerant: bool) -> None:
    ranges = {1: LogRange(4, 9), 0: LogRange(0, 0)}
    options = {"properties.bootstrap.servers": "h:9092"}
    sql = statements.create_source(tiny_contract(), ranges, options, is_tolerant=is_tolerant)
    assert sql == (SOURCE.replace("errors' = 'false'", "errors' = 'true'") if is_tolerant else SOURCE)


@pytest.mark.parametrize(
    ("excluded", "condition"),
    [
        pytest.param({}, "TRUE", id="nothing left out"),
        pytest.param({0: []}, "TRUE", id="an empty list"),
        pytest.param(
            {1: [9, 3], 0: [2]},
            "NOT (`_kafka_partition` = 0 AND `_kafka_offset` IN (2)) AND "
            "NOT (`_kafka_partition` = 1 AND `_kafka_offset` IN (3, 9))",
            id="dead-lettered records",
        ),
    ],
)
def test_the_bronze_insert_leaves_out_dead_lettered_records(excluded: dict[int, list[int]], condition: str) -> None:
    assert statements.load_bronze(tiny_contract(), excluded) == LOAD.replace("WHERE TRUE", f"WHERE {condition}")


def test_new_rows_are_judged_from_the_snapshots_after_the_mark() -> None:
    assert statements.create_judged(tiny_contract(), after=41, upto=42) == JUDGED


def test_all_rows_are_judged_from_one_snapshot() -> None:
    whole = JUDGED.replace("'start-snapshot-id' = '41', 'end-snapshot-id' = '42'", "'snapshot-id' = '42'")
    assert statements.create_judged(tiny_contract(), after=None, upto=42) == whole


def test_a_rebuild_keeps_the_latest_arrival_of_each_natural_key() -> None:
    assert statements.rebuild_silver(tiny_contract()) == REBUILD


def test_a_refresh_rewrites_only_the_touched_days_and_new_rows_win() -> None:
    assert statements.refresh_silver(tiny_contract(), [date(2024, 1, 5), date(2024, 2, 1)]) == REFRESH


def test_rejected_rows_are_appended_with_the_rules_name() -> None:
    assert statements.store_rejected(tiny_contract(), skip_stored=False) == STORE_REJECTED


def test_a_rebuild_replaces_the_rejected_rows_in_its_own_commit() -> None:
    expected = STORE_REJECTED.replace("INSERT INTO", "INSERT OVERWRITE")
    assert statements.rebuild_rejected(tiny_contract()) == expected


def test_rejected_rows_of_a_killed_run_are_not_stored_again() -> None:
    stored = (
        "NOT EXISTS (SELECT 1 FROM `lakehouse`.`silver`.`refused_rides` AS stored WHERE "
        "stored.`_kafka_partition` = judged.`_kafka_partition` AND stored.`_kafka_offset` = judged.`_kafka_offset`)"
    )
    expected = STORE_REJECTED.removesuffix("TRUE") + stored
    assert statements.store_rejected(tiny_contract(), skip_stored=True) == expected


@pytest.mark.parametrize(
    ("inserts", "sql"),
    [
        (["INSERT INTO a SELECT 1"], "INSERT INTO a SELECT 1"),
        (
            ["INSERT INTO a SELECT 1", "INSERT INTO b SELECT 2"],
            "EXECUTE STATEMENT SET\nBEGIN\nINSERT INTO a SELECT 1;\nINSERT INTO b SELECT 2;\nEND",
        ),
    ],
    ids=["one", "two"],
)
def test_several_inserts_are_one_job(inserts: list[str], sql: str) -> None:
    assert statements.statement_set(inserts) == sql


def test_text_in_the_natural_key_cannot_pass_for_another_key() -> None:
    contract = load_contract("taxi").model_copy(update={"natural_key": ("store_and_fwd_flag", "tpep_pickup_datetime")})
    sql = statements.rebuild_silver(contract)
    escaped = r"COALESCE(REPLACE(REPLACE(`store_and_fwd_flag`, '\', '\\'), '|', '\|'), '')"
    assert f"MD5({escaped} || '|' || COALESCE(CAST(CAST(`tpep_pickup_datetime` AS TIMESTAMP(6)) AS STRING), ''))" in sql
    assert "PARTITION BY `tpep_pickup_datetime`, COALESCE(`store_and_fwd_flag`, '')" in sql


def test_a_part_of_the_dates_is_a_range_that_file_statistics_can_use() -> None:
    within = (date(2024, 1, 5), date(2024, 1, 31))
    expected = "`start` >= TIMESTAMP '2024-01-05 00:00:00' AND `start` < TIMESTAMP '2024-02-01 00:00:00'"
    assert f"WHERE `rejected_by` IS NULL AND {expected}" in statements.rebuild_silver(tiny_contract(), within)
    assert f"WHERE `rejected_by` IS NULL AND {expected}" in statements.refresh_silver(
        tiny_contract(), [date(2024, 1, 5), date(2024, 1, 31)], within
    )
