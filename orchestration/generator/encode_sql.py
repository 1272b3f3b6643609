"""The SQL of the encoder: the JSON of a row by the contract, and the conditions under which it is refused."""

from __future__ import annotations

import re

import pyarrow as pa

from orchestration.contracts import Column, DatasetContract
from orchestration.generator.drift import family_of
from orchestration.sql import quote_duckdb, quote_literal

BAD_TEXT = "__bad_text"
"""Column of `source`: name of the row's first column whose text is not UTF-8, null if there is none."""

_INTEGERS = {"INT": (-(2**31), 2**31 - 1), "BIGINT": (-(2**63), 2**63 - 1)}
_ARROW_INTEGERS = {"int8", "int16", "int32", "uint8", "uint16"}
FLOAT_MAX = 3.4028234663852886e38
_FRACTION = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_UNIT = {0: "second", 3: "millisecond", 6: "microsecond"}


def events_query(
    contract: DatasetContract, schema: pa.Schema, identity: str, key_field: str, check_contract: bool = True
) -> str:
    """Return the query over `source` that gives value, key, header, row, time_us and reason of each row.

    DuckDB keeps the order of a scan (preserve_insertion_order); a sort would cost a tenth of the pass.

    A refused row has a reason and nulls for the rest; a good one has reason null.
    """
    fields = ",\n        ".join(
        f"{quote_literal(column.name)}: {json_value(column, schema.field(column.name).type)}"
        for column in contract.columns
    )
    key = json_value(contract.column(key_field), schema.field(key_field).type)
    return f"""WITH judged AS (SELECT *, {_reason(contract, schema, check_contract)} AS __reason FROM source)
SELECT
    CASE WHEN __reason IS NULL THEN to_json({{
        {fields}
    }})::VARCHAR END AS "value",
    CASE WHEN __reason IS NULL THEN coalesce(({key})::VARCHAR, '') END AS "key",
    {_header(identity)} AS header,
    __row AS "row",
    CASE WHEN __reason IS NULL THEN epoch_us({_timestamp(contract.event_time)}) END AS time_us,
    __reason AS reason
FROM judged"""


def dead_letters_query(contract: DatasetContract, schema: pa.Schema, identity: str, check_contract: bool = True) -> str:
    """Return the query over `source` that gives the envelope of each refused row; parameter 1: time of rejection."""
    fields = ",\n        ".join(
        f"{quote_literal(column.name)}: {readable_value(column, schema.field(column.name).type)}"
        for column in contract.columns
    )
    return f"""WITH judged AS (SELECT *, {_reason(contract, schema, check_contract)} AS __reason FROM source)
SELECT
    to_json({{'error': __reason, 'row': {{
        {fields}
    }}, 'timestamp': ?::VARCHAR}})::VARCHAR AS "value",
    NULL::VARCHAR AS "key",
    {_header(identity)} AS header,
    __row AS "row",
    NULL::BIGINT AS time_us
FROM judged
WHERE __reason IS NOT NULL"""


def json_value(column: Column, kind: pa.DataType) -> str:
    """Return the expression whose JSON is the field's value; it never fails, also on rows that are refused."""
    name, family = quote_duckdb(column.name), family_of(kind)
    if column.json_type == "integer":
        return name if family == "integer" else f"TRY_CAST({name} AS BIGINT)"
    if column.json_type == "number":
        return f"{name}::DOUBLE" if family in ("decimal", "null") else name
    if column.json_type == "date-time":
        time = _timestamp(column.name)
        kept = _kept_fraction(column)
        if _FRACTION[kind.unit if pa.types.is_timestamp(kind) else "ns"] > kept:
            time = f"date_trunc('{_UNIT[kept]}', {time})"
        # A cast to text is four times as fast as strftime, and prints a fraction only if there is one.
        return f"{time}::DATE::VARCHAR || 'T' || {time}::TIME::VARCHAR"
    if column.json_type == "date":
        return f"TRY_CAST({name} AS DATE)::VARCHAR"
    return f"{name}::BOOLEAN" if column.json_type == "boolean" else f"{name}::VARCHAR"


