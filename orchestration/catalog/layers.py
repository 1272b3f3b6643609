"""The namespaces of the layers: which are missing, and making them."""

from __future__ import annotations

from collections.abc import Sequence

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError

from orchestration.catalog.client import access_of, catalog_errors, open_catalog
from orchestration.errors import NotFoundError
from orchestration.settings import Settings


def missing_namespaces(settings: Settings, wanted: Sequence[str]) -> list[str]:
    """Return those of `wanted` that the catalog does not have, in their order.

    Raises:
        CatalogUnreachableError, CatalogError: it does not answer, or refuses the credentials or the warehouse.
    """
    return _missing(open_catalog(settings), settings, wanted)


def require_namespaces(settings: Settings, missing: Sequence[str]) -> None:
    """Do nothing if none is missing.

    Raises:
        NotFoundError: names them.
    """
    if missing:
        raise NotFoundError(
            f"the Iceberg catalog at {settings.catalog_uri} has no namespace {', '.join(missing)} in the warehouse "
            f"{settings.catalog_warehouse}",
            hint="`millrace platform bootstrap` makes them",
            context={"code": "PLT-NAMESPACE", "namespaces": ", ".join(missing)},
        )


def create_namespaces(settings: Settings, wanted: Sequence[str]) -> list[str]:
    """Make those of `wanted` that are missing and return them. Safe to repeat, also by two at once.

    Raises:
        CatalogUnreachableError, CatalogError: it does not answer, or refuses.
    """
    catalog = open_catalog(settings)
    created: list[str] = []
    for name in _missing(catalog, settings, wanted):
        with catalog_errors(access_of(settings), f"creating the namespace {name}"):
            try:
                catalog.create_namespace(name)
            except NamespaceAlreadyExistsError:
                continue
        created.append(name)
    return created


def _missing(catalog: Catalog, settings: Settings, wanted: Sequence[str]) -> list[str]:
    with catalog_errors(access_of(settings), "listing namespaces"):
        there = {".".join(parts) for parts in catalog.list_namespaces()}
    return [name for name in wanted if name not in there]
