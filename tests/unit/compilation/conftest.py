"""A checkout with the pair of files that the specification's example describes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestration import redaction
from tests.contract.checkout import ROOT

PROJECT = """\
name: customer-analytics
version: 1.0.0
catalog: default
storage: default
compute: default
transforms:
  - {type: dbt, path: dbt}
"""
PLATFORM = """\
version: 1.1.0
storage:
  default: {type: s3, bucket: customer-lake, region: eu-central-1}
catalogs:
  default:
    type: polaris
    uri: https://polaris.example.com/api/catalog
    warehouse: demo_catalog
    namespace: demo
    credentials:
      mode: oauth2
      client_id: {secret_ref: polaris-client-id}
      client_secret: {secret_ref: polaris-client-secret}
      scope: PRINCIPAL_ROLE:service_admin
  analytics:
    type: polaris
    uri: https://analytics.example.com/api/catalog
    warehouse: analytics_catalog
    credentials:
      mode: oauth2
      client_id: {secret_ref: polaris-client-id}
      client_secret: {secret_ref: polaris-client-secret}
      scope: PRINCIPAL_ROLE:service_admin
compute:
  default:
    type: duckdb
    properties: {threads: 4}
layers:
  marts: {catalog_ref: default, namespace: gold}
infrastructure:
  resource_profiles:
    transform:
      requests: {cpu: 1000m, memory: 4Gi}
      limits: {cpu: 8000m, memory: 12Gi}
      env: {DUCKDB_THREADS: 4, DUCKDB_TEMP_DIRECTORY: /tmp/duckdb}
"""


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_remembered", set())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout that compiles."""
    (tmp_path / "platform" / "datasets").mkdir(parents=True)
    (tmp_path / "dbt").mkdir()
    (tmp_path / "millrace.yaml").write_text(PROJECT)
    (tmp_path / "platform" / "platform.yaml").write_text(PLATFORM)
    (tmp_path / "dbt" / "dbt_project.yml").write_text("name: customer\nprofile: customer_analytics\n")
    shutil.copy(ROOT / "dbt" / "profiles.yml", tmp_path / "dbt" / "profiles.yml")
    return tmp_path
