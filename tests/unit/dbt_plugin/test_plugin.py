"""The dbt-duckdb plugin takes the settings of the process and nothing from the profile."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from orchestration.dbt_plugin.config import bound_settings
from orchestration.dbt_plugin.plugin import Plugin
from orchestration.errors import ConfigError
from orchestration.settings import Settings

PROFILES = Settings().repo_root / "dbt" / "profiles.yml"


def test_options_in_the_profile_are_refused(tmp_path: Path) -> None:
    with bound_settings(Settings(state_dir=tmp_path)), pytest.raises(ConfigError, match="client_secret"):
        Plugin("lakehouse", {"client_secret": "x"})


def test_profile_names_this_plugin_and_no_built_in_one() -> None:
    output = yaml.safe_load(PROFILES.read_text())["millrace"]["outputs"]["duckdb"]
    assert output["plugins"] == [{"module": Plugin.__module__}]
    assert "." in output["plugins"][0]["module"]
    assert not {"attach", "secrets", "extensions"} & set(output)
