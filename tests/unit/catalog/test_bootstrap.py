"""`platform bootstrap`: Polaris' own client applies the setup, and namespaces are made once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from pyiceberg.catalog.memory import InMemoryCatalog

from orchestration.catalog import layers
from orchestration.catalog.layers import create_namespaces, missing_namespaces, require_namespaces
from orchestration.catalog.polaris_setup import admin_credentials, apply_setup
from orchestration.errors import CatalogError, ConfigError, NotFoundError
from orchestration.settings import Settings, load_settings

PLANTED = "planted-4711-admin"
POLARIS = {
    "catalog": "polaris",
    "catalog_uri": "https://polaris.example.com/api/catalog",
    "catalog_client_id": "id",
    "catalog_client_secret": "some-secret",
    "catalog_realm": "r1",
}


def client(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int = 0) -> Path:
    """Put a client of Polaris beside the interpreter that writes down how it was called."""
    said = folder / "said"
    script = folder / "polaris"
    script.write_text(f'#!/bin/sh\necho "$CLIENT_ID:$CLIENT_SECRET" > {said}\necho "$@" >> {said}\nexit {code}\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return said


def test_the_setup_is_applied_and_the_secret_is_no_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = client(tmp_path, monkeypatch)
    apply_setup(Settings(**POLARIS, repo_root=tmp_path), ("admin", SecretStr(PLANTED)))
    environ, arguments = said.read_text().splitlines()
    assert environ == f"admin:{PLANTED}"
    setup = tmp_path / "platform" / "polaris" / "setup.yaml"
    assert arguments == f"--base-url https://polaris.example.com --realm r1 setup apply {setup}"


def test_a_client_that_fails_is_an_error_without_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(tmp_path, monkeypatch, code=3)
    with pytest.raises(CatalogError, match="refused the setup") as caught:
        apply_setup(Settings(**POLARIS), ("admin", SecretStr(PLANTED)))
    assert PLANTED not in str(caught.value)


def test_only_a_polaris_has_a_management_interface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = client(tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match="is not the address of a Polaris"):
        apply_setup(Settings(**{**POLARIS, "catalog_uri": "https://rest.example.com"}), ("admin", SecretStr(PLANTED)))
    assert not said.exists()


def test_the_administrator_is_named_by_both_references_or_none(tmp_path: Path) -> None:
    both = {"POLARIS_ADMIN_CLIENT_ID": "admin", "POLARIS_ADMIN_CLIENT_SECRET": PLANTED}
    found = admin_credentials(load_settings(environ=both, repo_root=tmp_path))
    assert found is not None
    assert (found[0], found[1].get_secret_value()) == ("admin", PLANTED)
    assert admin_credentials(load_settings(environ={}, repo_root=tmp_path)) is None
    with pytest.raises(ConfigError, match="polaris-admin-client-secret has no value"):
        admin_credentials(load_settings(environ={"POLARIS_ADMIN_CLIENT_ID": "admin"}, repo_root=tmp_path))


def test_namespaces_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = InMemoryCatalog("test", warehouse=str(tmp_path))
    catalog.create_namespace("silver")
    monkeypatch.setattr(layers, "open_catalog", lambda settings: catalog)
    settings = Settings()
    assert missing_namespaces(settings, ["bronze", "silver", "gold"]) == ["bronze", "gold"]
    with pytest.raises(NotFoundError, match="no namespace bronze, gold") as caught:
        require_namespaces(settings, ["bronze", "gold"])
    assert caught.value.code == "PLT-NAMESPACE"
    assert create_namespaces(settings, ["bronze", "silver", "gold"]) == ["bronze", "gold"]
    assert create_namespaces(settings, ["bronze", "silver", "gold"]) == []
    require_namespaces(settings, missing_namespaces(settings, ["bronze", "silver", "gold"]))
    catalog.close()
