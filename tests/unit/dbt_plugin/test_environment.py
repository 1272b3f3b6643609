"""What a dbt process is told by its environment."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from orchestration.dbt_plugin.environment import dbt_env, profile_env
from orchestration.settings import Settings, load_settings


def test_a_dbt_process_reads_the_same_settings_back(tmp_path: Path) -> None:
    settings = Settings(
        state_dir=tmp_path,
        instance="two",
        catalog_uri="http://127.0.0.1:28181",
        catalog_client_id="dbt",
        catalog_client_secret="planted",
        silver_window_start=date(2024, 1, 1),
        allow_empty=True,
        s3_path_style=True,
    )
    read = load_settings(environ=dbt_env(settings))
    for name in settings.model_fields_set:
        assert getattr(read, name) == getattr(settings, name)
    assert read.gold_path == settings.gold_path


def test_the_profiles_variables_hold_no_secret(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, catalog_client_id="dbt", catalog_client_secret="planted")
    assert "planted" not in "".join(profile_env(settings).values())
    assert profile_env(settings)["MILLRACE_GOLD_PATH"] == str(tmp_path / "default" / "gold.duckdb")


def test_module_path_is_absolute() -> None:
    assert Path(profile_env(Settings())["MILLRACE_MODULES"]).is_absolute()
