"""DAG-03: an `orchestration` section of eight entries, all of it in the code location."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from orchestration.defs.declared import ORIGIN, Declared, build_declared
from orchestration.defs.declared_sensors import FILE_TAG, new_assets, new_files
from orchestration.errors import ConfigError
from orchestration.platform_config.document import parse_document
from orchestration.platform_config.orchestration_section import FileWatcher
from orchestration.platform_config.project import Project

TEXT = """\
name: demo
version: 1.0.0
orchestration:
  partitions:
    days: {type: time_window, start: 2024-01-01, cron_schedule: "0 0 * * *", end: 2024-01-04}
  assets:
    "silver/*": {group_name: cleaned, automation_condition: eager, compute_kind: sql}
    "daily": {partitions: days}
  jobs:
    refresh: {selection: ["+group:gold"], description: all of gold, tags: {team: a}}
    daily_job: {selection: [daily], partitions: days}
    call_it: {type: ops, target_function: declared_functions.run_it, args: {number: 7}}
  schedules:
    nightly: {job: refresh, cron_schedule: "0 3 * * *", timezone: Europe/Berlin}
    per_day: {job: daily_job, cron_schedule: "0 1 * * *", enabled: false}
  sensors:
    files: {type: file_watcher, path: FOLDER, pattern: "*.csv", job: refresh, poll_interval_seconds: 60}
    after_silver: {type: asset_sensor, watched_assets: [cleaned_trips], job: refresh}
    after_refresh: {type: run_status, watched_jobs: [refresh], status: SUCCESS, job: call_it}
    own: {type: custom, target_function: declared_functions.look, args: {limit: 3}, job: refresh}
