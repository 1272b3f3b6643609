"""The jobs on fakes: order, gates, numbers, failures, retries, partitions and configuration."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from orchestration.defs.assets.gold import NOT_BUILT
from orchestration.errors import (
    BusyError,
    JobFailedError,
    MillraceError,
    OffsetGapError,
    SessionLostError,
    UnreachableError,
)
from orchestration.lakehouse.counts import Counts
from orchestration.lakehouse.facts import KeyCounts, NullCounts
from tests.graph.conftest import DBT_GREEN, Outside, Run, dbt_node, landed

LANDING = dg.AssetKey(["landing", "rides"])
BRONZE = dg.AssetKey(["bronze", "raw_rides"])
SILVER = dg.AssetKey(["silver", "rides"])
REJECTED = dg.AssetKey(["silver", "refused_rides"])
FACT = dg.AssetKey(["marts", "fct_rides"])

FULL_RUN = ["land", "bronze", "count", "silver", "dbt test", "count", "dbt"]


def numbers(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, object]:
    """Return the metadata of an asset's last materialization."""
    found = [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.is_step_materialization and event.asset_key == key
    ]
    return {name: value.value for name, value in found[-1].metadata.items()}


def verdicts(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, tuple[bool, str]]:
    """Return name to (passed, severity) of an asset's checks."""
    return {
        check.check_name: (check.passed, check.severity.value)
        for check in result.get_asset_check_evaluations()
        if check.asset_key == key
    }


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """Return the description of the step failure."""
    data = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    assert data.user_failure_data is not None
    return data.user_failure_data.description or ""


@pytest.mark.usefixtures("sources")
def test_a_run_without_a_partition_takes_every_layer_in_order_and_checks_it(run: Run, outside: Outside) -> None:
    result = run()
    assert result.success
    assert outside.names() == FULL_RUN
    assert all(check.passed for check in result.get_asset_check_evaluations())


@pytest.mark.usefixtures("sources")
def test_the_refresh_job_leaves_landing_and_bronze_alone(run: Run, outside: Outside) -> None:
    assert run("silver_refresh").success
    assert outside.names() == FULL_RUN[3:]


@pytest.mark.usefixtures("sources")
def test_materializations_carry_the_numbers_of_their_step(run: Run) -> None:
    result = run()
    assert numbers(result, LANDING) | {"files": 0, "offsets": 0} == {
        "dagster/row_count": 94,
        "events_sent": 94,
        "events_already_there": 0,
        "dead_letters": 4,
        "dead_letters_sent": 4,
        "size_bytes": 1000,
        "seconds": 0.5,
        "events_per_second": 196.0,
        "files": 0,
        "offsets": 0,
    }
    bronze = numbers(result, BRONZE)
    assert (bronze["dagster/row_count"], bronze["rows_added"], bronze["dead_letters"]) == (90, 90, 4)
    assert (bronze["snapshot_id"], bronze["flink_job_id"]) == ("7", "a" * 32)
    assert str(bronze["flink_job"]).startswith("http://flink/")
    silver, rejected = numbers(result, SILVER), numbers(result, REJECTED)
    assert (silver["dagster/row_count"], silver["snapshot_id"], silver["bronze_snapshot_id"]) == (80, "8", "7")
    assert (rejected["dagster/row_count"], rejected["snapshot_id"]) == (6, "9")
    assert numbers(result, FACT)["dbt_node"] == "model.p.fct_rides"


@pytest.mark.parametrize(
    ("change", "stops_after", "failed"),
    [
        pytest.param(
            {"counts": Counts(95, 4, 90, 80, 4, 6)},
            "bronze",
            (BRONZE, "produced_equals_bronze_plus_dead_lettered"),
            id="an event is missing in bronze",
        ),
        pytest.param(
            {"counts": Counts(0, 0, 0, 0, 0, 0), "nulls": NullCounts(0, {"start": 0})},
            "bronze",
            (BRONZE, "bronze_is_not_empty"),
            id="bronze is empty",
        ),
        pytest.param(
            {"nulls": NullCounts(90, {"start": 90})}, "bronze", (BRONZE, "event_times_are_known"), id="times are null"
        ),
        pytest.param(
            {"counts": Counts(94, 4, 90, 79, 4, 6)},
            "silver",
            (SILVER, "bronze_equals_silver_plus_duplicates_plus_rejected"),
            id="a row is missing in silver",
        ),
        pytest.param(
            {"counts": Counts(94, 4, 90, 0, 0, 90)}, "silver", (SILVER, "silver_is_not_empty"), id="silver is empty"
        ),
        pytest.param({"keys": KeyCounts(80, 79)}, "silver", (SILVER, "surrogate_key_is_unique"), id="a key twice"),
    ],
)
@pytest.mark.usefixtures("sources")
def test_a_failed_gate_stops_the_run_before_the_next_layer(
    run: Run, outside: Outside, change: dict[str, object], stops_after: str, failed: tuple[dg.AssetKey, str]
) -> None:
    for name, value in change.items():
        setattr(outside, name, value)
    result = run()
    assert not result.success
    assert not {"bronze": {"silver", "dbt"}, "silver": {"dbt"}}[stops_after] & set(outside.names())
    key, name = failed
    assert verdicts(result, key)[name] == (False, "ERROR")


