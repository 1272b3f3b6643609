"""The Iceberg catalog and the store of its files: do they answer."""

from __future__ import annotations

import os
from pathlib import Path

from orchestration.catalog import open_catalog
from orchestration.catalog.client import catalog_errors
from orchestration.catalog.store import require_store
from orchestration.settings import Settings
from orchestration.storage_errors import endpoint_of
from orchestration.validation.results import Outcome, Result, check


def check_catalog(settings: Settings) -> Result:
    """Check that the catalog answers and lists its namespaces."""

    def look() -> Outcome:
        catalog = open_catalog(settings)
        with catalog_errors(settings.catalog_uri, "listing namespaces"):
            names = sorted(".".join(name) for name in catalog.list_namespaces())
        known = ", ".join(names) or "none yet"
        return Outcome(True, f"Iceberg catalog at {settings.catalog_uri}", f"namespaces: {known}")

    return check("health", "catalog answers", settings.iceberg_metadata_timeout_s, look)


def check_storage(settings: Settings) -> Result:
    """Check that the folder can be written to, or that the S3 store answers with the bucket and takes the keys."""

    def look() -> Outcome:
        if require_store(settings):
            return Outcome(True, f"{settings.warehouse} at {endpoint_of(settings)}")
        if not settings.warehouse.startswith("file:"):
            return Outcome(True, f"{settings.warehouse}: proved by reading the tables below")
        path = Path(settings.warehouse.removeprefix("file://"))
        if not path.is_dir():
            return Outcome(
                False, f"the warehouse {path} does not exist", hint="`millrace up` makes it; check WAREHOUSE"
            )
        return Outcome(
            os.access(path, os.W_OK), f"warehouse {path}", hint="it is not writable: check its owner, or set WAREHOUSE"
        )

    return check("health", "warehouse is there", settings.iceberg_metadata_timeout_s, look)
