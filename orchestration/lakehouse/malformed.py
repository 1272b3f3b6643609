"""Finding broker records that break the contract, by offset and with the reason; one vectorised pass in DuckDB.

Flink's JSON format hides them: with `ignore-parse-errors` a record that is no object disappears and a field of another
type becomes NULL; without it one record fails the job, and still `"7"`, `8.9` and `true` pass for an integer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import duckdb
import pyarrow as pa

from orchestration.broker.dead_letters import BadRecord
from orchestration.contracts import Column, DatasetContract
from orchestration.generator.encode_sql import FLOAT_MAX
from orchestration.sql import quote_literal

# Hour 24 is the next day for DuckDB and the same day for Flink.
_DATE_TIME = r"^\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):\d{2}(:\d{2}(\.\d{1,9})?)?$"
_DATE = r"^\d{4}-\d{2}-\d{2}$"


def find_malformed(contract: DatasetContract, batches: Iterable[pa.RecordBatch | pa.Table]) -> list[BadRecord]:
    """Return the records that break the contract, in order.

    Args:
        batches: raw records with the columns partition, offset and value (binary).
    """
    query = _query(contract)
    found: list[BadRecord] = []
    with duckdb.connect() as connection:
        for batch in batches:
            connection.register("records", batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch]))
            found += [BadRecord(*row) for row in connection.execute(query).fetchall()]
    return found


def _query(contract: DatasetContract) -> str:
    paths = ", ".join(quote_literal(f'$."{column.name}"') for column in contract.columns)
    whens = "\n".join(
        f"WHEN NOT ({_accepts(column, position)}) THEN {quote_literal(_complaint(column))}"
        for position, column in enumerate(contract.columns, start=1)
    )
    return f"""
        WITH decoded AS (SELECT partition, "offset", value, TRY(decode(value)) AS body FROM records),
        parsed AS (
            SELECT *, CASE WHEN json_valid(body) THEN json_type(body) END AS root FROM decoded
        ),
        typed AS (
            SELECT *,
                CASE WHEN root = 'OBJECT' THEN json_type(body, [{paths}]) END AS types,
                CASE WHEN root = 'OBJECT' THEN json_extract_string(body, [{paths}]) END AS texts
            FROM parsed
        ),
        judged AS (
            SELECT partition, "offset", value, CASE
                WHEN value IS NULL THEN 'tombstone: the record has no value'
                WHEN body IS NULL THEN 'not UTF-8 text'
                WHEN root IS NULL THEN 'not JSON'
                WHEN root <> 'OBJECT' THEN 'JSON, but not an object'
                WHEN len(json_keys(body)) <> len(list_distinct(json_keys(body))) THEN 'a field is there twice'
                {whens}
            END AS reason
            FROM typed
        )
        SELECT partition, "offset", value, reason FROM judged WHERE reason IS NOT NULL ORDER BY partition, "offset"
    """


def _accepts(column: Column, position: int) -> str:
    """Return the SQL predicate under which the field's JSON value fits the column; absent and null always fit."""
    kind, text = f"types[{position}]", f"texts[{position}]"
    absent = f"({kind} IS NULL OR {kind} = 'NULL')"
    if column.json_type == "integer":
        target = "INTEGER" if column.bronze == "INT" else "BIGINT"
        # 1.0 is an integer for JSON Schema, 1.5 is not.
        whole = f"TRY_CAST({text} AS DOUBLE) = floor(TRY_CAST({text} AS DOUBLE))"
        fits = f"{kind} IN ('BIGINT', 'UBIGINT', 'DOUBLE') AND TRY_CAST({text} AS {target}) IS NOT NULL AND {whole}"
    elif column.json_type == "number":
        number = f"TRY_CAST({text} AS DOUBLE)"
        fits = f"{kind} IN ('BIGINT', 'UBIGINT', 'DOUBLE') AND isfinite({number}){_in_range(column, number)}"
    elif column.json_type == "boolean":
        fits = f"{kind} = 'BOOLEAN'"
    elif column.json_type == "date-time":
        pattern = quote_literal(_DATE_TIME)
        fits = f"{kind} = 'VARCHAR' AND regexp_matches({text}, {pattern}) AND TRY_CAST({text} AS TIMESTAMP) IS NOT NULL"
    elif column.json_type == "date":
        pattern = quote_literal(_DATE)
        fits = f"{kind} = 'VARCHAR' AND regexp_matches({text}, {pattern}) AND TRY_CAST({text} AS DATE) IS NOT NULL"
    else:
        fits = f"{kind} = 'VARCHAR'"
    return f"{absent} OR COALESCE({fits}, FALSE)"


def _in_range(column: Column, number: str) -> str:
    """Return the rest of the predicate for types that hold less than a double: Flink makes NULL or infinity of more."""
    if column.bronze == "FLOAT":
        return f" AND abs({number}) <= {FLOAT_MAX!r}"
    decimal = re.match(r"DECIMAL\((\d+), ?(\d+)\)", column.bronze)
    return f" AND abs({number}) < 1e{int(decimal[1]) - int(decimal[2])}" if decimal else ""


def _complaint(column: Column) -> str:
    article = "an" if column.json_type == "integer" else "a"
    return f"field {column.name} is not {article} {column.json_type}"
