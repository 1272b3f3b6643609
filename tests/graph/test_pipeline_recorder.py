"""What a recorder makes of the events of real Dagster runs: a job of the tiny dataset's shape, without any service."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration.defs.failure import as_dagster
from orchestration.errors import JobFailedError
from orchestration.pipeline.engines import kept_engines
from orchestration.pipeline.recorder import Recorder, step_of
from orchestration.pipeline.report import Note
from tests.unit.tiny import tiny_contract

CONTRACT = tiny_contract()
RUN_ID = "11111111-2222-4333-8444-555555555555"


def nothing() -> None:
    """Do what a step does that goes well."""


def run(silver: Callable[[], None] = nothing) -> tuple[Recorder, dg.ExecuteInProcessResult, list[Note], str]:
    """Run landing, bronze, silver and models; `silver` runs within silver's step. Return also Dagster's status."""

    @dg.asset(key=["landing", "rides"], check_specs=[dg.AssetCheckSpec("acknowledged", asset=["landing", "rides"])])
    def landing() -> Iterator[Any]:
        yield dg.AssetMaterialization(["landing", "rides"], partition="2024-01", metadata={"events_sent": 90})
        yield dg.MaterializeResult(
            metadata={"events_sent": 90, "dead_letters_sent": 10, "seconds": 0.5},
            check_results=[dg.AssetCheckResult(passed=True, check_name="acknowledged")],
        )

    @dg.asset(key=["bronze", "raw_rides"], deps=[landing])
    def bronze(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        context.log.info("loading 90 records")
        return dg.MaterializeResult(metadata={"rows_added": 90, "seconds": 2.0})

    @dg.multi_asset(
        name="silver__rides",
        specs=[
            dg.AssetSpec(["silver", "rides"], deps=[bronze]),
            dg.AssetSpec(["silver", "refused_rides"], deps=[bronze]),
        ],
    )
    def silver_tables() -> Iterator[Any]:
        silver()
        yield dg.MaterializeResult(asset_key=["silver", "rides"], metadata={"rows_added": 80})
        yield dg.MaterializeResult(asset_key=["silver", "refused_rides"], metadata={"rows_added": 5})

    fact = dg.AssetKey(["marts", "fct_trips"])

    @dg.multi_asset(
        name="dbt_models",
        specs=[dg.AssetSpec(fact, deps=[["silver", "rides"]])],
        check_specs=[dg.AssetCheckSpec("unique", asset=fact), dg.AssetCheckSpec("odd", asset=fact)],
    )
    def models() -> Iterator[Any]:
        yield dg.MaterializeResult(asset_key=fact, metadata={"dagster/row_count": 80})
        yield dg.AssetCheckResult(passed=False, asset_key=fact, check_name="unique", description="3 rows break it")
        yield dg.AssetCheckResult(
            passed=False, asset_key=fact, check_name="odd", severity=dg.AssetCheckSeverity.WARN, description="look"
        )

    job = dg.Definitions(
        assets=[landing, bronze, silver_tables, models],
        jobs=[dg.define_asset_job("all", executor_def=dg.in_process_executor)],
    ).resolve_job_def("all")
    notes: list[Note] = []
    with dg.DagsterInstance.ephemeral() as instance:
        recorder = Recorder(instance, CONTRACT, 0, notes.append)
        instance.add_event_listener(RUN_ID, recorder.take)
        result = job.execute_in_process(
            instance=instance,
            run_id=RUN_ID,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        record = instance.get_run_by_id(RUN_ID)
    assert record is not None
    return recorder, result, notes, record.status.value


def test_step_names_are_those_that_the_definitions_use() -> None:
    assert step_of(["silver", "cleaned_trips"]) == "silver__cleaned_trips"


def test_stages_carry_what_each_step_reported() -> None:
    recorder, _, _, _ = run()
    report = recorder.report(RUN_ID, is_success=True)
    assert [(stage.name, stage.rows) for stage in report.stages] == [
        ("landing", 100),
        ("bronze", 90),
        ("silver", 80),
        ("gold", 80),
    ]
    assert report.stages[1].work_s == 2.0


def test_checks_are_counted_and_warnings_are_no_failures() -> None:
    recorder, _, _, _ = run()
    report = recorder.report(RUN_ID, is_success=True)
    assert report.as_dict()["checks"] == {"passed": 1, "failed": 1, "warnings": 1}
    (failed,) = report.failed_checks
    assert (failed.asset, failed.name, failed.message) == ("marts/fct_trips", "unique", "3 rows break it")


def test_notes_name_the_stage_and_repeat_what_the_step_said() -> None:
    _, _, notes, _ = run()
    told = [(note.stage, note.text.split(" in ")[0]) for note in notes]
    assert told[0] == ("landing", "started")
    assert ("bronze", "loading 90 records") in told
    assert ("gold", "done") in told


def test_a_failed_step_becomes_one_line_with_its_hint_and_exit_code() -> None:
    def fail() -> None:
        raise as_dagster(
            JobFailedError("Flink job x failed: no disk", hint="http://flink/x", context={"job_id": "7"}), 9
        )

    recorder, result, _, _ = run(fail)
    assert not result.success
    error = recorder.failure()
    assert error.message == "silver: Flink job x failed: no disk"
    assert (error.hint, error.exit_code, error.context) == ("http://flink/x", 4, {"job_id": "7"})
    assert [stage.name for stage in recorder.report(RUN_ID, is_success=False).stages] == ["landing", "bronze"]


def test_a_fault_in_a_step_is_told_by_its_innermost_cause() -> None:
    def fail() -> None:
        raise ValueError("odd")

    error = run(fail)[0].failure()
    assert error.message == "silver: ValueError: odd"
    assert error.exit_code == 1


def test_ctrl_c_in_a_step_cancels_the_run() -> None:
    recorder, result, _, status = run(lambda: os.kill(os.getpid(), signal.SIGINT))
    assert recorder.was_interrupted
    assert not result.success
    assert status == "CANCELED"


@pytest.mark.parametrize("word", ["started", "done"])
def test_every_stage_says_that_it_began_and_ended(word: str) -> None:
    notes = run()[2]
    assert [note.stage for note in notes if note.text.startswith(word)] == ["landing", "bronze", "silver", "gold"]


def test_a_run_makes_one_engine_a_database_and_leaves_dagster_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster._core.storage.event_log.sqlite import sqlite_event_log

    made: list[str] = []
    real = sqlite_event_log.create_engine

    def count(url: str, **options: Any) -> Any:
        made.append(url)
        return real(url, **options)

    monkeypatch.setattr(sqlite_event_log, "create_engine", count)
    with kept_engines(), dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        dg.materialize([simple], instance=instance)
    assert len(made) == len(set(made)) > 1
    assert sqlite_event_log.create_engine is count


@dg.asset
def simple() -> None:
    """Do nothing."""
