"""Opening the REST catalog and finding tables, with errors that name the catalog and the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.rest.auth import AuthManager
from pyiceberg.exceptions import NoSuchTableError, RESTError
from pyiceberg.table import Table
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry

from orchestration.catalog_errors import CatalogAccess, unreachable
from orchestration.catalog_refusals import explain
from orchestration.errors import CatalogError
from orchestration.naming import CATALOG
from orchestration.settings import Settings
from orchestration.storage import catalog_credentials, oauth2_server_uri, pyiceberg_properties

_BUSY = (429, 500, 502, 503, 504)
# A commit whose answer is lost may have happened: only reads are sent again.
_READS = Retry(
    total=3,
    connect=2,
    read=0,
    status=3,
    backoff_factor=0.2,
    status_forcelist=_BUSY,
    allowed_methods=("GET", "HEAD"),
    raise_on_status=False,
)
_TOKENS = _READS.new(allowed_methods=("POST",))


@contextmanager
def catalog_errors(catalog: str | CatalogAccess, doing: str) -> Iterator[None]:
    """Map what PyIceberg and its HTTP client raise to our errors, naming the catalog and what was done.

    Args:
        catalog: its address, once it has accepted the credentials; while it is opened, how it is asked.
    """
    access = CatalogAccess(uri=catalog, warehouse="") if isinstance(catalog, str) else catalog
    try:
        yield
    except requests.RequestException as error:
        # A timeout that urllib3 would have tried again comes as a ConnectionError around it.
        reason = getattr(error.args[0], "reason", None) if error.args else None
        is_late = isinstance(error, requests.Timeout) or isinstance(reason, TimeoutError | ReadTimeoutError)
        why = "no answer in time" if is_late else type(reason or error).__name__
        raise unreachable(access, f"{why} ({doing})") from error
    except RESTError as error:
        is_attached = isinstance(catalog, str)
        found = explain(f"{type(error).__name__}: {error}", access, is_attached=is_attached, doing=doing)
        raise found or CatalogError(f"{access.where} refused {doing}: {error}") from error


def open_catalog(settings: Settings) -> Catalog:
    """Return the catalog of the settings; asks it for its configuration once.

    Every request ends after `iceberg_metadata_timeout_s`; reads are sent again while nobody listens, or after 5xx and
    429.

    Raises:
        CatalogUnreachableError: it does not answer.
        CatalogError: it refused, for example the credentials.
    """
    with catalog_errors(access_of(settings), "opening"):
        return _BoundedCatalog(CATALOG, settings, pyiceberg_properties(settings))


def access_of(settings: Settings) -> CatalogAccess:
    """Return how the settings ask the catalog, for error texts."""
    credentials = catalog_credentials(settings)
    return CatalogAccess(
        uri=settings.catalog_uri,
        warehouse=settings.catalog_warehouse,
        scope=settings.catalog_scope if credentials else None,
        realm=settings.catalog_realm,
        credentials=credentials,
        timeout_s=settings.iceberg_metadata_timeout_s,
    )


def find_table(catalog: Catalog, table: str) -> Table | None:
    """Return `schema.table`, or None if it does not exist."""
    with catalog_errors(str(catalog.properties.get("uri", "")), f"loading {table}"):
        try:
            return catalog.load_table(table)
        except NoSuchTableError:
            return None


class _BoundedCatalog(RestCatalog):
    """PyIceberg's catalog with limits: by itself 0.12 waits for an answer for ever and tries everything once."""

    def __init__(self, name: str, settings: Settings, properties: Mapping[str, str]) -> None:
        # Before the parent's: that one sends requests.
        self._limits = (settings.http_timeout_s, settings.iceberg_metadata_timeout_s)
        self._token_uri = oauth2_server_uri(settings)
        super().__init__(name, **properties)

    def _create_legacy_oauth2_auth_manager(self, session: requests.Session) -> AuthManager:
        # Here, because it asks for a token at once.
        for prefix, retry in (("https://", _READS), ("http://", _READS), (self._token_uri, _TOKENS)):
            session.mount(prefix, _BoundedAdapter(self._limits, retry))
        return super()._create_legacy_oauth2_auth_manager(session)


class _BoundedAdapter(HTTPAdapter):
    def __init__(self, limits: tuple[float, float], retry: Retry) -> None:
        super().__init__(max_retries=retry)
        self._limits = limits

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        more["timeout"] = more.get("timeout") or self._limits
        return super().send(request, *args, **more)
