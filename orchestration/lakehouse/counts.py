"""How many rows each layer holds, counted from the broker and the tables, never from what a run reported."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import duckdb

from orchestration.broker.offsets import try_log_offsets
from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.progress import BronzeMark, read_mark
from orchestration.contracts import Column, DatasetContract
from orchestration.dbt_plugin.attach import connect_catalog
from orchestration.errors import CatalogError
from orchestration.lakehouse.quality import rule_errors, verdict
from orchestration.naming import CATALOG
from orchestration.settings import Settings
from orchestration.sql import quote_duckdb, split_table


@dataclass(frozen=True)
class Counts:
    """Rows of all data so far.

    Attributes:
        produced: events handed to the broker, whichever of the two topics they went to.
        dead_lettered: messages of the dead-letter topic.
        duplicates: bronze rows that pass every rule and are not the only arrival of their natural key, counted in
            bronze itself.
    """

    produced: int
    dead_lettered: int
    bronze: int
    silver: int
    duplicates: int
    rejected: int

    def equations(self) -> dict[str, tuple[bool, str]]:
        """Return name to (holds, the numbers as text) of the accounting equations."""
        landed = self.bronze + self.dead_lettered
        refined = self.silver + self.duplicates + self.rejected
        return {
            "produced = bronze + dead_lettered": (
                self.produced == landed,
                f"{self.produced:,} = {self.bronze:,} + {self.dead_lettered:,}",
            ),
            "bronze = silver + duplicates + rejected": (
                self.bronze == refined,
                f"{self.bronze:,} = {self.silver:,} + {self.duplicates:,} + {self.rejected:,}",
            ),
        }

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


def count_produced(settings: Settings, contract: DatasetContract) -> tuple[int, int]:
    """Return (events handed to the broker, messages of the dead-letter topic), by offsets alone.

    Raises:
        UnreachableError: the broker or the catalog does not answer.
    """
    table = find_table(open_catalog(settings), contract.tables.bronze)
    mark = (read_mark(table, BronzeMark) if table is not None else None) or BronzeMark()
    on_topic = sum(span.end for span in (try_log_offsets(settings, contract.topic) or {}).values())
    dead_lettered = sum(span.end for span in (try_log_offsets(settings, contract.dlq_topic) or {}).values())
    # The dead letters that came from the topic itself were produced once, to the topic.
    return on_topic + dead_lettered - mark.dead_lettered, dead_lettered


def count_layers(settings: Settings, contract: DatasetContract) -> Counts:
    """Count every layer. Reads the rows themselves, so a lost data file is an error, not a number.

    Raises:
        UnreachableError: the broker or the catalog does not answer.
        CatalogError: a data file of a table cannot be read; names the table.
        ContractError: a quality rule fails on a value.
    """
    catalog = open_catalog(settings)
    tables = contract.tables
    produced, dead_lettered = count_produced(settings, contract)
    with connect_catalog(settings) as connection:
        bronze = accepted = distinct = silver = rejected = 0
        if find_table(catalog, tables.bronze) is not None:
            bronze, accepted, distinct = _read(connection, tables.bronze, _bronze_query(contract))
        if find_table(catalog, tables.silver) is not None:
            (silver,) = _read(connection, tables.silver, f"SELECT count({quote_duckdb(contract.surrogate_key)})")
        if find_table(catalog, tables.rejected) is not None:
            (rejected,) = _read(connection, tables.rejected, "SELECT count(rejected_by)")
    return Counts(
        produced=produced,
        dead_lettered=dead_lettered,
        bronze=bronze,
        silver=silver,
        duplicates=accepted - distinct,
        rejected=rejected,
    )


def _bronze_query(contract: DatasetContract) -> str:
    key = ", ".join(_key_field(contract.column(name)) for name in contract.natural_key)
    rule = verdict(contract)
    return f"SELECT count(*), count(*) FILTER ({rule} IS NULL), count(DISTINCT ({key})) FILTER ({rule} IS NULL)"


def _key_field(column: Column) -> str:
    """Return a field of the natural key; text that is NULL counts as empty, as in the surrogate key."""
    name = quote_duckdb(column.name)
    return f"COALESCE({name}, '')" if column.bronze == "STRING" else name


def _read(connection: duckdb.DuckDBPyConnection, table: str, select: str) -> tuple[int, ...]:
    schema, name = split_table(table)
    source = ".".join(quote_duckdb(part) for part in (CATALOG, schema, name))
    try:
        with rule_errors(table):
            row = connection.execute(f"{select} FROM {source}").fetchone()
    except (duckdb.IOException, duckdb.HTTPException) as error:
        raise CatalogError(
            f"{table} cannot be read: {str(error).splitlines()[0]}",
            hint="a data file is missing or unreadable; roll the table back, or load it again",
        ) from error
    assert row is not None
    return tuple(int(value) for value in row)
