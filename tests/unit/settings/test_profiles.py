from pathlib import Path

import pytest

from orchestration import redaction
from orchestration.settings import Settings, load_settings, names
from orchestration.settings.envfile import read_env_file
from orchestration.settings.problems import SettingsError
from tests.unit.settings.samples import REPO

PROFILES = sorted((REPO / "platform" / "profiles").glob("*.env"))


def test_the_committed_profiles_are_these() -> None:
    assert [path.stem for path in PROFILES] == ["aws", "azure", "gcs", "local", "minio", "polaris", "redpanda"]


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_committed_profile_names_itself_the_axes_and_only_settings(path: Path) -> None:
    values = read_env_file(path)
    assert path.read_text().startswith(f"# {path.stem}: ")
    assert set(values) <= set(names.field_names(Settings.model_fields))
    # `local` leaves them to the environment of that name in platform.yaml.
    assert path.stem == "local" or {"BROKER", "CATALOG", "STORAGE", "MODE"} <= set(values)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_committed_profile_holds_no_secret(path: Path) -> None:
    secret = {name: value for name, value in read_env_file(path).items() if redaction.is_sensitive_key(name)}
    assert all(not value or value.startswith("<") for value in secret.values())


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_committed_profile_is_valid_or_says_what_to_fill_in(path: Path, tmp_path: Path) -> None:
    if path.stem in {"local", "redpanda"}:
        assert load_settings(str(path), environ={}, repo_root=tmp_path).warnings() == []
        return
    with pytest.raises(SettingsError) as caught:
        load_settings(str(path), environ={}, repo_root=tmp_path)
    assert all("placeholder" in problem.text or "neither" in problem.text for problem in caught.value.problems)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_filled_in_profile_is_valid(path: Path, tmp_path: Path) -> None:
    filled = tmp_path / f"{path.stem}.env"
    filled.write_text(path.read_text().replace("<", "").replace(">", ""))
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"} if path.stem == "minio" else {}
    assert load_settings(str(filled), environ=keys, repo_root=tmp_path).profile == path.stem


def test_the_local_profile_is_the_defaults(tmp_path: Path) -> None:
    (local,) = (path for path in PROFILES if path.stem == "local")
    profile, defaults = (load_settings(name, environ={}, repo_root=tmp_path) for name in (str(local), None))
    assert profile.model_dump() == defaults.model_dump()


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_has_a_name_of_its_own_in_the_environment(field: str) -> None:
    known = names.field_names(Settings.model_fields)
    assert field == "repo_root" or known[names.env_name(field)] == field
