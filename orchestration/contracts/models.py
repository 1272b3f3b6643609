"""The dataset contract: `platform/datasets/<name>/dataset.yml` as frozen models.

It is the one source for the topic, the columns and types of every layer, keys, partitioning and quality rules; Flink
DDL, the producer's validation, asset metadata and the accounting all follow it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from datetime import date
from string import Template
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

JsonType = Literal["integer", "number", "string", "boolean", "date-time", "date"]
ParquetFamily = Literal["integer", "floating", "decimal", "string", "boolean", "timestamp", "date"]

_IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]*$"
_TABLE = r"^[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$"
_TOPIC = r"^[A-Za-z0-9._-]{1,249}$"
_TYPE = re.compile(r"^(BIGINT|INT|DOUBLE|FLOAT|STRING|BOOLEAN|DATE|TIMESTAMP\([036]\)|DECIMAL\(\d{1,2}, ?\d{1,2}\))$")

Identifier = Annotated[str, Field(pattern=_IDENTIFIER, max_length=128)]
TableName = Annotated[str, Field(pattern=_TABLE)]

_DEFAULT_FAMILIES: dict[str, tuple[ParquetFamily, ...]] = {
    "integer": ("integer",),
    "number": ("floating", "integer", "decimal"),
    "string": ("string",),
    "boolean": ("boolean",),
    "date-time": ("timestamp",),
    "date": ("date",),
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Model):
    """One field of an event, from the Parquet file to silver.

    Attributes:
        name: name in the Parquet file, the JSON event and bronze (case matters).
        json_type: type of the JSON value; `null` is always allowed unless `is_required`.
        parquet: families of Parquet types that a file may use for it.
        bronze: Flink type in the Kafka table and in bronze.
        silver_name, silver: name and Flink type in silver.
    """

    name: Identifier
    json_type: JsonType = Field(alias="json")
    bronze: str
    silver_name: Identifier
    silver: str
    is_required: bool = False
    parquet: tuple[ParquetFamily, ...] = ()
    description: str = ""

    @field_validator("bronze", "silver")
    @classmethod
    def _known_type(cls, value: str) -> str:
        if not _TYPE.match(value):
            raise ValueError(
                f"type {value!r} is not one of BIGINT, INT, DOUBLE, FLOAT, STRING, BOOLEAN, DATE, "
                "TIMESTAMP(0|3|6), DECIMAL(p, s)"
            )
        return value

    @property
    def parquet_families(self) -> tuple[ParquetFamily, ...]:
        """Families of Parquet types that are accepted for the column."""
        return self.parquet or _DEFAULT_FAMILIES[self.json_type]

    @property
    def fits_silver(self) -> str | None:
        """Predicate under which the cast to the silver type loses no digit before the point; None if it always holds.

        Flink's CAST wraps integers and nulls decimals that do not fit, silently.
        """
        if self.bronze == "BIGINT" and self.silver == "INT":
            return f"({self.name} IS NULL OR {self.name} BETWEEN -2147483648 AND 2147483647)"
        decimal = re.match(r"DECIMAL\((\d+), ?(\d+)\)", self.silver)
        if decimal and self.bronze in ("DOUBLE", "FLOAT", "BIGINT", "INT"):
            bound = 10 ** (int(decimal[1]) - int(decimal[2])) - 1
            return f"({self.name} IS NULL OR {self.name} BETWEEN -{bound} AND {bound})"
        return None


class Tables(_Model):
    """The Iceberg tables of a dataset, each `schema.table`."""

    bronze: TableName
    silver: TableName
    rejected: TableName


class Partition(_Model):
    """The DATE column that silver is partitioned by: the day of `field`."""

    name: Identifier
    field: Identifier


class Files(_Model):
    """How source files map to months: a file of a month carries it as YYYY-MM in its name."""

    first_month: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]


class Stream(_Model):
    """How the dataset's stream works; nothing of it changes what the tables hold after a refresh.

    Attributes:
        remember_keys_h: hours for which the stream knows a natural key again. A later duplicate stands beside the
            first arrival until the next silver_refresh.
    """

    remember_keys_h: int = Field(default=24, ge=1, le=8760)


class Freshness(_Model):
    """Hours after which a layer is stale in Dagster: since it was last brought up to date, whatever the events say."""

    bronze_h: int = Field(default=24, ge=1, le=8760)
    silver_h: int = Field(default=24, ge=1, le=8760)
    marts_h: int = Field(default=24, ge=1, le=8760)


class QualityRule(_Model):
    """A named SQL predicate over source names; a row for which it does not hold is rejected under that name."""

    name: Identifier
    predicate: str
    null_passes: bool = False
    description: str = ""

    @field_validator("predicate")
    @classmethod
    def _one_expression(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is empty")
        if ";" in value:
            raise ValueError("holds a semicolon; a rule is one expression")
        return value.strip()

    def condition(self, parameters: Mapping[str, str]) -> str:
        """Return the predicate with parameters filled in, never NULL: TRUE means the row may stay."""
        filled = Template(self.predicate).substitute(parameters)
        return f"COALESCE({filled}, {'TRUE' if self.null_passes else 'FALSE'})"


FITS_RULE = "value_out_of_range"


class DatasetContract(_Model):
    """One dataset, from file to silver. See `platform/datasets/taxi/dataset.yml` for a commented example."""

    version: Literal[1]
    name: Identifier
    description: str = ""
    owner: str = "data-engineering"
    topic: Annotated[str, Field(pattern=_TOPIC)]
    dlq_topic: Annotated[str, Field(pattern=_TOPIC)]
    key_field: Identifier
    tables: Tables
    files: Files
    event_time: Identifier
    partition: Partition
    natural_key: tuple[Identifier, ...] = Field(min_length=1)
    surrogate_key: Identifier
    columns: tuple[Column, ...] = Field(min_length=1)
    parameters: dict[Identifier, date] = {}
    quality_rules: tuple[QualityRule, ...] = Field(min_length=1)
    stream: Stream = Stream()
    freshness: Freshness = Freshness()

    @model_validator(mode="after")
    def _holds_together(self) -> DatasetContract:
        problems = [
            *(f"column {name!r} is listed twice" for name in _repeated(column.name for column in self.columns)),
            *(f"silver name {name!r} is used twice" for name in _repeated(self.silver_columns)),
            *(f"quality rule {name!r} is listed twice" for name in _repeated(rule.name for rule in self.quality_rules)),
            *self._unknown_fields(),
            *self._broken_rules(),
        ]
        if self.topic == self.dlq_topic:
            problems.append("topic and dlq_topic are the same")
        if self.partition.field not in self.natural_key:
            # Otherwise two arrivals of one key could land in two partitions, and a refresh would keep both.
            problems.append(f"partition.field {self.partition.field!r} is not part of natural_key")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _unknown_fields(self) -> list[str]:
        known = {column.name for column in self.columns}
        used = {
            "key_field": (self.key_field,),
            "event_time": (self.event_time,),
            "partition.field": (self.partition.field,),
            "natural_key": self.natural_key,
        }
        return [
            f"{key} names {field!r}, which is no column"
            for key, fields in used.items()
            for field in fields
            if field not in known
        ]

    def _broken_rules(self) -> list[str]:
        problems: list[str] = []
        for rule in self.quality_rules:
            try:
                rule.condition(self.parameter_literals())
            except KeyError as error:
                problems.append(f"quality rule {rule.name!r} uses the unknown parameter {error.args[0]!r}")
            except ValueError as error:
                problems.append(f"quality rule {rule.name!r}: {error}")
        return problems

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in the file, the event and bronze, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def silver_columns(self) -> tuple[str, ...]:
        """All silver columns in order: surrogate key, the fields, ingestion_ts, the partition date."""
        return (
            self.surrogate_key,
            *(column.silver_name for column in self.columns),
            "ingestion_ts",
            self.partition.name,
        )

    def column(self, name: str) -> Column:
        """Return the column of this source name."""
        return next(column for column in self.columns if column.name == name)

    def with_parameters(self, overrides: Mapping[str, date | None]) -> DatasetContract:
        """Return the contract with the parameters that are not None replaced.

        Raises:
            KeyError: an override names a parameter that the contract does not have.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        for name in given:
            if name not in self.parameters:
                raise KeyError(name)
        return self.model_copy(update={"parameters": {**self.parameters, **given}})

    def parameter_literals(self) -> dict[str, str]:
        """Return the parameters as SQL literals that Flink and DuckDB both read."""
        return {name: f"DATE '{value.isoformat()}'" for name, value in self.parameters.items()}

    def rules(self) -> list[tuple[str, str]]:
        """Return (name, condition) of every quality rule in order; a condition is TRUE or FALSE, never NULL.

        The last one, `value_out_of_range`, refuses values that the silver type cannot hold.
        """
        literals = self.parameter_literals()
        rules = [(rule.name, rule.condition(literals)) for rule in self.quality_rules]
        fits = [column.fits_silver for column in self.columns if column.fits_silver]
        if fits:
            rules.append((FITS_RULE, " AND ".join(fits)))
        return rules

    def fingerprint(self) -> str:
        """Return a hash of all that decides silver's content; a change of it asks for a rebuild."""
        decisive = self.model_dump(
            mode="json",
            exclude={
                "description": True,
                "owner": True,
                "files": True,
                "stream": True,
                "freshness": True,
                "columns": {"__all__": {"description"}},
                "quality_rules": {"__all__": {"description"}},
            },
        )
        return hashlib.sha256(repr(sorted(decisive.items())).encode()).hexdigest()[:16]


def _repeated(names: object) -> list[str]:
    counts = Counter(names)  # type: ignore[call-overload]
    return [name for name, count in counts.items() if count > 1]
