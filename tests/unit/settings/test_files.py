from pathlib import Path

import pytest

from orchestration.errors import ConfigError
from orchestration.settings import load_settings
from orchestration.settings.files import file_problems, require_files


@pytest.fixture
def with_contract(checkout: Path) -> Path:
    (checkout / "platform" / "datasets" / "taxi").mkdir(parents=True)
    (checkout / "platform" / "datasets" / "taxi" / "dataset.yml").write_text("name: taxi\n")
    return checkout


def test_cfg_15_a_missing_data_file_is_refused_with_path_setting_and_both_remedies(with_contract: Path) -> None:
    missing = str(with_contract / "missing.parquet")
    settings = load_settings(environ={"DATA_PATH": missing}, repo_root=with_contract)
    with pytest.raises(ConfigError) as caught:
        require_files(settings)
    assert f"DATA_PATH={missing!r}: nothing is there: correct it" in caught.value.message
    assert "`millrace sample --rows 10000 PATH`" in caught.value.message


@pytest.mark.parametrize("data", ["a.parquet", "in", "in/*.parquet", "in/**/*.parquet", "s3://bucket/x.parquet"])
def test_cfg_15_files_folders_globs_and_addresses_are_data(with_contract: Path, data: str) -> None:
    (with_contract / "in").mkdir()
    for name in ("a.parquet", "in/b.parquet"):
        (with_contract / name).touch()
    path = data if "://" in data else str(with_contract / data)
    assert file_problems(load_settings(environ={"DATA_PATH": path}, repo_root=with_contract)) == []


def test_cfg_15_a_glob_without_match_is_refused(with_contract: Path) -> None:
    environ = {"DATA_PATH": str(with_contract / "in" / "*.parquet")}
    [problem] = file_problems(load_settings(environ=environ, repo_root=with_contract))
    assert problem.fields == ("data_path",)


def test_the_default_data_folder_may_be_missing(with_contract: Path) -> None:
    assert file_problems(load_settings(environ={}, repo_root=with_contract)) == []


def test_validating_rows_needs_the_contract(checkout: Path) -> None:
    [problem] = file_problems(load_settings(environ={}, repo_root=checkout))
    assert "DATASET='taxi': VALIDATE_SCHEMA=true needs the contract" in problem.text