@pytest.mark.usefixtures("sources")
def test_events_that_came_after_the_load_are_a_warning_and_not_a_gap(run: Run, outside: Outside) -> None:
    outside.counts, outside.waiting = replace(outside.counts, produced=97), 3
    result = run()
    assert result.success
    assert verdicts(result, BRONZE)["produced_equals_bronze_plus_dead_lettered"] == (True, "WARN")


@pytest.mark.usefixtures("sources")
def test_more_dead_letters_than_the_budget_turn_the_check_red_but_not_the_run(run: Run, outside: Outside) -> None:
    outside.landing = lambda source: [landed(source or "data", rows=105, dead_lettered=11)]
    result = run()
    assert result.success
    assert verdicts(result, LANDING) == {
        "every_event_acknowledged": (True, "ERROR"),
        "dead_letters_within_budget": (False, "ERROR"),
    }


@pytest.mark.usefixtures("sources")
def test_a_restarted_flink_job_is_a_warning(run: Run, outside: Outside) -> None:
    outside.restarts = 1
    result = run()
    assert result.success
    assert verdicts(result, BRONZE)["flink_jobs_never_restarted"] == (False, "WARN")
    assert verdicts(result, SILVER)["flink_jobs_never_restarted"] == (False, "WARN")


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(UnreachableError("the broker does not answer"), id="unreachable"),
        pytest.param(BusyError("another run holds the table"), id="busy"),
        pytest.param(SessionLostError("the gateway forgot the session"), id="session lost"),
    ],
)
@pytest.mark.usefixtures("sources")
def test_a_retryable_error_is_tried_again(run: Run, outside: Outside, error: MillraceError) -> None:
    outside.fails["bronze"] = [error, error]
    assert run().success
    assert outside.names().count("bronze") == 3


@pytest.mark.usefixtures("sources")
def test_retries_end_and_the_error_is_shown_with_its_remedy_in_one_line(run: Run, outside: Outside) -> None:
    error = UnreachableError("the Flink gateway at http://f does\nnot answer", hint="start it with `./millrace up`")
    outside.fails["bronze"] = [error] * 9
    result = run()
    assert not result.success
    assert outside.names().count("bronze") == 3
    assert failure_of(result) == "the Flink gateway at http://f does not answer (start it with `./millrace up`)"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(JobFailedError("Flink job x failed: boom", context={"url": "http://flink/x"}), id="job failed"),
        pytest.param(OffsetGapError("offsets 1 to 5 are gone"), id="offset gap"),
    ],
)
@pytest.mark.usefixtures("sources")
def test_an_error_that_no_retry_heals_fails_at_once(run: Run, outside: Outside, error: MillraceError) -> None:
    outside.fails["bronze"] = [error]
    result = run()
    assert not result.success
    assert outside.names() == ["land", "bronze"]
    assert failure_of(result) == error.message


@pytest.mark.usefixtures("sources")
def test_a_foreign_exception_passes_as_it_is(run: Run, outside: Outside) -> None:
    outside.fails["silver"] = [ZeroDivisionError("a bug")]
    result = run()
    assert not result.success
    event = next(event for event in result.all_events if event.is_step_failure)
    assert event.step_failure_data.user_failure_data is None
    assert "ZeroDivisionError" in event.step_failure_data.error.to_string()
    assert outside.names().count("silver") == 1


@pytest.mark.usefixtures("sources")
def test_a_failed_test_of_a_source_holds_the_models_back(run: Run, outside: Outside) -> None:
    outside.source_tests = (dbt_node("test.p.not_empty.1", "fail", failures=1, message="Got 1 result"),)
    result = run()
    assert not result.success
    assert "dbt" not in outside.names()
    assert verdicts(result, SILVER)["not_empty_rides"] == (False, "ERROR")


