"""Tables are found or not; what a catalog answers becomes an error that names it."""

from __future__ import annotations

import pytest
import requests
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import ForbiddenError

from orchestration.catalog import find_table
from orchestration.catalog.client import catalog_errors
from orchestration.errors import CatalogError, MillraceError, UnreachableError
from tests.unit.tables import bronze_table


def test_a_table_that_is_there_is_returned(iceberg: Catalog) -> None:
    bronze_table(iceberg)
    found = find_table(iceberg, "bronze.raw_rides")
    assert found is not None
    assert found.name()[-2:] == ("bronze", "raw_rides")


@pytest.mark.parametrize("table", ["bronze.nix", "nix.raw_rides"], ids=["table", "namespace"])
def test_a_table_that_is_not_there_is_none(iceberg: Catalog, table: str) -> None:
    assert find_table(iceberg, table) is None


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        pytest.param(requests.ConnectionError("refused"), UnreachableError, id="refused"),
        pytest.param(requests.ReadTimeout("slow"), UnreachableError, id="timeout"),
        pytest.param(ForbiddenError("no right"), CatalogError, id="forbidden"),
    ],
)
def test_a_catalogs_failure_names_its_address_and_what_was_done(
    raised: Exception, expected: type[MillraceError]
) -> None:
    with pytest.raises(expected) as error, catalog_errors("http://127.0.0.1:8181", "loading bronze.raw_rides"):
        raise raised
    assert "http://127.0.0.1:8181" in error.value.message
    assert "loading bronze.raw_rides" in error.value.message
