"""Columns of a model's query against those of its table. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orchestration.dbt_plugin.writing.request import Column, WriteRequest
from orchestration.errors import ConfigError, ConflictError

# Iceberg's primitive types under DuckDB's names (iceberg extension 1.5.5). It would take a HUGEINT for a double, and
# refuses the others only when the table is created.
_ICEBERG = re.compile(
    r"(?:BOOLEAN|INTEGER|BIGINT|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|DATE|TIME|TIMESTAMP|TIMESTAMP_NS|"
    r"TIMESTAMP WITH TIME ZONE|VARCHAR|UUID|BLOB)|.*(?:\[\]|\[\d+\])|(?:STRUCT|MAP)\(.*\)"
)
_INSTEAD = {
    "HUGEINT": "bigint or decimal(38, 0)",
    "UBIGINT": "decimal(20, 0)",
    "UHUGEINT": "decimal(38, 0)",
    "UINTEGER": "bigint",
    "SMALLINT": "integer",
    "TINYINT": "integer",
    "USMALLINT": "integer",
    "UTINYINT": "integer",
}


def declared_columns(request: WriteRequest, produced: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns of the table to be: those of the contract, else what the query produces.

    Raises:
        ConfigError: the query breaks the contract, or a type is none of Iceberg's; every column is named.
    """
    if request.contract:
        _check_contract(request, produced)
    columns = request.contract or tuple(produced)
    wrong = [
        f"{column.name} is {column.type}: cast it to {_INSTEAD.get(column.type, 'varchar')}"
        for column in columns
        if not _ICEBERG.fullmatch(column.type)
    ]
    if wrong:
        raise ConfigError(
            f"model {request.name}: Iceberg has no such column type: {'; '.join(wrong)}", hint="cast it in the model"
        )
    return columns


def _check_contract(request: WriteRequest, produced: Sequence[Column]) -> None:
    found = {column.name.lower(): column.type for column in produced}
    promised = {column.name.lower(): column.type for column in request.contract}
    wrong = [f"{name} is missing in the query" for name in promised if name not in found]
    wrong += [f"{name} is not in the contract" for name in found if name not in promised]
    wrong += [
        f"{name} is {found[name]} in the query and {kind} in the contract"
        for name, kind in promised.items()
        if name in found and found[name] != kind
    ]
    if wrong:
        raise ConfigError(
            f"model {request.name} breaks its contract: {'; '.join(wrong)}",
            hint="correct the query or the model's columns; nothing was written",
        )


def added_columns(request: WriteRequest, columns: Sequence[Column], stored: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns that the table gets before the write.

    Raises:
        ConflictError: the table has columns that the model dropped or retyped, and the configuration does not let it.
    """
    old = {column.name.lower(): column for column in stored}
    new = {column.name.lower(): column for column in columns}
    added = tuple(column for name, column in new.items() if name not in old)
    retyped = [
        f"{column.name} is {old[name].type} in the table and {column.type} in the model"
        for name, column in new.items()
        if name in old and old[name].type != column.type
    ]
    dropped = [f"{column.name} is no longer in the model" for name, column in old.items() if name not in new]
    is_incremental = request.strategy != "replace"
    wrong = retyped if is_incremental and request.on_schema_change != "fail" else retyped + dropped
    if is_incremental and request.on_schema_change == "fail":
        wrong += [f"{column.name} is new in the model" for column in added]
    if wrong:
        raise ConflictError(
            f"{request.title} has other columns than the model: {'; '.join(wrong)}",
            hint=made_anew(request),
        )
    return () if is_incremental and request.on_schema_change == "ignore" else added


def made_anew(request: WriteRequest) -> str:
    """Return what to do about a table that cannot become what the model wants."""
    return f"`dbt run --select {request.name} --full-refresh` makes the table anew; its history ends then"
