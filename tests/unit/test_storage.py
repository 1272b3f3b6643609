"""Whole option sets are compared: an option too many is as wrong as one too few."""

from typing import Any

import duckdb
import pytest

from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.errors import ConfigError
from orchestration.settings import Settings
from orchestration.storage import (
    duckdb_secret_options,
    flink_catalog_options,
    oauth2_server_uri,
    pyiceberg_io_properties,
    pyiceberg_properties,
    wants_vended_credentials,
)

LOCAL: dict[str, Any] = {}
S3 = {"storage": "s3", "warehouse": "s3://lake/wh/", "catalog_uri": "http://catalog:8181", "aws_region": "eu-west-1"}
KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "it's #1"}
MINIO = {**S3, **KEYS, "warehouse": "s3a://lake/", "s3_endpoint": "http://minio:9000"}
POLARIS = {
    **S3,
    "catalog": "polaris",
    "catalog_uri": "https://polaris/api/catalog/",
    "catalog_warehouse": "prod",
    "catalog_client_id": "id",
    "catalog_client_secret": "se:cret",
    "catalog_realm": "acme",
}
GCS = {"storage": "gcs", "warehouse": "gs://lake/", "catalog_uri": "http://catalog:8181"}
GCS_BY_S3 = {
    **GCS,
    **KEYS,
    "warehouse": "s3://lake/",
    "s3_endpoint": "https://storage.googleapis.com",
    "aws_region": "auto",
}
AZURE = {
    "storage": "azure",
    "warehouse": "abfss://lake@acme.dfs.core.windows.net/",
    "azure_storage_account": "acme",
    "catalog_uri": "http://catalog:8181",
}
AZURE_KEY = {**AZURE, "azure_storage_key": "azure-key"}
HADOOP = {"catalog": "hadoop", "storage": "s3", "warehouse": "s3a://old/", **KEYS, "s3_endpoint": "http://minio:9000"}
ALL = {
    "local": LOCAL,
    "s3": S3,
    "s3 keys": {**S3, **KEYS},
    "minio": MINIO,
    "polaris": POLARIS,
    "gcs": GCS,
    "gcs by s3": GCS_BY_S3,
    "azure": AZURE,
    "azure key": AZURE_KEY,
    "hadoop": HADOOP,
}

REST = {"type": "iceberg", "catalog-type": "rest", "uri": "http://catalog:8181", "warehouse": "lakehouse"}
VENDED = {"header.X-Iceberg-Access-Delegation": "vended-credentials"}
S3_IO = {"io-impl": "org.apache.iceberg.aws.s3.S3FileIO"}
S3_KEYS = {"s3.access-key-id": "key", "s3.secret-access-key": "it's #1"}
OAUTH2 = {
    "credential": "id:se:cret",
    "scope": "PRINCIPAL_ROLE:ALL",
    "oauth2-server-uri": "https://polaris/api/catalog/v1/oauth/tokens",
}

FLINK: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "local": (
        LOCAL,
        {**REST, "uri": "http://127.0.0.1:8181", "io-impl": "org.apache.iceberg.hadoop.HadoopFileIO"},
    ),
    "s3 by role": (S3, {**REST, **VENDED, **S3_IO, "client.region": "eu-west-1"}),
    "ice-07 minio": (
        MINIO,
        {
            **REST,
            **S3_IO,
            **S3_KEYS,
            "client.region": "eu-west-1",
            "s3.endpoint": "http://minio:9000",
            "s3.path-style-access": "true",
        },
    ),
    "ice-08 s3 with session token": (
        {**S3, **KEYS, "aws_session_token": "tok"},
        {**REST, **S3_IO, **S3_KEYS, "s3.session-token": "tok", "client.region": "eu-west-1"},
    ),
    "polaris": (
        POLARIS,
        {
            **REST,
            **VENDED,
            **S3_IO,
            **OAUTH2,
            "uri": "https://polaris/api/catalog",
            "warehouse": "prod",
            "rest.auth.type": "oauth2",
            "token-exchange-enabled": "false",
            "header.Polaris-Realm": "acme",
            "client.region": "eu-west-1",
        },
    ),
    "ice-09 gcs": (GCS, {**REST, **VENDED, "io-impl": "org.apache.iceberg.gcp.gcs.GCSFileIO"}),
    "ice-09 gcs by s3": (
        GCS_BY_S3,
        {**REST, **S3_IO, **S3_KEYS, "client.region": "auto", "s3.endpoint": "https://storage.googleapis.com"},
    ),
    "ice-10 azure by identity": (AZURE, {**REST, **VENDED, "io-impl": "org.apache.iceberg.azure.adlsv2.ADLSFileIO"}),
    "ice-10 azure with key": (
        AZURE_KEY,
        {
            **REST,
            "io-impl": "org.apache.iceberg.azure.adlsv2.ADLSFileIO",
            "adls.auth.shared-key.account.name": "acme",
            "adls.auth.shared-key.account.key": "azure-key",
        },
    ),
    "ice-02 hadoop": (
        HADOOP,
        {
            "type": "iceberg",
            "catalog-type": "hadoop",
            "warehouse": "s3a://old/",
            **S3_IO,
            **S3_KEYS,
            "client.region": "us-east-1",
            "s3.endpoint": "http://minio:9000",
            "s3.path-style-access": "true",
        },
    ),
}


