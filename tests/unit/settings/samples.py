"""Settings that are valid, one for each kind of store and catalog."""

from pathlib import Path
from typing import Any

import pytest

from orchestration.errors import ConfigError
from orchestration.settings import Settings

PLANTED = "Zq7Xw9Vk"
REPO = Path(__file__).resolve().parents[3]
S3 = {"storage": "s3", "warehouse": "s3://lake/wh/", "catalog_uri": "http://catalog:8181"}
MINIO = {**S3, "s3_endpoint": "http://minio:9000", "aws_access_key_id": "k", "aws_secret_access_key": "s"}
AZURE = {
    "storage": "azure",
    "warehouse": "abfss://lake@acme.dfs.core.windows.net/wh/",
    "azure_storage_account": "acme",
    "catalog_uri": "http://catalog:8181",
}
POLARIS = {
    "catalog": "polaris",
    "catalog_uri": "https://polaris/api/catalog",
    "catalog_client_id": "id",
    "catalog_client_secret": PLANTED,
}
GCS = {"storage": "gcs", "warehouse": "gs://lake/", "catalog_uri": "http://c:1"}
NEEDED = {"polaris": POLARIS, "s3": S3, "azure": AZURE, "gcs": GCS}
"""What a value of an axis needs besides."""


def refusal(**values: Any) -> str:
    """Return the message of the refusal of these settings."""
    with pytest.raises(ConfigError) as caught:
        Settings(**values)
    return caught.value.message
