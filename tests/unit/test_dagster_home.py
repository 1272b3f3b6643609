"""The folder of the Dagster instance."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.dagster_home import prepare_dagster_home
from orchestration.errors import ConfigError
from orchestration.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A checkout with a dagster.yaml."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return Settings(repo_root=tmp_path)


def test_it_makes_the_folder_with_the_checkouts_configuration(settings: Settings) -> None:
    home = prepare_dagster_home(settings)
    assert home == settings.dagster_home
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


def test_a_second_call_leaves_the_file_alone(settings: Settings) -> None:
    file = prepare_dagster_home(settings) / "dagster.yaml"
    before = file.stat()
    prepare_dagster_home(settings)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_changed_configuration_replaces_the_copy(settings: Settings) -> None:
    home = prepare_dagster_home(settings)
    (settings.repo_root / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    prepare_dagster_home(settings)
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: true}\n"


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        prepare_dagster_home(Settings(repo_root=tmp_path))


def test_a_folder_that_cannot_be_made_is_named(settings: Settings) -> None:
    settings.instance_dir.parent.mkdir(parents=True)
    settings.instance_dir.write_text("a file is in the way")
    with pytest.raises(ConfigError, match="dagster_home cannot be written"):
        prepare_dagster_home(settings)
