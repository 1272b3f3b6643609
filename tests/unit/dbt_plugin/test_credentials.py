"""References of a profile become values, all or none, from the places that secrets have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestration.dbt_plugin.credentials import resolve_credentials
from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.errors import SecretReferenceError
from orchestration.secrets import SecretPlaces


def config(**changes: Any) -> PluginConfig:
    given = {"client_id_ref": "polaris-client-id", "client_secret_ref": "polaris-client-secret", **changes}
    return PluginConfig.from_profile({"catalog_uri": "http://polaris/api/catalog", "warehouse": "w", **given})


def places(tmp_path: Path, **environ: str) -> SecretPlaces:
    return SecretPlaces(environ=environ, mount_root=tmp_path, managers={})


def test_id_and_secret_come_from_their_places(tmp_path: Path) -> None:
    (tmp_path / "polaris-client-secret").write_text("planted-value\n")
    found = resolve_credentials(config(), places(tmp_path, POLARIS_CLIENT_ID="dbt"))
    assert (found.client_id, found.values) == ("dbt", ("planted-value",))
    assert found.names == "POLARIS_CLIENT_ID and POLARIS_CLIENT_SECRET"
    assert "planted-value" not in repr(found)


def test_an_object_stores_pair_becomes_a_secret_for_duckdb(tmp_path: Path) -> None:
    storage = {"type": "s3", "endpoint": "http://minio:9000", "path_style": True, "credential_ref": "minio"}
    given = config(client_id_ref=None, client_secret_ref=None, storage=storage, access_delegation="none")
    found = resolve_credentials(given, places(tmp_path, MINIO="key:planted-value"))
    assert found.storage == {
        "TYPE": "s3",
        "KEY_ID": "key",
        "SECRET": "planted-value",
        "REGION": "us-east-1",
        "USE_SSL": False,
        "ENDPOINT": "minio:9000",
        "URL_STYLE": "path",
    }
    assert found.values == ("planted-value",)


def test_all_missing_references_are_named_at_once(tmp_path: Path) -> None:
    given = config(storage={"type": "s3", "credential_ref": "minio"})
    with pytest.raises(SecretReferenceError) as caught:
        resolve_credentials(given, places(tmp_path))
    assert caught.value.exit_code == 2
    for part in ("polaris-client-id", "POLARIS_CLIENT_SECRET", "minio", str(tmp_path)):
        assert part in str(caught.value)


def test_a_catalog_without_credentials_needs_none(tmp_path: Path) -> None:
    found = resolve_credentials(config(client_id_ref=None, client_secret_ref=None), places(tmp_path))
    assert (found.client_id, found.values, found.names) == (None, (), "")
