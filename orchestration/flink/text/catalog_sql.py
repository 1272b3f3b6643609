"""SQL that makes the Iceberg catalog known to a session, and the names of the session's own catalog."""

from __future__ import annotations

from collections.abc import Mapping

from orchestration.flink.text.render import render
from orchestration.naming import CATALOG
from orchestration.sql import options_clause, quote_flink

SESSION_CATALOG = ("default_catalog", "default_database")
"""Flink's names of the catalog in memory that each session has, and of its database."""


def create_catalog(options: Mapping[str, str]) -> str:
    """Return CREATE CATALOG IF NOT EXISTS; holds credentials, so it is never logged unredacted."""
    return render(
        "catalogs/lakehouse.sql", {"CATALOG": quote_flink(CATALOG), "CATALOG_OPTIONS": options_clause(options)}
    )


def create_namespace(namespace: str) -> str:
    """Return CREATE DATABASE IF NOT EXISTS for a namespace of the catalog."""
    return render("catalogs/namespace.sql", {"CATALOG": quote_flink(CATALOG), "NAMESPACE": quote_flink(namespace)})


def session_table(name: str) -> str:
    """Return the quoted path of a table in the session's own catalog, whatever catalog is the current one."""
    return quote_path(*SESSION_CATALOG, name)


def quote_path(*parts: str) -> str:
    """Return a path of quoted names."""
    return ".".join(quote_flink(part) for part in parts)
