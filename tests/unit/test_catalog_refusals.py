"""What engines say about the catalog becomes one error with a code, a remedy and no secret."""

from __future__ import annotations

import pytest

from orchestration.catalog_errors import CatalogAccess
from orchestration.catalog_refusals import explain, explain_flink

ACCESS = CatalogAccess(
    uri="http://catalog.example.com/api/catalog",
    warehouse="lakehouse",
    scope="PRINCIPAL_ROLE:dbt",
    realm="r1",
    credentials="POLARIS_CLIENT_ID and POLARIS_CLIENT_SECRET",
    timeout_s=30,
)
FORBIDDEN = (
    "HTTP Error: GetTableInformation endpoint returned response code Forbidden_403 with message \"Principal 'dbt' with "
    "activated PrincipalRoles '[x]' and activated grants via '[x]' is not authorized for op LOAD_TABLE\""
)

SAID = [
    pytest.param(
        "IO Error: Could not connect to server error for HTTP GET to 'http://catalog.example.com/v1/config'",
        ("PLT-UNREACHABLE", 4, "does not answer"),
        id="duckdb-nobody-listens",
    ),
    pytest.param(
        "Could not get token from http://x/v1/oauth/tokens: Could not connect to server error for HTTP POST",
        ("PLT-UNREACHABLE", 4, "host catalog.example.com, port 80"),
        id="duckdb-nobody-gives-tokens",
    ),
    pytest.param(
        "Could not get token from http://x: Could not resolve hostname error for HTTP POST to 'http://x'",
        ("PLT-UNREACHABLE", 4, "does not answer"),
        id="duckdb-no-such-host",
    ),
    pytest.param(
        "IO Error: Timeout was reached error for HTTP GET to 'http://catalog.example.com/v1/config?warehouse=x'",
        ("PLT-UNREACHABLE", 4, "timeout 30 s"),
        id="duckdb-too-slow",
    ),
    pytest.param(
        "HTTP Error: Request returned HTTP 503 for HTTP GET to 'http://x'",
        ("PLT-UNREACHABLE", 4, "503"),
        id="duckdb-5xx",
    ),
    pytest.param(
        "HTTP Error: Request returned HTTP 429 for HTTP GET to 'http://x/v1/config?warehouse=lakehouse'",
        ("PLT-UNREACHABLE", 4, "429"),
        id="duckdb-429",
    ),
    pytest.param(
        "org.apache.iceberg.exceptions.ServiceFailureException: Server error: ServiceUnavailableException: told so",
        ("PLT-UNREACHABLE", 4, "does not answer"),
        id="flink-5xx",
    ),
    pytest.param(
        "OAuth2 token request failed (Unauthorized_401): unauthorized_client - The client is not authorized",
        ("PLT-AUTH", 1, "POLARIS_CLIENT_ID and POLARIS_CLIENT_SECRET, scope PRINCIPAL_ROLE:dbt, realm r1"),
        id="duckdb-wrong-secret",
    ),
    pytest.param(
        "OAuth2 token request failed (BadRequest_400): invalid_scope - The scope is invalid",
        ("PLT-AUTH", 1, "invalid_scope"),
        id="duckdb-wrong-scope",
    ),
    pytest.param(
        'Could not get token from http://x: HTTP NotFound_404 - {"error":{"message":"Missing or invalid realm"}}',
        ("PLT-AUTH", 1, "realm"),
        id="duckdb-wrong-realm",
    ),
    pytest.param(
        "org.apache.iceberg.exceptions.NotAuthorizedException: Malformed request: unauthorized_client: The client",
        ("PLT-AUTH", 1, "refused the credentials"),
        id="flink-wrong-secret",
    ),
    pytest.param(FORBIDDEN, ("PLT-GRANT", 1, "the principal dbt do LOAD_TABLE"), id="duckdb-missing-grant"),
    pytest.param(
        "Request to 'http://x/v1/lakehouse/namespaces/silver/tables' returned a non-200 status code (Forbidden_403)",
        ("PLT-GRANT", 1, "on silver"),
        id="duckdb-missing-grant-on-create",
    ),
    pytest.param(
        "Request to 'http://x/v1/config?warehouse=lakehouse' returned a non-200 status code (NotFound_404), with",
        ("PLT-WAREHOUSE", 1, "has no warehouse lakehouse under this address"),
        id="duckdb-wrong-warehouse",
    ),
    pytest.param(
        "NotFoundException: Unable to find warehouse lakehouse",
        ("PLT-WAREHOUSE", 1, "has no warehouse lakehouse"),
        id="polaris-wrong-warehouse",
    ),
    pytest.param("Unhandled options found: foo", ("PLT-OPTION", 2, "foo"), id="option"),
    pytest.param(
        "No ICEBERG secret by the name of 'polaris_secret' could be found",
        ("PLT-SECRET-NAME", 2, "polaris_secret"),
        id="secret-name",
    ),
    pytest.param(
        "Invalid Input Error: Changing Secret Manager settings after the secret manager is used is not allowed!",
        ("PLT-SECRET-MANAGER", 2, "secret_directory"),
        id="secret-manager",
    ),
    pytest.param(
        "Catalog Error: Type with name iceberg does not exist!", ("PLT-EXTENSION", 1, "iceberg"), id="extension"
    ),
    pytest.param(
        'IO Error: Could not set lock on file "/x/gold.duckdb": Conflicting lock is held in python (PID 4711)',
        ("PLT-LOCK", 7, "process 4711"),
        id="lock",
    ),
    pytest.param(
        'Catalog Error: Table with name "gold.x" does not exist because schema "gold" does not exist.',
        ("PLT-NAMESPACE", 1, "no namespace gold"),
        id="duckdb-namespace",
    ),
    pytest.param('Catalog Error: Schema with name "gold" not found', ("PLT-NAMESPACE", 1, "gold"), id="namespace"),
]


