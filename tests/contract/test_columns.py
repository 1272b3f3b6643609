"""One set of columns: dataset.yml = Flink DDL = dbt sources."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from orchestration.contracts import DatasetContract, list_datasets, load_contract
from orchestration.lakehouse.statements import create_bronze, create_rejected, create_silver
from orchestration.naming import CATALOG
from orchestration.sql import split_table
from tests.contract.checkout import ROOT

LINEAGE = {
    "_kafka_partition": "INT",
    "_kafka_offset": "BIGINT",
    "_kafka_timestamp": "TIMESTAMP_LTZ(3)",
    "ingestion_ts": "TIMESTAMP(3)",
}
COLUMN = re.compile(r"    `(\w+)` ([A-Z_]+(?:\([\d, ]+\))?),?")


def ddl_columns(sql: str) -> dict[str, str]:
    """Return name to type of a CREATE TABLE, in order."""
    lines = sql[: sql.index("\n)")].splitlines()[1:]
    found = [COLUMN.fullmatch(line) for line in lines]
    assert all(found), sql
    return {match[1]: match[2] for match in found if match}


def sources() -> dict[str, dict[str, Any]]:
    """Return `schema.table` to the source of dbt, over all files."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "dbt" / "models").rglob("*.yml")):
        for source in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("sources", ()):
            assert source["database"] == CATALOG
            for table in source["tables"]:
                found[f"{source.get('schema', source['name'])}.{table.get('identifier', table['name'])}"] = table
    return found


@pytest.fixture(params=list_datasets())
def contract(request: pytest.FixtureRequest) -> DatasetContract:
    return load_contract(request.param)


def test_bronze_is_the_contract_and_the_records_place(contract: DatasetContract) -> None:
    expected = {column.name: column.bronze for column in contract.columns} | LINEAGE
    assert list(ddl_columns(create_bronze(contract)).items()) == list(expected.items())


def test_silver_is_the_contract_with_its_keys(contract: DatasetContract) -> None:
    expected = {
        contract.surrogate_key: "STRING",
        **{column.silver_name: column.silver for column in contract.columns},
        "ingestion_ts": "TIMESTAMP(3)",
        contract.partition.name: "DATE",
    }
    assert list(ddl_columns(create_silver(contract)).items()) == list(expected.items())
    assert tuple(expected) == contract.silver_columns


def test_rejected_is_bronze_with_the_rules_name(contract: DatasetContract) -> None:
    expected = {"rejected_by": "STRING", **{column.name: column.bronze for column in contract.columns}, **LINEAGE}
    assert list(ddl_columns(create_rejected(contract)).items()) == list(expected.items())


def test_dbt_reads_the_tables_that_flink_writes_and_no_others() -> None:
    written: set[str] = set()
    for name in list_datasets():
        written |= set(load_contract(name).tables.model_dump().values())
    assert set(sources()) <= written


DUCKDB = {"STRING": "VARCHAR", "INT": "INTEGER", "TIMESTAMP(3)": "TIMESTAMP", "TIMESTAMP_LTZ(3)": "TIMESTAMPTZ"}


@pytest.mark.parametrize("layer", ["silver", "rejected"])
def test_dbts_source_has_the_columns_of_the_table(contract: DatasetContract, layer: str) -> None:
    table = getattr(contract.tables, layer)
    source = sources().get(table)
    if contract.name != "taxi" and source is None:
        return
    assert source is not None, f"{table} is no source of dbt"
    ddl = ddl_columns(create_silver(contract) if layer == "silver" else create_rejected(contract))
    assert [column["name"] for column in source["columns"]] == list(ddl)
    for column in source["columns"]:
        flink = ddl[column["name"]]
        assert column["data_type"].upper().replace(" ", "") == DUCKDB.get(flink, flink).upper().replace(" ", "")


def test_schemas_of_a_dataset_are_plain_names(contract: DatasetContract) -> None:
    for table in contract.tables.model_dump().values():
        assert len(split_table(table)) == 2
