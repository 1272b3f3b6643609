"""The dbt-duckdb plugin: configuration of the profile or of the settings, nothing asked before it is needed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin

from orchestration.dbt_plugin.config import bound_settings
from orchestration.dbt_plugin.polaris import Plugin
from orchestration.errors import ConfigError, SecretReferenceError
from orchestration.settings import Settings

PROFILES = Settings().repo_root / "dbt" / "profiles.yml"
CONFIG: dict[str, Any] = {
    "catalog_uri": "http://127.0.0.1:1/api/catalog",
    "warehouse": "demo_catalog",
    "client_id_ref": "no-such-id",
    "client_secret_ref": "no-such-secret",
    "memory_limit": "512MB",
    "threads": 3,
    "temp_directory": "/tmp/spill",
    "extension_directory": "/tmp/extensions",
}


def made(config: dict[str, Any], **settings: str) -> Plugin:
    credentials = DuckDBCredentials(schema="main", path=":memory:", settings=settings or None)
    return Plugin("polaris", settings | config, credentials)


def test_making_it_asks_nobody_and_reads_no_secret() -> None:
    made(CONFIG)


def test_a_secret_in_the_profile_is_refused_unseen() -> None:
    with pytest.raises(ConfigError, match="client_secret") as caught:
        made({**CONFIG, "client_secret": "planted-value"})
    assert "planted-value" not in str(caught.value)


@pytest.mark.parametrize("name", ["allow_persistent_secrets", "secret_directory"])
def test_a_setting_of_the_secret_manager_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        made(CONFIG, **{name: "true"})
    assert caught.value.code == "PLT-SECRET-MANAGER"
    with pytest.raises(ConfigError, match=name):
        made(CONFIG).update_connection_config(SimpleNamespace(), {name: "true"})


def test_other_settings_of_the_profile_are_not_its_business() -> None:
    made(CONFIG, preserve_insertion_order="false")


def test_the_connection_is_told_its_limits_and_that_nothing_is_downloaded() -> None:
    config = {"memory_limit": "1GB"}
    made(CONFIG).update_connection_config(SimpleNamespace(), config)
    assert config == {
        "allow_persistent_secrets": "false",
        "autoinstall_known_extensions": "false",
        "extension_directory": "/tmp/extensions",
        "memory_limit": "1GB",
        "temp_directory": "/tmp/spill",
        "threads": 3,
    }


def test_references_are_resolved_when_dbt_connects_and_before_anybody_is_asked(tmp_path: Path) -> None:
    with bound_settings(Settings(state_dir=tmp_path)), pytest.raises(SecretReferenceError, match="no-such-secret"):
        made(CONFIG).configure_connection(SimpleNamespace())


def test_without_a_config_the_settings_count(tmp_path: Path) -> None:
    with bound_settings(Settings(state_dir=tmp_path, catalog_port=18181)):
        assert made({})._config.catalog_uri == "http://127.0.0.1:18181"


def test_every_profile_names_this_plugin_and_no_built_in_one() -> None:
    outputs = yaml.safe_load(PROFILES.read_text())["millrace"]["outputs"]
    for output in outputs.values():
        plugins = [one["module"] for one in output.get("plugins", [])]
        assert not {name.rpartition(".")[2] for name in plugins} & BasePlugin._BUILTIN
        assert not plugins or BasePlugin.create(plugins[0], config=CONFIG).__class__ is Plugin
        assert not {"secrets", "extensions"} & set(output)
