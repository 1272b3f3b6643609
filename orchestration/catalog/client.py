"""Opening the REST catalog and finding tables, with errors that name the catalog and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import NoSuchTableError, RESTError
from pyiceberg.table import Table

from orchestration.errors import CatalogError, UnreachableError
from orchestration.naming import CATALOG
from orchestration.settings import Settings
from orchestration.storage import pyiceberg_properties


@contextmanager
def catalog_errors(uri: str, doing: str) -> Iterator[None]:
    """Map what PyIceberg and its HTTP client raise to our errors, naming the catalog's address and what was done."""
    try:
        yield
    except requests.RequestException as error:
        raise UnreachableError(
            f"the Iceberg catalog at {uri} does not answer ({doing}): {type(error).__name__}",
            hint="start the stack with `./millrace up`, or look at `./millrace status`",
        ) from error
    except RESTError as error:
        raise CatalogError(f"the Iceberg catalog at {uri} refused {doing}: {error}") from error


def open_catalog(settings: Settings) -> Catalog:
    """Return the catalog of the settings; asks it for its configuration once.

    Raises:
        UnreachableError: it does not answer.
        CatalogError: it refused, for example the credentials.
    """
    with catalog_errors(settings.catalog_uri, "opening"):
        return RestCatalog(CATALOG, **pyiceberg_properties(settings))


def find_table(catalog: Catalog, table: str) -> Table | None:
    """Return `schema.table`, or None if it does not exist."""
    with catalog_errors(str(catalog.properties.get("uri", "")), f"loading {table}"):
        try:
            return catalog.load_table(table)
        except NoSuchTableError:
            return None
