"""Dataset contracts: schema, keys and quality rules, read from YAML."""

from orchestration.contracts.loader import list_datasets, load_contract
from orchestration.contracts.models import Column, DatasetContract, QualityRule

__all__ = ["Column", "DatasetContract", "QualityRule", "list_datasets", "load_contract"]