@pytest.mark.parametrize(("values", "options"), FLINK.values(), ids=FLINK)
def test_flink_gets_exactly_these_options(values: dict[str, Any], options: dict[str, str]) -> None:
    assert flink_catalog_options(Settings(**values)) == options


PYICEBERG: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "local": (
        LOCAL,
        {"uri": "http://127.0.0.1:8181", "warehouse": "lakehouse", "header.X-Iceberg-Access-Delegation": ""},
    ),
    "minio": (
        MINIO,
        {
            "uri": "http://catalog:8181",
            "warehouse": "lakehouse",
            "header.X-Iceberg-Access-Delegation": "",
            **S3_KEYS,
            "s3.region": "eu-west-1",
            "s3.endpoint": "http://minio:9000",
            "s3.force-virtual-addressing": "false",
        },
    ),
    "polaris": (
        POLARIS,
        {
            "uri": "https://polaris/api/catalog",
            "warehouse": "prod",
            **OAUTH2,
            **VENDED,
            "header.Polaris-Realm": "acme",
            "s3.region": "eu-west-1",
        },
    ),
    "azure": (
        AZURE_KEY,
        {
            "uri": "http://catalog:8181",
            "warehouse": "lakehouse",
            "header.X-Iceberg-Access-Delegation": "",
            "adls.account-name": "acme",
            "adls.account-key": "azure-key",
        },
    ),
}


@pytest.mark.parametrize(("values", "properties"), PYICEBERG.values(), ids=PYICEBERG)
def test_pyiceberg_gets_exactly_these_properties(values: dict[str, Any], properties: dict[str, str]) -> None:
    assert pyiceberg_properties(Settings(**values)) == properties


S3_SECRET = {"TYPE": "s3", "KEY_ID": "key", "SECRET": "it's #1"}
SECRETS: dict[str, tuple[dict[str, Any], dict[str, object]]] = {
    "local": (LOCAL, {}),
    "s3 by role": (S3, {}),
    "s3 with keys": ({**S3, **KEYS}, {**S3_SECRET, "REGION": "eu-west-1", "USE_SSL": True, "URL_STYLE": "vhost"}),
    "dck-06 minio": (
        MINIO,
        {**S3_SECRET, "REGION": "eu-west-1", "USE_SSL": False, "ENDPOINT": "minio:9000", "URL_STYLE": "path"},
    ),
    "session token": (
        {**S3, **KEYS, "aws_session_token": "tok"},
        {**S3_SECRET, "REGION": "eu-west-1", "USE_SSL": True, "SESSION_TOKEN": "tok", "URL_STYLE": "vhost"},
    ),
    "gcs": ({**GCS, **KEYS}, {"TYPE": "gcs", "KEY_ID": "key", "SECRET": "it's #1"}),
    "azure": (AZURE_KEY, {}),
}


@pytest.mark.parametrize(("values", "options"), SECRETS.values(), ids=SECRETS)
def test_duckdb_reads_the_store_with_exactly_this_secret(values: dict[str, Any], options: dict[str, object]) -> None:
    assert duckdb_secret_options(Settings(**values)) == options


@pytest.mark.parametrize("values", ALL.values(), ids=ALL)
def test_g_10_no_engine_gets_a_hadoop_name(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    names = [*flink_catalog_options(settings), *pyiceberg_io_properties(settings)]
    assert not [name for name in names if name.startswith("fs.")]


@pytest.mark.parametrize("values", [values for name, values in ALL.items() if name != "hadoop"], ids=[*ALL][:-1])
def test_all_engines_agree_on_catalog_keys_and_delegation(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    flink, python, duck = (
        flink_catalog_options(settings),
        pyiceberg_properties(settings),
        PluginConfig.from_settings(settings),
    )
    assert flink["uri"] == python["uri"] == duck.catalog_uri
    assert flink["warehouse"] == python["warehouse"]
    for name in ("s3.access-key-id", "s3.secret-access-key", "s3.session-token", "s3.endpoint", "credential", "scope"):
        assert flink.get(name) == python.get(name)
    delegation = "header.X-Iceberg-Access-Delegation"
    assert flink.get(delegation, "") == python[delegation]
    assert (duck.access_delegation == "vended-credentials") == (delegation in flink)


@pytest.mark.parametrize(
    ("values", "wants"),
    [(LOCAL, False), (S3, True), (MINIO, False), (POLARIS, True), ({**POLARIS, **KEYS}, False), (AZURE, True)],
    ids=["file", "role", "static keys", "polaris", "polaris with keys", "identity"],
)
def test_credentials_are_vended_only_where_there_are_none(values: dict[str, Any], wants: bool) -> None:
    assert wants_vended_credentials(Settings(**values)) is wants


def test_the_token_endpoint_is_under_the_catalogs_address() -> None:
    assert oauth2_server_uri(Settings(catalog_uri="http://h:1/api/")) == "http://h:1/api/v1/oauth/tokens"


@pytest.mark.parametrize("function", [pyiceberg_properties, PluginConfig.from_settings], ids=["pyiceberg", "duckdb"])
def test_engines_without_a_hadoop_catalog_say_so(function: Any) -> None:
    with pytest.raises(ConfigError, match="CATALOG=hadoop"):
        function(Settings(**HADOOP))


def test_the_installed_duckdb_version_is_the_one_the_names_were_tried_on() -> None:
    assert duckdb.__version__ == "1.5.5"
