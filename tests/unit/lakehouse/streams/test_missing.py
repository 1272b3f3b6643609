"""What is meant to run and has no job is named with what brings it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.flink.client.models import JobOverview
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.states import Desired, QueryState
from orchestration.lakehouse.streams.definition import stream_spec
from orchestration.lakehouse.streams.missing import MissingQuery, find_missing_queries, missing_queries
from orchestration.settings import Settings
from tests.unit.flink.queries.records import JOB, record
from tests.unit.tiny import tiny_contract

STREAM = stream_spec(Settings(), tiny_contract())


def job(state: str, job_id: str = JOB) -> JobOverview:
    return JobOverview.model_validate({"jid": job_id, "name": "somebody", "state": state})


@pytest.mark.parametrize(
    ("query", "jobs", "is_missing"),
    [
        pytest.param(record(), [], True, id="the cluster forgot it"),
        pytest.param(record(), [job("RUNNING")], False, id="runs"),
        pytest.param(record(), [job("RESTARTING")], False, id="Flink brings it back"),
        pytest.param(record(), [job("FAILED")], True, id="failed"),
        pytest.param(record(QueryState.LOST), [], True, id="lost"),
        pytest.param(record(QueryState.DEPLOYING), [], True, id="its deploy was cut off"),
        pytest.param(record(QueryState.SUSPENDED, desired=Desired.STOPPED), [], False, id="stopped"),
        pytest.param(record(QueryState.FINISHED), [], False, id="done"),
    ],
)
def test_what_should_run_and_has_no_job_is_missing(
    query: QueryRecord, jobs: list[JobOverview], is_missing: bool
) -> None:
    assert bool(missing_queries([query], jobs)) is is_missing


def test_streams_come_first_and_each_has_its_command() -> None:
    found = missing_queries([record(), record(name=STREAM.name, spec=STREAM)], [])
    assert found[0] == MissingQuery(STREAM.name, "rides")
    assert [one.command for one in found] == ["millrace stream deploy rides", "millrace sql reconcile --recover"]


def test_without_a_registry_nobody_is_asked(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, flink_rest_url="http://127.0.0.1:1")
    assert find_missing_queries(settings) == []
    assert not list(tmp_path.iterdir())
