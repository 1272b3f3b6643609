"""What DuckDB is told: options where nobody reads them back, every value quoted."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.dbt_plugin.config import LakehouseConfig
from orchestration.errors import ConfigError
from orchestration.settings import Settings

POLARIS: dict[str, Any] = {
    "catalog": "polaris",
    "catalog_uri": "https://polaris.example.com/api/catalog",
    "catalog_warehouse": "prod",
    "catalog_client_id": "dbt",
    "catalog_client_secret": "it's secret",
    "catalog_realm": "main",
    "storage": "s3",
    "warehouse": "s3://bucket/wh/",
}


def statements(**values: Any) -> list[str]:
    return list(LakehouseConfig.from_settings(Settings(**values)).statements())


def test_embedded_catalog_is_attached_without_credentials() -> None:
    assert statements(catalog_port=18181) == [
        "ATTACH IF NOT EXISTS 'lakehouse' AS \"lakehouse\" (TYPE 'iceberg', ENDPOINT 'http://127.0.0.1:18181', "
        "ACCESS_DELEGATION_MODE 'none', AUTHORIZATION_TYPE 'none', STAGE_CREATE_TABLES false)"
    ]


def test_credentials_go_into_a_temporary_secret_and_not_into_attach() -> None:
    secret, attach = statements(**POLARIS)
    assert secret == (
        "CREATE OR REPLACE TEMPORARY SECRET millrace_catalog (TYPE 'iceberg', CLIENT_ID 'dbt', "
        "CLIENT_SECRET 'it''s secret', OAUTH2_SERVER_URI 'https://polaris.example.com/api/catalog/v1/oauth/tokens', "
        "OAUTH2_SCOPE 'PRINCIPAL_ROLE:ALL', EXTRA_HTTP_HEADERS MAP {'Polaris-Realm': 'main'})"
    )
    assert attach == (
        "ATTACH IF NOT EXISTS 'prod' AS \"lakehouse\" (TYPE 'iceberg', "
        "ENDPOINT 'https://polaris.example.com/api/catalog', ACCESS_DELEGATION_MODE 'vended_credentials', "
        "SECRET millrace_catalog)"
    )


def test_static_storage_keys_become_a_secret_of_their_own() -> None:
    keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "s3cr3t"}
    storage, _, attach = statements(**POLARIS, **keys)
    assert storage.startswith("CREATE OR REPLACE TEMPORARY SECRET millrace_storage (TYPE 's3', KEY_ID 'AKIA'")
    assert "ACCESS_DELEGATION_MODE 'none'" in attach


def test_read_only_is_said_to_the_catalog_too() -> None:
    *_, attach = LakehouseConfig.from_settings(Settings()).statements(read_only=True)
    assert attach.endswith(", READ_ONLY)")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"catalog": "hadoop"}, id="hadoop-has-no-protocol"),
        pytest.param({"catalog_client_id": "dbt"}, id="id-without-secret"),
    ],
)
def test_what_duckdb_cannot_attach_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        statements(**values)


def test_secrets_are_not_in_the_models_text() -> None:
    config = LakehouseConfig.from_settings(Settings(**POLARIS))
    assert "it's secret" not in repr(config.secrets)
    assert "it's secret" not in str(config.attach_options)
    assert [secret.get_secret_value() for secret in config.secrets] == ["it's secret"]
