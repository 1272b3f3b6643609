"""The sensor that refreshes the marts: asks when silver's rows changed, one run at a time, and not in a hurry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from orchestration.contracts import DatasetContract
from orchestration.defs.marts_sensor import NAME, Silver, build_marts_sensor, built_from, due_at, read_by_models
from orchestration.defs.resources import KEY, MillraceSettings
from orchestration.errors import UnreachableError
from orchestration.lakehouse.heartbeat import read_heartbeats
from orchestration.naming import BATCH_JOB, MARTS_JOB, SILVER_JOB
from orchestration.settings import Settings
from tests.graph.conftest import PROJECT, Outside, Run

NOW = datetime.now(UTC)


@pytest.fixture
def silver(contract: DatasetContract) -> Silver:
    [found] = read_by_models([contract], PROJECT)
    return found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def add_run(instance: dg.DagsterInstance, job: str, status: str, tags: dict[str, str] | None = None) -> str:
    """Write a run into the history and return its id."""
    run = dg.DagsterRun(job_name=job, run_id=str(uuid4()), status=dg.DagsterRunStatus(status), tags=tags)
    instance.add_run(run)
    return run.run_id


def materialized(instance: dg.DagsterInstance, key: list[str], run_id: str, **metadata: str) -> None:
    """Write a materialization of a run."""
    event = dg.AssetMaterialization(dg.AssetKey(key), metadata=metadata)
    from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData

    instance.report_dagster_event(
        DagsterEvent(
            event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
            job_name="job",
            step_key="step",
            event_specific_data=StepMaterializationData(event),
        ),
        run_id=run_id,
    )


@pytest.fixture
def tick(
    silver: Silver, instance: dg.DagsterInstance, settings: Settings, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Any], tuple[dict[str, str] | None, str]]:
    """Let the sensor run once: `tick(newer)`, where `newer` is the snapshot that the marts do not hold, or an error.

    Returns the tags of the run that it asks for, and why it asks for none.
    """
    del outside

    def run(newer: Any) -> tuple[dict[str, str] | None, str]:
        def look(*_: Any) -> int | None:
            if isinstance(newer, Exception):
                raise newer
            return newer

        monkeypatch.setattr("orchestration.defs.marts_sensor.newer_snapshot", look)
        sensor = build_marts_sensor([silver])
        result = sensor(dg.build_sensor_context(resources={KEY: MillraceSettings()}, instance=instance))
        assert isinstance(result, dg.SensorResult)
        requests = result.run_requests or []
        reason = result.skip_reason.skip_message or "" if result.skip_reason else ""
        return (dict(requests[0].tags) if requests else None), reason

    return run


def test_rows_that_the_marts_do_not_hold_ask_for_a_run(
    tick: Callable[..., Any], silver: Silver, settings: Settings
) -> None:
    assert tick(None) == (None, "the marts hold what silver holds")
    assert tick(77) == ({"millrace/snapshot.silver.rides": "77"}, "")
    assert silver.tag == "millrace/snapshot.silver.rides"
    assert [one.name for one in read_heartbeats(settings)] == [NAME]


@pytest.mark.parametrize("job", [BATCH_JOB, SILVER_JOB, MARTS_JOB])
def test_one_run_at_a_time(tick: Callable[..., Any], instance: dg.DagsterInstance, job: str) -> None:
    run_id = add_run(instance, job, "STARTED")
    assert tick(77) == (None, f"{job} runs")
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run)
    assert tick(77)[1] == "" or job == MARTS_JOB


def test_a_burst_of_commits_is_one_run(tick: Callable[..., Any], instance: dg.DagsterInstance) -> None:
    add_run(instance, MARTS_JOB, "SUCCESS")
    tags, reason = tick(78)
    assert tags is None
    assert reason.startswith("not before ")


def test_refreshes_that_fail_are_asked_for_later_and_later(instance: dg.DagsterInstance) -> None:
    pauses = []
    for _ in range(8):
        add_run(instance, MARTS_JOB, "FAILURE")
        newest = instance.get_run_records(limit=1)[0].create_timestamp
        pauses.append(round((due_at(instance, 60, NOW) - newest).total_seconds()))
    assert pauses == [120, 240, 480, 960, 1920, 3600, 3600, 3600]
    add_run(instance, MARTS_JOB, "SUCCESS")
    newest = instance.get_run_records(limit=1)[0].create_timestamp
    assert due_at(instance, 60, NOW) - newest == timedelta(seconds=60)


def test_a_catalog_that_is_down_is_no_failed_tick(tick: Callable[..., Any]) -> None:
    assert tick(UnreachableError("the catalog does not answer")) == (None, "the catalog does not answer")


def test_the_marts_hold_the_snapshot_that_their_run_was_asked_for(instance: dg.DagsterInstance, silver: Silver) -> None:
    assert built_from(instance, silver) is None
    run_id = add_run(instance, MARTS_JOB, "SUCCESS", {silver.tag: "77"})
    materialized(instance, ["staging", "stg_rides"], run_id)
    assert built_from(instance, silver) == 77


def test_the_marts_hold_what_the_same_run_wrote_to_silver(instance: dg.DagsterInstance, silver: Silver) -> None:
    run_id = add_run(instance, BATCH_JOB, "SUCCESS")
    materialized(instance, ["silver", "rides"], run_id, snapshot_id="5")
    materialized(instance, ["staging", "stg_rides"], run_id)
    other = add_run(instance, SILVER_JOB, "STARTED")
    materialized(instance, ["silver", "rides"], other, snapshot_id="6")
    assert built_from(instance, silver) == 5


def test_of_marts_that_somebody_built_by_hand_it_is_not_known(instance: dg.DagsterInstance, silver: Silver) -> None:
    run_id = add_run(instance, "__ASSET_JOB", "SUCCESS")
    materialized(instance, ["staging", "stg_rides"], run_id)
    assert built_from(instance, silver) is None


def test_the_job_builds_the_marts_and_nothing_below(run: Run, outside: Outside) -> None:
    assert run(MARTS_JOB).success
    assert outside.names() == ["dbt"]
