"""Writes to Iceberg: what may be asked for, and the SQL that comes of it. No catalog."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from orchestration.dbt_plugin.writing.columns import added_columns, declared_columns
from orchestration.dbt_plugin.writing.request import Column, WriteRequest
from orchestration.dbt_plugin.writing.statements import content_of, create_table, merge_rows, replaced_rows
from orchestration.errors import ConfigError, ConflictError

PLACE = {"database": "lakehouse", "namespace": "gold", "name": "m", "sql": "select 1"}
ID, DAY = Column(name="id", type="BIGINT"), Column(name="day", type="DATE")


def request(**config: Any) -> WriteRequest:
    return WriteRequest.from_config({**PLACE, **config})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        pytest.param({"strategy": "merge"}, "merge needs unique_key", id="merge-without-key"),
        pytest.param({"strategy": "delete+insert"}, r"delete\+insert needs unique_key", id="keyed-without-key"),
        pytest.param({"strategy": "insert_overwrite"}, "needs partition_by", id="overwrite-without-partition"),
        pytest.param({"strategy": "replace_changed_dates", "unique_key": ["a", "b"]},
                     "one date column", id="two-dates"),
        pytest.param({"strategy": "replace_touched_dates", "unique_key": "day", "changed_dates": "dates"},
                     "replace_touched_dates needs changes_of", id="touched-of-what"),
        pytest.param({"partition_by": "week(day)"}, r"partition_by 'week\(day\)' is none of", id="no-such-transform"),
        pytest.param({"partition_by": "id; drop"}, "is none of", id="sql-in-a-partition"),
        pytest.param({"strategy": "insert_overwrite", "partition_by": "bucket(4, id)"},
                     "cannot tell the partitions", id="overwrite-of-buckets"),
        pytest.param({"format_version": 4}, "format_version", id="format-of-the-future"),
        pytest.param({"on_schema_change": "sync_all_columns"}, "on_schema_change", id="schema-change"),
        pytest.param({"strategy": "sometimes"}, "strategy", id="strategy"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_work_names_the_model_and_the_fault(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=f"model m: .*{reason}"):
        request(**config)


def test_append_alone_is_not_repeated() -> None:
    keyed = {"unique_key": "id", "changed_dates": "dates", "partition_by": "day"}
    strategies = ["replace", "append", "delete+insert", "insert_overwrite", "merge", "replace_changed_dates"]
    assert [one for one in strategies if not request(strategy=one, **keyed).is_repeatable] == ["append"]


def test_a_table_is_created_with_types_keys_partitions_and_format() -> None:
    one = request(partition_by=["month(day)", "bucket(4, id)"], format_version=2)
    columns = [ID.model_copy(update={"is_required": True}), DAY]
    assert create_table(one, columns) == (
        'CREATE TABLE "lakehouse"."gold"."m" ("id" BIGINT NOT NULL, "day" DATE)'
        " PARTITIONED BY (month(day), bucket(4, id))"
        " WITH ('millrace.partition-by' = 'month(day), bucket(4, id)', 'format-version' = '2')"
    )


@pytest.mark.parametrize(
    ("config", "condition"),
    [
        pytest.param({}, "true", id="replace"),
        pytest.param({"strategy": "append"}, "false", id="append"),
        pytest.param({"strategy": "append", "is_full_refresh": True}, "true", id="full-refresh"),
        pytest.param({"strategy": "delete+insert", "unique_key": ["id", "day"], "predicates": ["day > 0"]},
                     "EXISTS (SELECT 1 FROM new AS incoming WHERE target.\"id\" = incoming.\"id\" AND "
                     "target.\"day\" = incoming.\"day\") AND (day > 0)", id="by-key"),
        pytest.param({"strategy": "insert_overwrite", "partition_by": "month(day)"},
                     "EXISTS (SELECT 1 FROM new AS incoming WHERE date_trunc('month', target.\"day\") IS NOT DISTINCT "
                     "FROM date_trunc('month', incoming.\"day\"))", id="by-partition"),
        pytest.param({"strategy": "replace_changed_dates", "unique_key": "day", "changed_dates": "dates"},
                     'target."day" IN (SELECT changed_date FROM dates)', id="changed-dates"),
    ],
)  # fmt: skip
def test_rows_that_are_replaced(config: dict[str, Any], condition: str) -> None:
    assert replaced_rows(request(**config), "new") == condition


def test_merge_updates_the_columns_of_the_model_and_no_key() -> None:
    assert merge_rows(request(strategy="merge", unique_key="ID"), ["id", "day"], "new") == (
        'MERGE INTO "lakehouse"."gold"."m" AS target USING new AS incoming ON target."ID" = incoming."ID"'
        ' WHEN MATCHED THEN UPDATE SET "day" = incoming."day"'
        ' WHEN NOT MATCHED THEN INSERT ("id", "day") VALUES (incoming."id", incoming."day")'
    )


@pytest.mark.parametrize(
    ("rows", "is_same"),
    [
        pytest.param("(2, 'b'), (1, 'a')", True, id="another-order"),
        pytest.param("(1::bigint, 'a'), (2, 'b')", True, id="wider-integers"),
        pytest.param("(1, 'a'), (2, NULL)", False, id="a-null"),
        pytest.param("(1, 'a'), (2, 'b'), (2, 'b')", False, id="a-row-twice"),
        pytest.param("(1, 'a'), (2, 'b'), (3, 'c'), (3, 'c')", False, id="a-pair-that-an-xor-would-miss"),
    ],
)
def test_content_does_not_hang_on_the_order_of_rows(rows: str, is_same: bool) -> None:
    columns = [Column(name="a", type="INTEGER"), Column(name="b", type="VARCHAR")]
    with duckdb.connect() as conn:

        def content(values: str) -> object:
            return conn.execute(content_of(f"(from (values {values}) as v(a, b))", columns)).fetchone()

        assert (content(rows) == content("(1, 'a'), (2, 'b')")) is is_same


def test_a_query_that_breaks_its_contract_names_every_column() -> None:
    promised = [{"name": "id", "type": "INTEGER"}, {"name": "name", "type": "VARCHAR"}]
    with pytest.raises(ConfigError) as caught:
        declared_columns(request(contract=promised), [ID, DAY])
    assert "name is missing in the query; day is not in the contract; id is BIGINT in the query and INTEGER" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("kind", "is_iceberg"),
    [
        ("BIGINT", True), ("DECIMAL(38,2)", True), ("TIMESTAMP WITH TIME ZONE", True), ("VARCHAR[]", True),
        ("STRUCT(a INTEGER)", True), ("HUGEINT", False), ("SMALLINT", False), ("UBIGINT", False), ("INTERVAL", False),
    ],
)  # fmt: skip
def test_types_of_iceberg(kind: str, is_iceberg: bool) -> None:
    columns = [Column(name="c", type=kind)]
    if is_iceberg:
        assert declared_columns(request(), columns) == tuple(columns)
        return
    with pytest.raises(ConfigError, match=f"c is {kind}: cast it to"):
        declared_columns(request(), columns)


NAME = Column(name="name", type="VARCHAR")
KEYED = {"strategy": "delete+insert", "unique_key": "id"}


@pytest.mark.parametrize(
    ("config", "columns", "added"),
    [
        pytest.param({}, [ID, DAY, NAME], [NAME], id="table-gets-it"),
        pytest.param(KEYED, [ID, DAY, NAME], [], id="ignored"),
        pytest.param({**KEYED, "on_schema_change": "append_new_columns"}, [ID, DAY, NAME], [NAME], id="appended"),
        pytest.param({**KEYED, "on_schema_change": "append_new_columns"}, [ID], [], id="dropped-and-kept"),
        pytest.param({**KEYED, "on_schema_change": "fail"}, [ID, DAY, NAME], "name is new", id="fails-on-new"),
        pytest.param({**KEYED, "on_schema_change": "fail"}, [ID], "day is no longer", id="fails-on-dropped"),
        pytest.param({}, [ID], "day is no longer", id="table-without-it"),
        pytest.param(KEYED, [Column(name="ID", type="INTEGER"), DAY], "ID is BIGINT in the table", id="retyped"),
    ],
)
def test_columns_that_a_table_gets(config: dict[str, Any], columns: list[Column], added: list[Column] | str) -> None:
    if isinstance(added, str):
        with pytest.raises(ConflictError, match=added):
            added_columns(request(**config), columns, [ID, DAY])
        return
    assert list(added_columns(request(**config), columns, [ID, DAY])) == added
