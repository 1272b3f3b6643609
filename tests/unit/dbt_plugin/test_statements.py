"""What DuckDB is told: options where nobody reads them back, every value quoted."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import SecretStr

from orchestration.dbt_plugin.credentials import Credentials, credentials_of
from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.dbt_plugin.statements import attachment
from orchestration.errors import ConfigError
from orchestration.settings import Settings

ODD = "a'b\"c\\d $e;--"
POLARIS: dict[str, Any] = {
    "catalog": "polaris",
    "catalog_uri": "https://polaris.example.com/api/catalog",
    "catalog_warehouse": "prod",
    "catalog_client_id": "dbt",
    "catalog_client_secret": ODD,
    "catalog_realm": "main",
    "storage": "s3",
    "warehouse": "s3://bucket/wh/",
}


def statements(read_only: bool = False, version: str = "1.5.5", **values: Any) -> list[str]:
    """Return the SQL for settings; the name that stands for the credentials is masked, it changes with the process."""
    settings = Settings(**values)
    made = attachment(
        PluginConfig.from_settings(settings), credentials_of(settings), read_only=read_only, version=version
    )
    return [re.sub(r"_catalog_[0-9a-f]{8}", "_catalog_N", text) for text in (*made.create_secrets(), made.attach())]


def test_embedded_catalog_is_attached_without_credentials() -> None:
    assert statements(catalog_port=18181) == [
        "ATTACH 'lakehouse' AS \"lakehouse\" (TYPE 'iceberg', ENDPOINT 'http://127.0.0.1:18181', "
        "ACCESS_DELEGATION_MODE 'none', STAGE_CREATE_TABLES false, AUTHORIZATION_TYPE 'none')"
    ]


def test_credentials_go_into_a_temporary_secret_and_not_into_attach() -> None:
    realm, secret, attach = statements(**POLARIS)
    assert realm == (
        "CREATE OR REPLACE TEMPORARY SECRET lakehouse_realm (TYPE 'http', "
        "SCOPE ['https://polaris.example.com/api/catalog', "
        "'https://polaris.example.com/api/catalog/v1/oauth/tokens'], "
        "EXTRA_HTTP_HEADERS MAP {'Polaris-Realm': 'main'})"
    )
    assert secret == (
        "CREATE OR REPLACE TEMPORARY SECRET lakehouse_catalog_N (TYPE 'iceberg', CLIENT_ID 'dbt', "
        "CLIENT_SECRET 'a''b\"c\\d $e;--', "
        "OAUTH2_SERVER_URI 'https://polaris.example.com/api/catalog/v1/oauth/tokens', "
        "OAUTH2_SCOPE 'PRINCIPAL_ROLE:ALL')"
    )
    assert attach == (
        "ATTACH 'prod' AS \"lakehouse\" (TYPE 'iceberg', ENDPOINT 'https://polaris.example.com/api/catalog', "
        "ACCESS_DELEGATION_MODE 'vended_credentials', SECRET 'lakehouse_catalog_N')"
    )


def test_static_storage_keys_become_a_secret_of_their_own() -> None:
    keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "s3cr3t"}
    storage, *_, attach = statements(**POLARIS, **keys)
    assert storage.startswith("CREATE OR REPLACE TEMPORARY SECRET lakehouse_storage (TYPE 's3', KEY_ID 'AKIA'")
    assert "ACCESS_DELEGATION_MODE 'none'" in attach


def test_reading_is_said_to_the_catalog_too() -> None:
    assert statements(read_only=True)[-1].endswith(", READ_ONLY)")


def test_the_address_has_another_name_in_the_next_duckdb() -> None:
    assert "URI 'http://127.0.0.1:8181'" in statements(version="2.0.1")[-1]
    assert "ENDPOINT" not in statements(version="2.0.1")[-1]


def profile(**changes: Any) -> PluginConfig:
    return PluginConfig.from_profile(
        {
            "catalog_uri": "http://polaris:8181/api/catalog",
            "warehouse": "it's",
            "client_id": "dbt",
            "client_secret_ref": "polaris-client-secret",
            **changes,
        }
    )


CREDENTIALS = Credentials("dbt", SecretStr("planted-value"), names="POLARIS_CLIENT_SECRET")


def test_inline_style_puts_them_into_attach() -> None:
    made = attachment(profile(credential_style="inline"), CREDENTIALS)
    assert made.create_secrets() == []
    assert "CLIENT_SECRET 'planted-value'" in made.attach()
    assert made.attach().startswith("ATTACH 'it''s' AS")


def test_properties_keep_their_types_and_are_quoted() -> None:
    made = attachment(
        profile(
            properties={
                "MAX_TABLE_STALENESS": "5 minutes",
                "PURGE_REQUESTED": True,
                "EXTRA_HTTP_HEADERS": {"x-team": "a'b"},
                "READ_ONLY": True,
            }
        ),
        CREDENTIALS,
    )
    assert "MAX_TABLE_STALENESS '5 minutes', PURGE_REQUESTED true, EXTRA_HTTP_HEADERS MAP {'x-team': 'a''b'}" in (
        made.attach()
    )
    assert made.attach().endswith(", READ_ONLY)")


def test_other_credentials_have_another_name_and_the_same_ones_the_same() -> None:
    other = Credentials("dbt", SecretStr("planted-other"))
    names = [attachment(profile(), one).options["SECRET"] for one in (CREDENTIALS, CREDENTIALS, other)]
    assert names[0] == names[1] != names[2]


def test_credentials_with_a_line_break_are_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError, match="line break") as caught:
        attachment(profile(), Credentials("dbt", SecretStr("planted\nvalue"), names="POLARIS_CLIENT_SECRET"))
    assert "planted" not in str(caught.value)


def test_secrets_are_in_no_repr() -> None:
    keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "planted-value"}
    assert "planted-value" not in repr(credentials_of(Settings(**POLARIS, **keys)))
