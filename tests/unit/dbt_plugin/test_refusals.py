"""A statement that the catalog refused in mid-run is told from one that is wrong."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from orchestration.dbt_plugin.refusals import refusal_in
from orchestration.dbt_plugin.runner import DbtNode, DbtRun
from orchestration.errors import CatalogError, CheckFailedError, UnreachableError
from orchestration.settings import Settings

SETTINGS = Settings()
EXPIRED = "OAuth2 token request failed (Unauthorized_401): unauthorized_client - The client is not authorized"


def test_withdrawn_credentials_are_named_with_what_ran() -> None:
    error = refusal_in(EXPIRED, SETTINGS, "model.millrace.fct_trips")
    assert error is not None
    assert error.code == "PLT-TOKEN-EXPIRED"
    assert "model.millrace.fct_trips" in error.message


def test_a_store_that_went_away_in_mid_build_is_unreachable_and_worth_a_retry() -> None:
    lake = Settings(
        storage="s3",
        warehouse="s3://lake/",
        s3_endpoint="http://store:9000",
        aws_access_key_id="key",
        aws_secret_access_key=SecretStr("secret"),
    )
    said = "IO Error: Could not connect to server error for HTTP GET to 'http://store:9000/lake/wh/x.avro'"
    error = refusal_in(said, lake, "model.millrace.fct_trips")
    assert isinstance(error, UnreachableError)
    assert error.is_retryable
    assert "the object store at http://store:9000 does not answer" in error.message
    assert refusal_in(said, SETTINGS, "model.millrace.fct_trips") is None


@pytest.mark.parametrize("text", [None, "", "Binder Error: column x"])
def test_a_wrong_statement_is_not_the_catalogs_fault(text: str | None) -> None:
    assert refusal_in(text, SETTINGS, "the query") is None


def test_without_a_catalog_nothing_is_its_fault() -> None:
    assert refusal_in(EXPIRED, Settings(catalog="hadoop"), "the query") is None


def test_a_build_that_the_catalog_refused_fails_with_the_refusal() -> None:
    node = DbtNode("model.millrace.fct_trips", "model", "error", 0.1, EXPIRED)
    with pytest.raises(CheckFailedError):
        DbtRun("build", False, 1.0, (node,)).require_success()
    refusal = refusal_in(EXPIRED, SETTINGS, node.unique_id)
    with pytest.raises(CatalogError, match="no longer accepts the token"):
        DbtRun("build", False, 1.0, (node,), refusal).require_success()
