"""Finding and reading `platform/datasets/<name>/dataset.yml`."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from orchestration.contracts.models import DatasetContract
from orchestration.errors import ContractError

DATASETS_DIR = Path(__file__).resolve().parents[2] / "platform" / "datasets"


def list_datasets(datasets_dir: Path = DATASETS_DIR) -> list[str]:
    """Return the names of all datasets; folders that start with `_` are templates and hidden."""
    return sorted(path.parent.name for path in datasets_dir.glob("*/dataset.yml") if path.parent.name[0] != "_")


def load_contract(name: str, datasets_dir: Path = DATASETS_DIR) -> DatasetContract:
    """Read the contract of a dataset.

    Raises:
        ContractError: there is no such dataset, or its file does not hold together; names every problem at once.
    """
    path = datasets_dir / name / "dataset.yml"
    if not path.is_file():
        known = ", ".join(list_datasets(datasets_dir)) or "none"
        raise ContractError(f"there is no dataset {name!r}: {path} does not exist", hint=f"datasets: {known}")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        contract = DatasetContract.model_validate(raw)
    except yaml.YAMLError as error:
        raise ContractError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'contract'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise ContractError(
            f"{path} breaks the contract's own rules: {problems}",
            hint="platform/datasets/taxi/dataset.yml is a commented example",
        ) from error
    if contract.name != name:
        raise ContractError(f"{path} calls itself {contract.name!r}", hint="the folder and the name must be equal")
    return contract