@pytest.mark.usefixtures("sources")
def test_a_cancelled_run_interrupts_the_code_that_cancels_the_flink_job(
    run: Run, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[type[BaseException]] = []

    def load(*_: object) -> None:
        # As `run_job` does: whatever is no error of ours takes the job down and goes on.
        try:
            signal.raise_signal(signal.SIGINT)
        except BaseException as interrupt:
            seen.append(type(interrupt))
            raise

    monkeypatch.setattr("orchestration.lakehouse.bronze.load_bronze_table", load)
    result = run()
    assert seen == [DagsterExecutionInterruptedError]
    assert not result.success
    assert outside.names() == ["land"]


def test_a_month_lands_the_files_that_carry_it_and_no_others(run: Run, outside: Outside, sources: Path) -> None:
    assert run(partition_key="2024-02").success
    paths = [f"{sources}/rides_2024-02_a.parquet", f"{sources}/rides_2024-02_b.parquet"]
    assert outside.asked[:2] == [("land", paths[0], False), ("land", paths[1], False)]


@pytest.mark.usefixtures("sources")
def test_a_month_without_files_fails_and_names_those_that_are_there(run: Run, outside: Outside) -> None:
    result = run(partition_key="2024-03")
    assert not result.success
    assert outside.names() == []
    assert "no file of 2024-03 among 3 files" in failure_of(result)
    assert "there are: 2024-01, 2024-02" in failure_of(result)


@pytest.mark.usefixtures("sources")
def test_a_run_of_all_files_reports_each_month_as_landed(run: Run, outside: Outside) -> None:
    outside.landing = lambda _: [
        landed("d/rides_2024-01.parquet"),
        landed("d/rides_2024-02.parquet", status="already_landed"),
        landed("d/rides_2024-03.parquet", status="partial"),
        landed("d/rides.parquet"),
    ]
    result = run()
    months = [event.partition for event in result.all_events if event.is_step_materialization if event.partition]
    assert months == ["2024-01", "2024-02"]


def test_data_path_that_nobody_set_and_that_is_empty_lands_nothing(
    run: Run, outside: Outside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from orchestration.settings import Settings

    monkeypatch.setattr(
        "orchestration.defs.resources.load_settings", lambda *_: Settings(state_dir=tmp_path, dataset="rides")
    )
    assert run(run_config={"ops": {}}).success
    assert outside.names() == FULL_RUN[1:]


def test_data_path_that_somebody_set_must_hold_files(run: Run, outside: Outside) -> None:
    result = run()
    assert not result.success
    assert outside.names() == []
    assert failure_of(result).startswith("no Parquet file at ")


@pytest.mark.usefixtures("sources")
def test_configuration_reaches_the_steps(run: Run, outside: Outside, sources: Path) -> None:
    source = str(sources / "rides_2024-01.parquet")
    config = {
        "landing__rides": {"config": {"source": source, "again": True}},
        "silver__rides": {"config": {"full_refresh": True}},
        "dbt_models": {"config": {"full_refresh": True}},
    }
    assert run(run_config={"ops": config}).success
    assert ("land", source, True) in outside.asked
    assert ("silver", True) in outside.asked
    assert ("dbt", "build", *NOT_BUILT, "--exclude", "not_empty_rides", "--full-refresh") in outside.asked


@pytest.mark.usefixtures("sources")
def test_models_that_were_built_are_recorded_although_another_one_failed(run: Run, outside: Outside) -> None:
    outside.dbt = (
        DBT_GREEN[0],
        dbt_node("model.p.fct_rides", "error", message="Database Error in model fct_rides\n  column x is unknown"),
        dbt_node("test.p.unique.2", "skipped"),
    )
    result = run()
    assert not result.success
    assert failure_of(result).startswith("dbt build: 1 nodes failed: fct_rides: column x is unknown")
    built = {event.asset_key.path[-1] for event in result.all_events if event.is_step_materialization}
    assert "stg_rides" in built
    assert "fct_rides" not in built


@pytest.mark.parametrize(
    ("status", "succeeds", "verdict"),
    [
        pytest.param("pass", True, (True, "ERROR"), id="pass"),
        pytest.param("warn", True, (False, "WARN"), id="warn"),
        pytest.param("fail", False, (False, "ERROR"), id="fail"),
    ],
)
@pytest.mark.usefixtures("sources")
def test_a_dbt_test_is_a_check_of_the_model(
    run: Run, outside: Outside, status: str, succeeds: bool, verdict: tuple[bool, str]
) -> None:
    outside.dbt = (*DBT_GREEN[:2], dbt_node("test.p.unique.2", status, failures=2, message="Got 2 results"))
    result = run()
    assert result.success is succeeds
    assert verdicts(result, FACT)["unique_fct_rides"] == verdict


@pytest.mark.usefixtures("sources")
def test_a_part_of_the_models_runs_with_its_own_tests_alone(
    location: dg.Definitions, outside: Outside, run: Run
) -> None:
    outside.dbt = DBT_GREEN[1:]
    assert run("lakehouse_batch", asset_selection=[FACT]).success
    assert outside.asked == [
        ("dbt", "build", *NOT_BUILT, "--select", "fct_rides", "unique_fct_rides", "--indirect-selection", "empty")
    ]
