"""The SQL of one write: which stored rows the new ones replace, and how. `target` is the table, `incoming` the rows."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.dbt_plugin.writing.request import BY_DATE, Column, WriteRequest
from orchestration.sql import quote_duckdb, quote_literal

PARTITIONED_BY = "millrace.partition-by"
"""Table property: the configuration that the table was made with."""


def create_table(request: WriteRequest, columns: Sequence[Column]) -> str:
    """Return CREATE TABLE with real types, NOT NULL where the contract wants it, and partitions."""
    body = ", ".join(f"{quote_duckdb(c.name)} {c.type}{' NOT NULL' if c.is_required else ''}" for c in columns)
    partitions = f" PARTITIONED BY ({', '.join(request.partition_by)})" if request.partition_by else ""
    properties = {PARTITIONED_BY: partition_text(request)}
    if request.format_version:
        properties["format-version"] = str(request.format_version)
    options = ", ".join(f"{quote_literal(key)} = {quote_literal(value)}" for key, value in properties.items())
    return f"CREATE TABLE {request.relation} ({body}){partitions} WITH ({options})"


def partition_text(request: WriteRequest) -> str:
    """Return the partitions as the table remembers them."""
    return ", ".join(part.strip().lower() for part in request.partition_by) or "none"


def replaced_rows(request: WriteRequest, incoming: str) -> str:
    """Return the condition on `target` that holds for the rows which the incoming ones replace."""
    strategy = request.strategy
    if strategy == "replace" or request.is_full_refresh:
        return "true"
    if strategy == "append":
        return "false"
    if strategy in BY_DATE:
        assert request.changed_dates is not None
        dates = f"SELECT changed_date FROM {request.changed_dates}"
        condition = f"target.{quote_duckdb(request.unique_key[0])} IN ({dates})"
    elif strategy == "insert_overwrite":
        # A partition may be that of NULL, which equals itself here.
        pairs = zip(request.partition_values("target"), request.partition_values("incoming"), strict=True)
        same = " AND ".join(f"{stored} IS NOT DISTINCT FROM {new}" for stored, new in pairs)
        condition = f"EXISTS (SELECT 1 FROM {incoming} AS incoming WHERE {same})"
    else:
        condition = f"EXISTS (SELECT 1 FROM {incoming} AS incoming WHERE {_same_key(request)})"
    return " AND ".join([condition, *(f"({one})" for one in request.predicates)])


def merge_rows(request: WriteRequest, columns: Sequence[str], incoming: str) -> str:
    """Return MERGE INTO by the unique key: stored rows keep the columns that the model no longer has."""
    names = [quote_duckdb(name) for name in columns]
    on = " AND ".join([_same_key(request), *(f"({one})" for one in request.predicates)])
    keys = {name.lower() for name in request.unique_key}
    changed = ", ".join(
        f"{quote_duckdb(name)} = incoming.{quote_duckdb(name)}" for name in columns if name.lower() not in keys
    )
    update = f" WHEN MATCHED THEN UPDATE SET {changed}" if changed else ""
    values = ", ".join(f"incoming.{name}" for name in names)
    return (
        f"MERGE INTO {request.relation} AS target USING {incoming} AS incoming ON {on}{update}"
        f" WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({values})"
    )


def content_of(rows: str, columns: Sequence[Column], condition: str = "true") -> str:
    """Return a query for the number of rows and a hash of them that does not depend on their order.

    A sum, not an xor, in which equal rows would cancel each other. Both sides are cast to the types of the table: an
    integer and a bigint of the same value hash differently.
    """
    values = ", ".join(f"CAST({quote_duckdb(column.name)} AS {column.type})" for column in columns)
    return f"SELECT count(*), coalesce(sum(hash({values})), 0) FROM {rows} AS target WHERE {condition}"


def _same_key(request: WriteRequest) -> str:
    names = [quote_duckdb(name) for name in request.unique_key]
    return " AND ".join(f"target.{name} = incoming.{name}" for name in names)
