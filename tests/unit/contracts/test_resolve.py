"""Settings win over the contract, and only where the contract knows the thing."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from orchestration.contracts.resolve import active_contract
from orchestration.errors import ConfigError
from orchestration.settings import Settings
from tests.unit.tiny import tiny_raw


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    folder = tmp_path / "rides"
    folder.mkdir()
    (folder / "dataset.yml").write_text(yaml.safe_dump(tiny_raw()), encoding="utf-8")
    return tmp_path


def settings(datasets: Path, **values: object) -> Settings:
    return Settings(dataset="rides", datasets_dir=datasets, **values)  # type: ignore[arg-type]


def test_without_overrides_the_contract_stands(datasets: Path) -> None:
    contract = active_contract(settings(datasets))
    assert (contract.topic, contract.dlq_topic, contract.key_field) == ("rides.raw", "rides.dlq", "Zone")


def test_topics_key_and_window_come_from_the_settings(datasets: Path) -> None:
    contract = active_contract(
        settings(datasets, topic="a", dlq_topic="b", key_field="note", silver_window_start=date(2023, 5, 1))
    )
    assert (contract.topic, contract.dlq_topic, contract.key_field) == ("a", "b", "note")
    assert contract.parameters == {"window_start": date(2023, 5, 1)}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"silver_window_end": date(2024, 5, 1)}, "SILVER_WINDOW_END is set, but dataset 'rides' has no parameter"),
        ({"key_field": "zone"}, "KEY_FIELD='zone' is no column of dataset 'rides'"),
    ],
    ids=["window", "key field"],
)
def test_an_override_that_does_not_fit_is_refused(datasets: Path, values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError) as error:
        active_contract(settings(datasets, **values))
    assert complaint in error.value.message
    assert error.value.hint


@pytest.mark.parametrize("topic", ["rides.raw", "rides.dlq"], ids=["dlq onto main", "main onto dlq"])
def test_an_override_cannot_make_both_topics_one(datasets: Path, topic: str) -> None:
    values = {"dlq_topic": topic} if topic == "rides.raw" else {"topic": topic}
    with pytest.raises(ConfigError, match="same"):
        active_contract(settings(datasets, **values))


def test_a_topic_that_kafka_would_refuse_is_refused(datasets: Path) -> None:
    with pytest.raises(ConfigError):
        active_contract(settings(datasets, topic="a b"))
