"""What a materialization asks for, checked: a model's query, where it goes and how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from orchestration.errors import ConfigError
from orchestration.sql import quote_duckdb

Strategy = Literal[
    "replace", "append", "delete+insert", "insert_overwrite", "merge", "replace_changed_dates", "replace_touched_dates"
]

BY_DATE = frozenset({"replace_changed_dates", "replace_touched_dates"})
_KEYED = frozenset({"delete+insert", "merge"}) | BY_DATE
_PARTITION = re.compile(
    r"(?P<column>[A-Za-z_]\w*)|(?P<unit>year|month|day|hour)\((?P<of>[A-Za-z_]\w*)\)|"
    r"(?:bucket|truncate)\(\s*\d+\s*,\s*[A-Za-z_]\w*\s*\)",
    re.IGNORECASE,
)


def _as_tuple(value: object) -> object:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class Column(BaseModel):
    """A column and its DuckDB type."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: str
    is_required: bool = False


class WriteRequest(BaseModel):
    """One write of one model.

    Attributes:
        database, namespace, name: of the table.
        sql: the model's query, compiled.
        sql_header: statements before it.
        unique_key: columns; of the strategies by date the date column.
        predicates: further conditions on the rows that a keyed strategy may replace; the table is `target`.
        changed_dates: temporary table with the column `changed_date`, for the strategies by date: the dates to replace.
        touched_dates: temporary table with the same column, filled before the pre-hooks: dates of `changes_of` whose
            files are others than in the last build, or all dates. Of `replace_touched_dates` it is `changed_dates`.
        changes_of: quoted name of the table, with the date column, from which alone the rows' changes come.
        code_above: code of the local views that the query reads, and of the macros in them.
        partition_by: columns or year(c), month(c), day(c), hour(c), bucket(n, c), truncate(n, c).
        contract: the columns that the model promises; empty without a contract.
        is_full_refresh: replace everything, and recreate the table if its columns or partitions changed.
        pre_hooks, post_hooks: statements inside the transaction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: str
    namespace: str
    name: str
    sql: str
    sql_header: str | None = None
    strategy: Strategy = "replace"
    unique_key: Names = ()
    predicates: Names = ()
    changed_dates: str | None = None
    touched_dates: str | None = None
    changes_of: str | None = None
    code_above: Names = ()
    partition_by: Names = ()
    format_version: Annotated[int, Field(ge=1, le=3)] | None = None
    contract: tuple[Column, ...] = ()
    on_schema_change: Literal["ignore", "fail", "append_new_columns"] = "ignore"
    is_full_refresh: bool = False
    pre_hooks: Names = ()
    post_hooks: Names = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the request that a materialization passed.

        Raises:
            ConfigError: names the model, the configuration and what is wrong with it.
        """
        try:
            return cls.model_validate(dict(config))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            reason = first["msg"].removeprefix("Value error, ")
            raise ConfigError(
                f"model {config.get('name')}: {f'{where}: ' if where else ''}{reason}",
                hint="docs/dbt.md lists what a model on Iceberg may be configured with",
            ) from None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.strategy in _KEYED and not self.unique_key:
            raise ValueError(f"incremental_strategy {self.strategy} needs unique_key")
        if self.strategy == "insert_overwrite" and not self.partition_by:
            raise ValueError("incremental_strategy insert_overwrite needs partition_by")
        if self.strategy in BY_DATE and (len(self.unique_key) != 1 or not self.changed_dates):
            raise ValueError(f"{self.strategy} needs one date column as unique_key")
        if self.strategy == "replace_touched_dates" and not self.changes_of:
            raise ValueError("replace_touched_dates needs changes_of, the source whose dates are touched")
        for part in self.partition_by:
            found = _PARTITION.fullmatch(part.strip())
            if found is None:
                raise ValueError(
                    f"partition_by {part!r} is none of: a column, year(c), month(c), day(c), hour(c), bucket(n, c), "
                    "truncate(n, c)"
                )
            if self.strategy == "insert_overwrite" and not (found["column"] or found["unit"]):
                raise ValueError(f"insert_overwrite cannot tell the partitions of {part!r}; use delete+insert")
        return self

    @property
    def relation(self) -> str:
        """The quoted name of the table."""
        return ".".join(quote_duckdb(part) for part in (self.database, self.namespace, self.name))

    @property
    def title(self) -> str:
        """The name of the table for people."""
        return f"{self.database}.{self.namespace}.{self.name}"

    @property
    def is_repeatable(self) -> bool:
        """Whether running it again after a lost commit gives the same content."""
        return self.strategy != "append"

    def partition_values(self, of: str) -> list[str]:
        """Return the SQL expressions of a row's partition; `of` is the alias of the rows."""
        values: list[str] = []
        for part in self.partition_by:
            found = _PARTITION.fullmatch(part.strip())
            assert found is not None
            column = f"{of}.{quote_duckdb(found['column'] or found['of'])}"
            values.append(f"date_trunc('{found['unit'].lower()}', {column})" if found["unit"] else column)
        return values
