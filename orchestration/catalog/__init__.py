"""Iceberg through PyIceberg: tables, snapshots, progress marks."""

from orchestration.catalog.client import find_table, open_catalog

__all__ = ["find_table", "open_catalog"]