"""
CALLED: list[int] = []


@pytest.fixture(autouse=True)
def _functions(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("declared_functions")
    CALLED.clear()
    module.run_it = lambda number: CALLED.append(number)  # type: ignore[attr-defined]
    module.look = lambda context, limit: dg.SkipReason(f"below {limit}")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "declared_functions", module)


@dg.asset(key=["silver", "cleaned_trips"])
def cleaned_trips() -> None: ...


@dg.asset(key=["gold", "fct_trips"], deps=[cleaned_trips], group_name="gold")
def fct_trips() -> None: ...


@dg.asset
def daily() -> None: ...


def declared(text: str, folder: Path) -> Declared:
    document = parse_document(text.replace("FOLDER", str(folder)), "millrace.yaml")
    section = document.validated(Project).orchestration
    return build_declared(section, document, [cleaned_trips, fct_trips, daily], [])


def location(found: Declared) -> Any:
    definitions = dg.Definitions(assets=found.assets, jobs=found.jobs, schedules=found.schedules, sensors=found.sensors)
    dg.Definitions.validate_loadable(definitions)
    return definitions.get_repository_def()


def test_every_entry_is_in_the_code_location_with_its_line(tmp_path: Path) -> None:
    found = declared(TEXT, tmp_path)
    repository = location(found)
    assert {"refresh", "daily_job", "call_it"} <= {job.name for job in repository.get_all_jobs()}
    assert {one.name for one in repository.schedule_defs} == {"nightly", "per_day"}
    assert {"files", "after_silver", "after_refresh", "own"} <= {one.name for one in repository.sensor_defs}
    assert list(found.partitions or {}) == ["days"]
    places = {one.name: one.metadata[ORIGIN].value for one in (*repository.schedule_defs, *found.sensors)}
    assert places["nightly"] == "millrace.yaml:14"
    assert places["own"] == "millrace.yaml:20"
    assert repository.get_job("refresh").metadata[ORIGIN].value == "millrace.yaml:10"


def test_rules_change_the_assets_that_their_glob_matches(tmp_path: Path) -> None:
    specs = {spec.key.to_user_string(): spec for one in declared(TEXT, tmp_path).assets for spec in one.specs}
    silver = specs["silver/cleaned_trips"]
    assert (silver.group_name, silver.kinds) == ("cleaned", {"sql"})
    assert silver.automation_condition is not None
    assert specs["gold/fct_trips"].automation_condition is None
    assert specs["daily"].partitions_def is not None


def test_a_selection_takes_what_its_signs_say(tmp_path: Path) -> None:
    repository = location(declared(TEXT, tmp_path))
    keys = repository.get_job("refresh").asset_layer.selected_asset_keys
    assert {key.to_user_string() for key in keys} == {"gold/fct_trips", "silver/cleaned_trips"}
    assert repository.get_job("refresh").tags["team"] == "a"


def test_schedules_keep_zone_state_and_partition(tmp_path: Path) -> None:
    repository = location(declared(TEXT, tmp_path))
    nightly, per_day = repository.get_schedule_def("nightly"), repository.get_schedule_def("per_day")
    assert nightly.execution_timezone == "Europe/Berlin"
    assert nightly.default_status == dg.DefaultScheduleStatus.RUNNING
    assert per_day.default_status == dg.DefaultScheduleStatus.STOPPED
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance, repository_def=repository, scheduled_execution_time=datetime(2024, 2, 1, tzinfo=UTC)
        )
        [request] = per_day.evaluate_tick(context).run_requests or []
    assert request.partition_key == "2024-01-03"


def test_a_job_of_ops_calls_the_function(tmp_path: Path) -> None:
    assert location(declared(TEXT, tmp_path)).get_job("call_it").execute_in_process().success
    assert CALLED == [7]


def test_a_file_starts_one_run_and_a_changed_one_another(tmp_path: Path) -> None:
    given = FileWatcher(type="file_watcher", path=str(tmp_path), pattern="*.csv", job="refresh")
    (tmp_path / "a.csv").write_text("1")
    (tmp_path / "b.txt").write_text("1")
    first = new_files(dg.build_sensor_context(), given)
    assert isinstance(first, dg.SensorResult)
    assert [one.tags[FILE_TAG] for one in first.run_requests or []] == [str(tmp_path / "a.csv")]
    assert isinstance(new_files(dg.build_sensor_context(cursor=first.cursor), given), dg.SkipReason)
    (tmp_path / "c.csv").write_text("1")
    again = new_files(dg.build_sensor_context(cursor=first.cursor), given)
    assert isinstance(again, dg.SensorResult)
    assert [one.tags[FILE_TAG] for one in again.run_requests or []] == [str(tmp_path / "c.csv")]


def test_a_materialization_starts_one_run() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        keys = [cleaned_trips.key]
        assert isinstance(new_assets(dg.build_sensor_context(instance=instance), keys), dg.SkipReason)
        assert dg.materialize([cleaned_trips], instance=instance).success
        first = new_assets(dg.build_sensor_context(instance=instance), keys)
        assert isinstance(first, dg.SensorResult)
        assert len(first.run_requests or []) == 1
        again = new_assets(dg.build_sensor_context(instance=instance, cursor=first.cursor), keys)
        assert isinstance(again, dg.SkipReason)


def test_a_custom_sensor_calls_the_function_with_its_arguments(tmp_path: Path) -> None:
    own = next(one for one in declared(TEXT, tmp_path).sensors if one.name == "own")
    with dg.DagsterInstance.ephemeral() as instance:
        result = own.evaluate_tick(dg.build_sensor_context(instance=instance))
    assert result.skip_message == "below 3"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("declared_functions.look", "declared_functions.nothing", "is no function"),
        ("{job: refresh, cron_schedule", "{job: refesh, cron_schedule", "names the job refesh"),
    ],
)
def test_what_is_not_there_is_an_error_of_ours(tmp_path: Path, old: str, new: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what), dg.DagsterInstance.ephemeral() as instance:
        found = declared(TEXT.replace(old, new), tmp_path)
        own = next(one for one in found.sensors if one.name == "own")
        own.evaluate_tick(dg.build_sensor_context(instance=instance))


def test_without_the_section_nothing_changes() -> None:
    document = parse_document("name: demo\n", "millrace.yaml")
    assert build_declared(None, document, [daily], []) == Declared([daily])
