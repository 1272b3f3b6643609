"""Contracts with what the settings say about them: the active dataset's, and any other's."""

from __future__ import annotations

from orchestration.contracts.loader import load_contract
from orchestration.contracts.models import DatasetContract
from orchestration.errors import ConfigError
from orchestration.settings import Settings


def active_contract(settings: Settings) -> DatasetContract:
    """Return the contract of `settings.dataset`; TOPIC, DLQ_TOPIC, KEY_FIELD and the window settings win over it.

    Raises:
        ContractError: the dataset does not exist or does not hold together.
        ConfigError: an override does not fit the contract.
    """
    contract = load_contract(settings.dataset, settings.datasets_dir)
    window = {"window_start": settings.silver_window_start, "window_end": settings.silver_window_end}
    try:
        contract = contract.with_parameters(window)
    except KeyError as error:
        name = str(error.args[0])
        raise ConfigError(
            f"SILVER_{name.upper()} is set, but dataset {contract.name!r} has no parameter {name!r}",
            hint=f"add it to platform/datasets/{contract.name}/dataset.yml or unset the variable",
        ) from error
    overrides = {"topic": settings.topic, "dlq_topic": settings.dlq_topic, "key_field": settings.key_field}
    given = {key: value for key, value in overrides.items() if value is not None}
    if "key_field" in given and given["key_field"] not in contract.column_names:
        raise ConfigError(
            f"KEY_FIELD={given['key_field']!r} is no column of dataset {contract.name!r}",
            hint="columns: " + ", ".join(contract.column_names),
        )
    resolved = contract.model_copy(update=given)
    if resolved.topic == resolved.dlq_topic:
        raise ConfigError(
            f"TOPIC and DLQ_TOPIC of dataset {contract.name!r} are the same: {resolved.topic}",
            hint="rejected rows would come back as new events; name two topics",
        )
    return resolved


def settings_of(settings: Settings, dataset: str) -> tuple[Settings, DatasetContract]:
    """Return settings and contract of one dataset.

    TOPIC and the other settings that speak of a dataset belong to the active one (DATASET): another one gets its
    contract's values, and may be empty.

    Raises:
        ConfigError, ContractError: settings or contract do not hold together.
    """
    if dataset != settings.dataset:
        settings = settings.with_changes(
            dataset=dataset,
            topic=None,
            dlq_topic=None,
            key_field=None,
            silver_window_start=None,
            silver_window_end=None,
            allow_empty=True,
        )
    return settings, active_contract(settings)
