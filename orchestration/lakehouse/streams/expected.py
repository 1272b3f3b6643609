"""What silver and the rejected rows should hold, in DuckDB: the same decisions as the Flink SQL of a refresh."""

from __future__ import annotations

from orchestration.contracts import Column, DatasetContract
from orchestration.lakehouse.quality import verdict
from orchestration.sql import quote_duckdb

KEY, DAY, RULE = "_key", "_day", "_rule"
PLAIN_FROM, PLAIN_BELOW = "1e-3", "1e7"
"""Between them Java writes a double without exponent, as DuckDB does (java.lang.Double.toString)."""


def judged(contract: DatasetContract, source: str) -> str:
    """Return the query that adds surrogate key, partition date and broken rule (NULL: none) to bronze rows."""
    parts = " || '|' || ".join(_key_text(contract.column(name)) for name in contract.natural_key)
    day = f"CAST({quote_duckdb(contract.partition.field)} AS DATE)"
    return f"SELECT *, md5({parts}) AS {KEY}, {day} AS {DAY}, {verdict(contract)} AS {RULE} FROM {source}"


def silver_row(contract: DatasetContract) -> str:
    """Return the select list that makes a silver row of a judged row."""
    casts = [f"{_cast(column)} AS {quote_duckdb(column.silver_name)}" for column in contract.columns]
    key, day = quote_duckdb(contract.surrogate_key), quote_duckdb(contract.partition.name)
    return ", ".join([f"{KEY} AS {key}", *casts, "ingestion_ts", f"{DAY} AS {day}"])


def rejected_row(contract: DatasetContract) -> str:
    """Return the select list that makes a rejected row of a judged row."""
    names = [quote_duckdb(column.name) for column in contract.columns]
    return ", ".join(
        [f"{RULE} AS rejected_by", *names, "_kafka_partition", "_kafka_offset", "_kafka_timestamp", "ingestion_ts"]
    )


def compared(contract: DatasetContract) -> tuple[str, ...]:
    """Return the silver columns in which two arrivals of a key can differ; when they were loaded is none of them."""
    return tuple(quote_duckdb(column.silver_name) for column in contract.columns)


def _cast(column: Column) -> str:
    name = quote_duckdb(column.name)
    if column.bronze == column.silver:
        return name
    if column.silver.startswith("DECIMAL") and column.bronze in ("DOUBLE", "FLOAT"):
        # By way of its text: Flink rounds the shortest decimal form of the number half up, not its binary value.
        return f"CAST(CAST({name} AS VARCHAR) AS {column.silver})"
    return f"CAST({name} AS {_TYPES.get(column.silver, column.silver)})"


_TYPES = {"STRING": "VARCHAR", "TIMESTAMP(0)": "TIMESTAMP", "TIMESTAMP(3)": "TIMESTAMP", "TIMESTAMP(6)": "TIMESTAMP"}


def _key_text(column: Column) -> str:
    """Return a field as the text that Flink makes of it; NULL is empty."""
    name = quote_duckdb(column.name)
    match column.bronze:
        case "STRING":
            text = rf"replace(replace({name}, '\', '\\'), '|', '\|')"
        case "DOUBLE" | "FLOAT":
            text = _java_number(name)
        case "BOOLEAN":
            text = f"upper(CAST({name} AS VARCHAR))"
        case timestamp if timestamp.startswith("TIMESTAMP"):
            text = f"strftime({name}, '%Y-%m-%d %H:%M:%S.%f')"
        case _:
            text = f"CAST({name} AS VARCHAR)"
    return f"coalesce({text}, '')"


def _java_number(name: str) -> str:
    """Return a floating number as Java writes it: shortest digits, and an exponent from 1e7 on and below 1e-3.

    DuckDB writes the shortest digits too, so they only have to be put into the other form.
    """
    plain = f"CAST({name} AS VARCHAR)"
    # All digits of the number without sign, point, exponent, and zeros at either end.
    mantissa = f"split_part(ltrim({plain}, '-'), 'e', 1)"
    digits = f"rtrim(ltrim(replace({mantissa}, '.', ''), '0'), '0')"
    fraction_text = f"split_part({plain}, '.', 2)"
    zeros = f"length({fraction_text}) - length(ltrim({fraction_text}, '0'))"
    exponent = (
        f"CASE WHEN contains({plain}, 'e') THEN CAST(split_part({plain}, 'e', 2) AS INTEGER) "
        f"WHEN abs({name}) >= 1 THEN length(split_part(ltrim({plain}, '-'), '.', 1)) - 1 ELSE -1 - ({zeros}) END"
    )
    sign = f"CASE WHEN {name} < 0 THEN '-' ELSE '' END"
    fraction = f"CASE WHEN length({digits}) > 1 THEN substr({digits}, 2) ELSE '0' END"
    scientific = f"{sign} || left({digits}, 1) || '.' || {fraction} || 'E' || ({exponent})"
    is_plain = f"{name} = 0 OR (abs({name}) >= {PLAIN_FROM} AND abs({name}) < {PLAIN_BELOW})"
    return f"CASE WHEN {name} IS NULL THEN NULL WHEN {is_plain} THEN {plain} ELSE {scientific} END"
