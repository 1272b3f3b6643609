"""The Iceberg tables of the catalog, whoever made them."""

from __future__ import annotations

from collections.abc import Iterator

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.typedef import Identifier

from orchestration.catalog.client import catalog_errors
from orchestration.errors import NotFoundError


def load_tables(catalog: Catalog) -> list[Table]:
    """Return all tables of the catalog by name, without those that are dropped meanwhile.

    Raises:
        UnreachableError, CatalogError: the catalog does not answer or refuses.
    """
    with catalog_errors(str(catalog.properties.get("uri", "")), "listing tables"):
        found: list[Table] = []
        for identifier in _identifiers(catalog):
            try:
                found.append(catalog.load_table(identifier))
            except NoSuchTableError:
                continue
        return sorted(found, key=name_of)


def list_names(catalog: Catalog) -> list[str]:
    """Return `schema.table` of all tables of the catalog, sorted, without loading them.

    Raises:
        UnreachableError, CatalogError: the catalog does not answer or refuses.
    """
    with catalog_errors(str(catalog.properties.get("uri", "")), "listing tables"):
        return sorted(".".join(identifier) for identifier in _identifiers(catalog))


def name_of(table: Table) -> str:
    """Return `schema.table`."""
    return ".".join(table.name())


def pick_table(tables: list[Table], name: str) -> Table:
    """Return the table of this name.

    Raises:
        NotFoundError: there is none; names those that there are.
    """
    for table in tables:
        if name_of(table) == name:
            return table
    known = ", ".join(name_of(table) for table in tables[:20]) or "none"
    raise NotFoundError(f"the catalog has no table {name}", hint=f"tables: {known}")


def _identifiers(catalog: Catalog) -> Iterator[Identifier]:
    for namespace in _namespaces(catalog, ()):
        yield from _tables(catalog, namespace)


def _namespaces(catalog: Catalog, parent: Identifier) -> Iterator[Identifier]:
    for namespace in catalog.list_namespaces(parent):
        # A catalog that knows no nesting answers with the parent itself, or with all of them again.
        if len(namespace) > len(parent):
            yield namespace
            try:
                yield from _namespaces(catalog, namespace)
            except NoSuchNamespaceError:
                continue


def _tables(catalog: Catalog, namespace: Identifier) -> list[Identifier]:
    try:
        return catalog.list_tables(namespace)
    except NoSuchNamespaceError:
        return []
