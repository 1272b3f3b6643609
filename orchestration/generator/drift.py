"""Whether a Parquet file is what the contract promises: a list of reasons why not."""

from __future__ import annotations

import difflib
from collections import Counter

import pyarrow as pa

from orchestration.contracts import Column, DatasetContract
from orchestration.errors import InputError
from orchestration.generator.sources import SourceFile


def family_of(kind: pa.DataType) -> str:
    """Return the contract's family of an Arrow type; its own name if it belongs to none."""
    if pa.types.is_dictionary(kind):
        return family_of(kind.value_type)
    tests = {
        "integer": pa.types.is_integer,
        "floating": pa.types.is_floating,
        "decimal": pa.types.is_decimal,
        "boolean": pa.types.is_boolean,
        "timestamp": pa.types.is_timestamp,
        "date": pa.types.is_date,
    }
    for family, is_it in tests.items():
        if is_it(kind):
            return family
    is_string = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return "string" if is_string else str(kind)


def find_drift(contract: DatasetContract, schema: pa.Schema) -> list[str]:
    """Return every reason why a file of this schema does not fit the contract; empty if it does.

    Names are compared exactly, case included. Columns that the contract does not know are allowed and not sent.
    """
    present = Counter(schema.names)
    known = set(contract.column_names)
    strangers = [name for name in schema.names if name not in known]
    reasons: list[str] = []
    for column in contract.columns:
        if present[column.name] > 1:
            reasons.append(f"column {column.name} is there {present[column.name]} times")
        elif not present[column.name]:
            reasons.append(_missing(column, strangers))
        else:
            kind = schema.field(column.name).type
            # A column without one value has no type of its own.
            if family_of(kind) not in column.parquet_families and not pa.types.is_null(kind):
                reasons.append(f"column {column.name} is {kind}, expected {' or '.join(column.parquet_families)}")
    return reasons


def _missing(column: Column, strangers: list[str]) -> str:
    by_case = {name.lower(): name for name in strangers}
    near = by_case.get(column.name.lower())
    if near is None:
        near = next(iter(difflib.get_close_matches(column.name.lower(), by_case, n=1, cutoff=0.6)), None)
        near = by_case[near] if near else None
    required = "required " if column.is_required else ""
    return f"{required}column {column.name} is missing" + (f" (was it renamed to {near}?)" if near else "")


def check_files(contract: DatasetContract, files: list[SourceFile]) -> dict[str, int]:
    """Return the number of rows of each path, after checking every file.

    Raises:
        InputError: a file is not Parquet or drifted; names all reasons of all files. Nothing was sent.
    """
    rows: dict[str, int] = {}
    problems: list[str] = []
    for file in files:
        try:
            with file.open_parquet() as parquet:
                rows[file.path] = parquet.metadata.num_rows
                reasons = find_drift(contract, parquet.schema_arrow)
        except InputError as error:
            problems.append(error.message)
        else:
            if reasons:
                problems.append(f"{file.path} does not fit dataset {contract.name}: {'; '.join(reasons)}")
    if problems:
        raise InputError(
            "; ".join(problems),
            hint=f"no event was sent; correct the file, or platform/datasets/{contract.name}/dataset.yml",
        )
    return rows
