"""The plugin's configuration: complete from a profile's dict, refused with the key and the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.errors import ConfigError
from orchestration.settings import Settings

PROFILE: dict[str, Any] = {
    "catalog_uri": "https://polaris.example.com/api/catalog/",
    "warehouse": "demo_catalog",
    "alias": "lakehouse",
    "catalog_type": "polaris",
    "client_id_ref": "polaris-client-id",
    "client_secret_ref": "polaris-client-secret",
    "scope": "PRINCIPAL_ROLE:service_admin",
    "realm": "r1",
    "access_delegation": "vended-credentials",
    "namespaces": ["bronze", "silver", "gold"],
    "storage": {"type": "s3", "endpoint": "http://minio:9000", "region": "us-east-1", "path_style": True},
    "extension_directory": "/opt/duckdb",
    "timeout_s": 30,
    "retries": 3,
    "credential_style": "secret",
    "properties": {"max_table_staleness": "5 minutes"},
}


def test_a_whole_profile_is_taken() -> None:
    config = PluginConfig.from_profile(PROFILE)
    assert config.token_uri == "https://polaris.example.com/api/catalog/v1/oauth/tokens"
    assert config.properties == {"MAX_TABLE_STALENESS": "5 minutes"}
    assert config.namespaces == ("bronze", "silver", "gold")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        pytest.param({"client_secret": "planted-value"}, ["client_secret"], id="secret-instead-of-its-name"),
        pytest.param({"client_id": "x:planted-value", "client_id_ref": None}, ["client_id"], id="pair-as-id"),
        pytest.param({"client_secret_ref": None}, ["client_secret_ref go together"], id="id-alone"),
        pytest.param({"client_id": "dbt"}, ["exclude each other"], id="id-twice"),
        pytest.param({"client_secret_ref": "../etc/passwd"}, ["client_secret_ref"], id="path-as-name"),
        pytest.param({"catalog_uri": "polaris:8181"}, ["catalog_uri"], id="no-scheme"),
        pytest.param({"catalog_uri": "http://u:planted-value@polaris"}, ["catalog_uri"], id="user-in-address"),
        pytest.param({"access_delegation": "remote-signing"}, ["access_delegation"], id="remote-signing"),
        pytest.param({"namespaces": ["demo.gold"]}, ["namespaces"], id="nested-namespace"),
        pytest.param({"memory_limit": "8Gi"}, ["memory_limit"], id="kubernetes-unit"),
        pytest.param({"properties": {"URI": "http://x"}}, ["URI is set by the key catalog_uri"], id="own-key"),
        pytest.param({"properties": {"SUPPORT_STAGE_CREATE": True}}, ["SUPPORT_STAGE_CREATE"], id="unknown-option"),
        pytest.param(
            {"properties": {"EXTRA_HTTP_HEADERS": {"Authorization": "planted-value"}}}, ["Authorization"], id="header"
        ),
        pytest.param({"nonsense": 1, "timeout_s": 0}, ["nonsense", "timeout_s"], id="all-at-once"),
    ],
)
def test_each_fault_names_its_key_and_no_value(changes: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        PluginConfig.from_profile(PROFILE | changes)
    assert [part for part in parts if part not in str(caught.value)] == []
    assert "planted-value" not in str(caught.value)


def test_settings_give_the_same_model_without_their_secret() -> None:
    config = PluginConfig.from_settings(
        Settings(
            catalog="polaris",
            catalog_uri="https://polaris.example.com/api/catalog",
            catalog_client_id="dbt",
            catalog_client_secret="planted-value",
            storage="s3",
            warehouse="s3://bucket/wh/",
        )
    )
    assert (config.client_id, config.scope, config.access_delegation) == (
        "dbt",
        "PRINCIPAL_ROLE:ALL",
        "vended-credentials",
    )
    assert "planted-value" not in repr(config)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"catalog": "hadoop"}, id="hadoop-has-no-protocol"),
        pytest.param({"catalog_client_id": "dbt"}, id="id-without-secret"),
    ],
)
def test_settings_that_duckdb_cannot_attach_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        PluginConfig.from_settings(Settings(**values))
