"""Finding and reading dataset.yml."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from orchestration.contracts import list_datasets, load_contract
from orchestration.errors import ContractError
from tests.unit.tiny import tiny_contract, tiny_raw


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name / "dataset.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_dataset_is_read_from_its_folder(tmp_path: Path) -> None:
    write(tmp_path, "rides", yaml.safe_dump(tiny_raw()))
    assert load_contract("rides", tmp_path) == tiny_contract()


def test_folders_with_an_underscore_are_not_datasets(tmp_path: Path) -> None:
    write(tmp_path, "rides", "")
    write(tmp_path, "_template", "")
    (tmp_path / "empty").mkdir()
    assert list_datasets(tmp_path) == ["rides"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("name: [rides", "is not", id="no YAML"),
        pytest.param("- a\n- b\n", "breaks the contract's own rules", id="a list"),
        pytest.param("", "breaks the contract's own rules", id="empty"),
        pytest.param(yaml.safe_dump(tiny_raw(name="trips")), "calls itself 'trips'", id="another name"),
        pytest.param(yaml.safe_dump(tiny_raw(topic="a b")), "topic", id="a wrong field is named"),
        pytest.param(
            yaml.safe_dump(tiny_raw(key_field="nix")), "contract: key_field names 'nix'", id="a wrong reference"
        ),
    ],
)
def test_a_file_that_is_no_contract_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = write(tmp_path, "rides", text)
    with pytest.raises(ContractError) as error:
        load_contract("rides", tmp_path)
    assert complaint in error.value.message
    assert str(path) in error.value.message
    assert "\n" not in error.value.message.strip() or "YAML" in error.value.message


def test_an_unknown_dataset_lists_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path, "rides", "")
    with pytest.raises(ContractError) as error:
        load_contract("trips", tmp_path)
    assert error.value.hint == "datasets: rides"


def test_the_shipped_dataset_holds_together() -> None:
    assert "taxi" in list_datasets()
    assert len(load_contract("taxi").columns) == 19