def readable_value(column: Column, kind: pa.DataType) -> str:
    """Return the expression of the field in a dead letter: as in the file, and as text where JSON has no such value."""
    name, family = quote_duckdb(column.name), family_of(kind)
    if family == "floating":
        return f"CASE WHEN isfinite({name}) THEN to_json({name}) ELSE to_json({name}::VARCHAR) END"
    if family in ("timestamp", "date"):
        return f"replace(TRY({name}::VARCHAR), ' ', 'T')"
    return f"{name}::DOUBLE" if family == "decimal" else name


def refusals(column: Column, kind: pa.DataType, check_contract: bool = True) -> list[tuple[str, str]]:
    """Return (condition, reason) pairs, in the order of checking. A condition that is NULL does not refuse."""
    name, family = quote_duckdb(column.name), family_of(kind)
    found: list[tuple[str, str]] = []
    if check_contract and column.is_required:
        found.append((f"{name} IS NULL", "is required and missing"))
    if family == "floating" and column.json_type in ("integer", "number"):
        found.append((f"NOT isfinite({name})", "is not a finite number"))
    if column.json_type == "integer":
        if family in ("floating", "decimal"):
            found.append((f"{name} <> trunc({name})", "is not a whole number"))
        low, high = _INTEGERS.get(column.bronze, _INTEGERS["BIGINT"])
        if str(kind) not in _ARROW_INTEGERS and (str(kind), column.bronze) not in (
            ("int64", "BIGINT"),
            ("int32", "INT"),
        ):
            # As doubles the upper bounds round up to the next power of two, which is out of range itself.
            inside = (
                f"{name} >= {low} AND {name} < {high + 1}"
                if family == "floating"
                else f"{name} BETWEEN {low} AND {high}"
            )
            found.append((f"NOT ({inside})", f"is out of the range of {column.bronze}"))
    if column.json_type == "number":
        found += [
            (f"abs({name}) {comparison} {bound}", f"is out of the range of {column.bronze}")
            for comparison, bound in _number_bounds(column, family)
        ]
    if column.json_type == "date-time":
        years = f"{_timestamp(column.name)} BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59.999999'"
        found.append((f"{name} IS NOT NULL AND NOT coalesce({years}, FALSE)", "is not in the years 1 to 9999"))
    if column.json_type == "date":
        years = f"TRY_CAST({name} AS DATE) BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'"
        found.append((f"{name} IS NOT NULL AND NOT coalesce({years}, FALSE)", "is not in the years 1 to 9999"))
    return [(condition, f"{column.name} {reason}") for condition, reason in found]


def _reason(contract: DatasetContract, schema: pa.Schema, check_contract: bool) -> str:
    whens = f"\n    WHEN {BAD_TEXT} IS NOT NULL THEN {BAD_TEXT} || ' is not UTF-8 text'" + "".join(
        f"\n    WHEN {condition} THEN {quote_literal(reason)}"
        for column in contract.columns
        for condition, reason in refusals(column, schema.field(column.name).type, check_contract)
    )
    return f"CASE{whens}\nEND"


def _header(identity: str) -> str:
    return f"{quote_literal(identity + '/')} || __row"


def _timestamp(name: str) -> str:
    return f"TRY_CAST({quote_duckdb(name)} AS TIMESTAMP)"


def _kept_fraction(column: Column) -> int:
    digits = re.search(r"TIMESTAMP\((\d)\)", column.bronze)
    return int(digits[1]) if digits else 6


def _number_bounds(column: Column, family: str) -> list[tuple[str, str]]:
    if column.bronze == "FLOAT" and family == "floating":
        return [(">", repr(FLOAT_MAX))]
    decimal = re.match(r"DECIMAL\((\d+), ?(\d+)\)", column.bronze)
    return [(">=", f"1e{int(decimal[1]) - int(decimal[2])}")] if decimal else []
