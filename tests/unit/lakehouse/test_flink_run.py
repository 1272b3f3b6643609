"""Which id a batch job of the lakehouse gets."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from orchestration.flink.client.failures import DuplicateJobError
from orchestration.lakehouse import flink_run
from orchestration.settings import Settings
from tests.unit.flink.fakes import FakeFlink
from tests.unit.tiny import tiny_contract


class Submits:
    """Takes the place of `run_job`; `forgotten` ids are refused as Flink refuses a job that it no longer shows."""

    def __init__(self, forgotten: int = 0) -> None:
        self.ids: list[str] = []
        self._forgotten = forgotten

    def __call__(self, *_: Any, job_id: str, **__: Any) -> str:
        self.ids.append(job_id)
        if len(self.ids) <= self._forgotten:
            raise DuplicateJobError("a job with this id is over and was forgotten")
        return job_id


def run(monkeypatch: pytest.MonkeyPatch, flink: FakeFlink, submits: Submits, settings: Settings) -> None:
    monkeypatch.setattr(flink_run, "GatewayClient", lambda *_, **__: nullcontext())
    monkeypatch.setattr(flink_run, "open_session", lambda *_, **__: nullcontext())
    monkeypatch.setattr(flink_run, "run_job", submits)
    flink_run.run_insert(
        settings, tiny_contract(), flink.rest(), name="millrace.bronze.rides", tables={}, insert="INSERT", state="s1"
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


def test_the_same_work_has_the_same_id_and_another_catalogs_work_another(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    submits = Submits()
    for used in (settings, settings, settings.with_changes(catalog_uri="http://127.0.0.1:9999")):
        run(monkeypatch, FakeFlink(), submits, used)
    assert submits.ids[0] == submits.ids[1] != submits.ids[2]


def test_the_id_of_a_job_that_ended_is_left_out(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    flink, first, second = FakeFlink(), Submits(), Submits()
    run(monkeypatch, flink, first, settings)
    flink.add_job(first.ids[0], "millrace.bronze.rides", "FAILED")
    run(monkeypatch, flink, second, settings)
    assert second.ids != first.ids


def test_an_id_that_flink_refuses_and_no_longer_shows_is_left_out(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    submits = Submits(forgotten=2)
    run(monkeypatch, FakeFlink(), submits, settings)
    assert len(set(submits.ids)) == 3


def test_a_flink_that_refuses_every_id_is_an_error(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    with pytest.raises(DuplicateJobError):
        run(monkeypatch, FakeFlink(), Submits(forgotten=1000), settings)