@pytest.mark.parametrize(("said", "expected"), SAID)
def test_each_refusal_has_its_code_exit_code_and_remedy(said: str, expected: tuple[str, int, str]) -> None:
    error = explain(said, ACCESS)
    assert error is not None
    assert (error.code, error.exit_code) == expected[:2]
    assert expected[2] in error.message
    assert error.hint
    assert "\n" not in error.message


def test_a_refused_renewal_is_not_a_wrong_password() -> None:
    error = explain("OAuth2 token request failed (Unauthorized_401)", ACCESS, is_attached=True, doing="model fct_trips")
    assert error is not None
    assert error.code == "PLT-TOKEN-EXPIRED"
    assert "model fct_trips" in error.message


def test_a_missing_grant_names_operation_object_and_privilege() -> None:
    error = explain(FORBIDDEN, ACCESS, doing="model gold.fct_trips")
    assert error is not None
    assert error.context["privilege"] == "TABLE_READ_PROPERTIES"
    assert "gold.fct_trips" in error.message
    assert "TABLE_READ_PROPERTIES" in (error.hint or "")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Binder Error: something new",
        "Conversion Error: Could not convert string '403' to DATE; timeout, unauthorized",
        "HTTP Error: HTTP GET error on 'http://minio:9000/bucket/x.parquet' (HTTP 403)",
        "IO Error: Could not connect to server error for HTTP GET to 'http://minio:9000/bucket/x.parquet'",
    ],
)
def test_what_is_not_about_the_catalog_is_left_alone(said: str) -> None:
    assert explain(said, ACCESS, is_attached=True) is None


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param("org.apache.iceberg.exceptions.ForbiddenException: Forbidden: x", "PLT-GRANT", id="grant"),
        pytest.param("NoSuchWarehouseException: Unable to find warehouse x", "PLT-WAREHOUSE", id="warehouse"),
        pytest.param("TimeoutException: Timed out waiting for a node assignment", None, id="broker"),
        pytest.param("TopicAuthorizationException: Not authorized to access topics: [t]", None, id="topic"),
        pytest.param("ServiceFailureException: org.apache.iceberg connection refused", None, id="flinks-own-code"),
    ],
)
def test_flink_passes_on_what_the_catalog_said_and_nothing_else(said: str, code: str | None) -> None:
    error = explain_flink(said, ACCESS)
    assert (error.code if error else None) == code


def test_secrets_that_an_engine_quotes_are_removed() -> None:
    error = explain('unauthorized: CLIENT_SECRET \'planted-value\', "client_secret": "planted-value"', ACCESS)
    assert "planted-value" not in str(error)
