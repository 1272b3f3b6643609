"""Settings as a resource: loaded late, strict, and one dataset does not take another one's settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestration.defs.resources import MillraceSettings
from orchestration.settings import Settings
from tests.unit.tiny import tiny_contract


def test_a_misspelled_argument_is_refused() -> None:
    with pytest.raises(ValidationError, match="instanse"):
        MillraceSettings(instanse="two")  # type: ignore[call-arg]


def test_making_it_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Settings:
        raise AssertionError("loaded")

    monkeypatch.setattr("orchestration.defs.resources.load_settings", refuse)
    assert MillraceSettings(profile="aws", instance="two").profile == "aws"


def test_settings_of_the_active_dataset_do_not_reach_another_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    active = Settings(state_dir=tmp_path, dataset="taxi", topic="own.topic", key_field="VendorID")
    monkeypatch.setattr("orchestration.defs.resources.load_settings", lambda *_: active)
    monkeypatch.setattr("orchestration.contracts.resolve.active_contract", lambda _: tiny_contract())
    resource = MillraceSettings()
    same, _ = resource.of("taxi")
    other, _ = resource.of("rides")
    assert (same.topic, same.allow_empty, resource.is_active("taxi")) == ("own.topic", False, True)
    assert (other.dataset, other.topic, other.key_field) == ("rides", None, None)
    assert (other.allow_empty, resource.is_active("rides")) == (True, False)
