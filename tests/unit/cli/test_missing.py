"""`up` names what is meant to run and has no job, and deploys streams when that was asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestration.cli.missing import settle_missing
from orchestration.contracts import DatasetContract
from orchestration.errors import UnreachableError
from orchestration.lakehouse.streams import missing, operate
from orchestration.lakehouse.streams.missing import MissingQuery
from orchestration.settings import Settings

STREAM, OTHER = MissingQuery("taxi_stream", "taxi"), MissingQuery("fares", None)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    started: list[str] = []

    def deploy(settings: Settings, contract: DatasetContract, say: object) -> SimpleNamespace:
        started.append(contract.name)
        return SimpleNamespace(name="taxi_stream", job_id="1", restored_from="file:/chk-7")

    monkeypatch.setattr(missing, "find_missing_queries", lambda settings: [STREAM, OTHER])
    monkeypatch.setattr(operate, "deploy_stream", deploy)
    return started


def test_each_is_named_with_its_command(
    deployed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert settle_missing(Settings(state_dir=tmp_path), deploy=False) == [STREAM, OTHER]
    said = capsys.readouterr().err
    assert "taxi_stream is meant to run and has no job: millrace stream deploy taxi" in said
    assert "fares is meant to run and has no job: millrace sql reconcile --recover" in said
    assert deployed == []


def test_streams_are_deployed_when_that_was_asked_for(
    deployed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert settle_missing(Settings(state_dir=tmp_path), deploy=True) == [OTHER]
    assert deployed == ["taxi"]
    assert "taxi_stream runs as job 1, from file:/chk-7" in capsys.readouterr().err


def test_the_stack_is_up_although_the_registry_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(settings: Settings) -> list[MissingQuery]:
        raise UnreachableError("the registry does not answer")

    monkeypatch.setattr(missing, "find_missing_queries", fail)
    assert settle_missing(Settings(state_dir=tmp_path), deploy=True) == []
    assert "not known which queries should run" in capsys.readouterr().err
