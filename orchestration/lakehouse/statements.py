"""Flink SQL of a dataset: the templates of `flink_sql/`, filled by its contract. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from orchestration.broker.offsets import LogRange
from orchestration.contracts import Column, DatasetContract
from orchestration.flink.tables.directory import source_columns
from orchestration.flink.text.render import render
from orchestration.naming import CATALOG
from orchestration.sql import options_clause, quote_flink, quote_literal, split_table

SOURCE = "kafka_source"
JUDGED = "judged"


def qualified(table: str) -> str:
    """Return `schema.table` as a quoted three-part Flink name in the Iceberg catalog."""
    return ".".join(quote_flink(part) for part in (CATALOG, *split_table(table)))


def create_bronze(contract: DatasetContract) -> str:
    """Return CREATE TABLE IF NOT EXISTS of bronze."""
    return render(
        "bronze/table.sql", {"TABLE": qualified(contract.tables.bronze), "COLUMNS": source_columns(contract.columns)}
    )


def create_silver(contract: DatasetContract) -> str:
    """Return CREATE TABLE IF NOT EXISTS of silver."""
    columns = _lines(f"{quote_flink(column.silver_name)} {column.silver}" for column in contract.columns)
    return render(
        "silver/table.sql",
        {
            "TABLE": qualified(contract.tables.silver),
            "SURROGATE_KEY": quote_flink(contract.surrogate_key),
            "COLUMNS": columns,
            "PARTITION": quote_flink(contract.partition.name),
        },
    )


def create_rejected(contract: DatasetContract) -> str:
    """Return CREATE TABLE IF NOT EXISTS of the rejected rows."""
    return render(
        "silver/rejected_table.sql",
        {"TABLE": qualified(contract.tables.rejected), "COLUMNS": source_columns(contract.columns)},
    )


def create_source(
    contract: DatasetContract, ranges: Mapping[int, LogRange], broker: Mapping[str, str], *, is_tolerant: bool
) -> str:
    """Return the Kafka source table over exactly these offsets.

    Args:
        ranges: every partition of the topic.
        broker: `properties.*` options of the connector (bootstrap servers, security).
        is_tolerant: skip records that do not parse instead of failing; only after they were dead-lettered.
    """
    options = {
        "connector": "kafka",
        "topic": contract.topic,
        **broker,
        "properties.group.id": f"millrace-{contract.name}-bronze",
        # Offsets below the start of the log are checked before; a reset would skip records silently.
        "properties.auto.offset.reset": "none",
        "scan.startup.mode": "specific-offsets",
        "scan.startup.specific-offsets": _offsets({p: r.start for p, r in ranges.items()}),
        "scan.bounded.mode": "specific-offsets",
        "scan.bounded.specific-offsets": _offsets({p: r.end for p, r in ranges.items()}),
        "format": "json",
        "json.timestamp-format.standard": "ISO-8601",
        "json.ignore-parse-errors": "true" if is_tolerant else "false",
    }
    columns = source_columns(contract.columns)
    return render("sources/kafka.sql", {"SOURCE": SOURCE, "COLUMNS": columns, "OPTIONS": options_clause(options)})


def create_group_source(contract: DatasetContract, broker: Mapping[str, str], *, group: str) -> str:
    """Return the endless Kafka source table of a stream, from the offsets that its consumer group committed.

    Args:
        broker: as in `create_source`.
        group: read by this stream alone; Flink commits to it after each checkpoint.
    """
    options = {
        "connector": "kafka",
        "topic": contract.topic,
        **broker,
        "properties.group.id": group,
        # The group's offsets are set before a start. One that retention took away must fail, not skip records.
        "properties.auto.offset.reset": "none",
        "scan.startup.mode": "group-offsets",
        "format": "json",
        "json.timestamp-format.standard": "ISO-8601",
        # One bad record of a foreign producer must not stop the stream; the audit dead-letters what this drops.
        "json.ignore-parse-errors": "true",
    }
    columns = source_columns(contract.columns)
    return render("sources/kafka.sql", {"SOURCE": SOURCE, "COLUMNS": columns, "OPTIONS": options_clause(options)})


def create_judged_stream(contract: DatasetContract) -> str:
    """Return the view over the source that all inserts of a stream read."""
    return render(
        "streams/judged.sql",
        {
            "VIEW": JUDGED,
            "SOURCE": SOURCE,
            "COLUMNS": _names(contract.columns),
            "SURROGATE_KEY_VALUE": _surrogate_key(contract),
            "VERDICT": _verdict(contract),
        },
    )


def stream_bronze(contract: DatasetContract) -> str:
    """Return the insert of all judged events into bronze."""
    return render(
        "streams/bronze.sql",
        {"TABLE": qualified(contract.tables.bronze), "COLUMNS": _names(contract.columns), "VIEW": JUDGED},
    )


def stream_silver(contract: DatasetContract) -> str:
    """Return the insert of first arrivals into silver."""
    return render(
        "streams/silver.sql",
        {
            "TABLE": qualified(contract.tables.silver),
            "SURROGATE_KEY": quote_flink(contract.surrogate_key),
            "COLUMNS": _lines(f"{_cast(column)} AS {quote_flink(column.silver_name)}" for column in contract.columns),
            "PARTITION": quote_flink(contract.partition.name),
            "PARTITION_VALUE": _partition_value(contract),
            "VIEW": JUDGED,
        },
    )


def load_bronze(contract: DatasetContract, excluded: Mapping[int, Sequence[int]]) -> str:
    """Return the insert into bronze; `excluded` offsets of each partition were dead-lettered and stay out."""
    return render(
        "bronze/load.sql",
        {
            "TABLE": qualified(contract.tables.bronze),
            "SOURCE": SOURCE,
            "COLUMNS": _names(contract.columns),
            "RECORD_FILTER": _record_filter(excluded),
        },
    )


def create_judged(contract: DatasetContract, *, after: int | None, upto: int) -> str:
    """Return the view over the bronze snapshots in (after, upto]; all of bronze up to `upto` if `after` is None."""
    if after is None:
        hint = {"snapshot-id": str(upto)}
    else:
        hint = {"start-snapshot-id": str(after), "end-snapshot-id": str(upto)}
    options = ", ".join(f"{quote_literal(key)} = {quote_literal(value)}" for key, value in hint.items())
    return render(
        "silver/judged.sql",
        {
            "VIEW": JUDGED,
            "BRONZE": qualified(contract.tables.bronze),
            "BRONZE_OPTIONS": f"/*+ OPTIONS({options}) */",
            "VERDICT": _verdict(contract),
        },
    )


def rebuild_silver(contract: DatasetContract, within: tuple[date, date] | None = None) -> str:
    """Return the insert that writes silver anew from the judged rows; `within`: those of these dates, inclusive."""
    return render(
        "silver/rebuild.sql",
        {
            "TABLE": qualified(contract.tables.silver),
            "SURROGATE_KEY_VALUE": _surrogate_key(contract),
            "COLUMNS": _lines(_cast(column) for column in contract.columns),
            "PARTITION_VALUE": _partition_value(contract),
            "KEY": ", ".join(_sort_key(contract)),
            "VIEW": JUDGED,
            "DATES": _within(contract, within),
        },
    )


def refresh_silver(contract: DatasetContract, touched: Sequence[date], within: tuple[date, date] | None = None) -> str:
    """Return the insert that rewrites the `touched` partitions from silver and the judged new rows.

    Args:
        within: take only new rows of these dates, inclusive: when `touched` is a part of what they touch.
    """
    casts = _lines(f"{_cast(column)} AS {quote_flink(column.silver_name)}" for column in contract.columns)
    return render(
        "silver/refresh.sql",
        {
            "TABLE": qualified(contract.tables.silver),
            "SURROGATE_KEY": quote_flink(contract.surrogate_key),
            "SURROGATE_KEY_VALUE": _surrogate_key(contract),
            "COLUMNS": casts,
            "SILVER_COLUMNS": _lines(quote_flink(column.silver_name) for column in contract.columns),
            "PARTITION": quote_flink(contract.partition.name),
            "PARTITION_VALUE": _partition_value(contract),
            "TOUCHED": ", ".join(f"DATE '{day.isoformat()}'" for day in touched),
            "VIEW": JUDGED,
            "DATES": _within(contract, within),
        },
    )


def store_rejected(contract: DatasetContract, *, skip_stored: bool) -> str:
    """Return the insert into the rejected table; with `skip_stored` it leaves out records that are already there."""
    table = qualified(contract.tables.rejected)
    not_stored = (
        f"NOT EXISTS (SELECT 1 FROM {table} AS stored WHERE stored.`_kafka_partition` = {JUDGED}.`_kafka_partition` "
        f"AND stored.`_kafka_offset` = {JUDGED}.`_kafka_offset`)"
    )
    return _rejected(contract, "INSERT INTO", not_stored if skip_stored else "TRUE")


def rebuild_rejected(contract: DatasetContract) -> str:
    """Return the insert that replaces the content of the rejected table; it replaces nothing if no row is refused."""
    return _rejected(contract, "INSERT OVERWRITE", "TRUE")


def _rejected(contract: DatasetContract, insert: str, condition: str) -> str:
    return render(
        "silver/rejected.sql",
        {
            "INSERT": insert,
            "TABLE": qualified(contract.tables.rejected),
            "COLUMNS": _names(contract.columns),
            "VIEW": JUDGED,
            "NOT_YET_STORED": condition,
        },
    )


def statement_set(statements: Sequence[str]) -> str:
    """Return the inserts as one job; a single insert stays as it is."""
    if len(statements) == 1:
        return statements[0]
    return render("silver/statement_set.sql", {"STATEMENTS": "\n".join(f"{statement};" for statement in statements)})


def _verdict(contract: DatasetContract) -> str:
    whens = "\n        ".join(
        f"WHEN NOT ({condition}) THEN {quote_literal(name)}" for name, condition in contract.rules()
    )
    return f"CASE\n        {whens}\n    END"


def _lines(parts: Iterable[str]) -> str:
    return ",\n".join(f"    {part}" for part in parts)


def _names(columns: Iterable[Column]) -> str:
    return _lines(quote_flink(column.name) for column in columns)


def _offsets(offsets: Mapping[int, int]) -> str:
    return ";".join(f"partition:{partition},offset:{offset}" for partition, offset in sorted(offsets.items()))


def _cast(column: Column) -> str:
    name = quote_flink(column.name)
    return name if column.bronze == column.silver else f"CAST({name} AS {column.silver})"


def _partition_value(contract: DatasetContract) -> str:
    return f"CAST({quote_flink(contract.partition.field)} AS DATE)"


def _within(contract: DatasetContract, within: tuple[date, date] | None) -> str:
    """Return a predicate on the source field itself, so that Iceberg leaves out files by their statistics."""
    if within is None:
        return "TRUE"
    first, after = within[0].isoformat(), (within[1] + timedelta(days=1)).isoformat()
    name = quote_flink(contract.partition.field)
    if contract.column(contract.partition.field).bronze == "DATE":
        return f"{name} >= DATE '{first}' AND {name} < DATE '{after}'"
    return f"{name} >= TIMESTAMP '{first} 00:00:00' AND {name} < TIMESTAMP '{after} 00:00:00'"


def _sort_key(contract: DatasetContract) -> list[str]:
    """Return the natural key as SQL, the partition field first; text that is NULL counts as empty, as in the MD5.

    Flink's sort compares the first 16 bytes of the key as they are; a time tells more rows apart than a code does.
    """
    first = contract.partition.field
    names = [first, *(name for name in contract.natural_key if name != first)]
    return [
        f"COALESCE({quote_flink(name)}, '')" if contract.column(name).bronze == "STRING" else quote_flink(name)
        for name in names
    ]


def _surrogate_key(contract: DatasetContract) -> str:
    return "MD5(" + " || '|' || ".join(_key_text(contract.column(name)) for name in contract.natural_key) + ")"


def _key_text(column: Column) -> str:
    """Return the field as text for the surrogate key, NULL as empty; `|` inside text cannot pass for the separator."""
    name = quote_flink(column.name)
    if column.bronze.startswith("TIMESTAMP"):
        # Iceberg keeps microseconds, so bronze gives six digits where the topic gives three; the key must not differ.
        name = f"CAST({name} AS TIMESTAMP(6))"
    if column.bronze != "STRING":
        return f"COALESCE(CAST({name} AS STRING), '')"
    return rf"COALESCE(REPLACE(REPLACE({name}, '\', '\\'), '|', '\|'), '')"


def _record_filter(excluded: Mapping[int, Sequence[int]]) -> str:
    parts = [
        f"NOT (`_kafka_partition` = {partition} AND `_kafka_offset` IN ({', '.join(map(str, sorted(offsets)))}))"
        for partition, offsets in sorted(excluded.items())
        if offsets
    ]
    return " AND ".join(parts) or "TRUE"
