"""Quoting for every value and identifier that enters a SQL text (Flink, DuckDB)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestration.errors import ConfigError

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_identifier(name: str, what: str = "identifier") -> str:
    """Return `name` if it is a plain SQL identifier (letters, digits, underscore; at most 128 characters).

    Raises:
        ConfigError: it is not; names it and what it was for.
    """
    if len(name) > 128 or not _IDENTIFIER.fullmatch(name):
        raise ConfigError(f"{what} {name!r} is not a plain identifier", hint="use letters, digits and underscores")
    return name


def quote_literal(value: str) -> str:
    """Return `value` as a SQL string literal. Control characters are refused: no option of ours needs one."""
    if any(ord(char) < 32 for char in value):
        raise ConfigError(f"a SQL value holds a control character: {value[:40]!r}")
    return "'" + value.replace("'", "''") + "'"


def quote_flink(name: str) -> str:
    """Return `name` as a quoted Flink identifier."""
    return "`" + name.replace("`", "``") + "`"


def quote_duckdb(name: str) -> str:
    """Return `name` as a quoted DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def split_table(table: str) -> tuple[str, str]:
    """Split `schema.table` into its two checked identifiers."""
    schema, dot, name = table.partition(".")
    if not dot:
        raise ConfigError(f"table {table!r} is not of the form schema.table")
    return check_identifier(schema, "schema"), check_identifier(name, "table")


def options_clause(options: Mapping[str, str]) -> str:
    """Return the inside of a Flink WITH (...) clause, one option a line."""
    return ",\n".join(f"    {quote_literal(key)} = {quote_literal(value)}" for key, value in options.items())
