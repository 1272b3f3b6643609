"""Fixtures of all unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog


@pytest.fixture
def iceberg(tmp_path: Path) -> Iterator[Catalog]:
    """A real Iceberg catalog in memory with its tables in files: no server, no socket."""
    catalog = SqlCatalog("lakehouse", uri="sqlite:///:memory:", warehouse=f"file://{tmp_path}/warehouse")
    for namespace in ("bronze", "silver"):
        catalog.create_namespace(namespace)
    yield catalog
    catalog.close()
