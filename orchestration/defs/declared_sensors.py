"""Sensors from the section `orchestration` of millrace.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.defs.declared_names import JobLike, function_of, job_of, matches
from orchestration.platform_config.orchestration_section import (
    AssetSensor,
    CustomSensor,
    FileWatcher,
    RunStatus,
    Sensor,
)

FILE_TAG = "millrace/file"
"""Tag of a run that a new file started: its path."""

_STATUS = {
    "SUCCESS": dg.DagsterRunStatus.SUCCESS,
    "FAILURE": dg.DagsterRunStatus.FAILURE,
    "STARTED": dg.DagsterRunStatus.STARTED,
}


def build_declared_sensor(
    name: str, given: Sensor, origin: Mapping[str, str], jobs: Mapping[str, JobLike], keys: Sequence[dg.AssetKey]
) -> dg.SensorDefinition:
    """Return the sensor of an entry.

    Args:
        origin: metadata that names file and line.
        jobs: every job of the code location by name.
        keys: of every asset.
    """
    common: dict[str, Any] = {
        "name": name,
        "minimum_interval_seconds": given.poll_interval_seconds,
        "default_status": dg.DefaultSensorStatus.RUNNING if given.enabled else dg.DefaultSensorStatus.STOPPED,
        "metadata": dict(origin),
    }
    job = job_of(given.job, jobs) if given.job else None
    match given:
        case RunStatus():
            watched = [job_of(one, jobs) for one in given.watched_jobs]
            return dg.RunStatusSensorDefinition(
                **common,
                run_status=_STATUS[given.status],
                run_status_sensor_fn=_after_run,
                monitored_jobs=watched,
                request_job=job,
            )
        case FileWatcher():
            return dg.SensorDefinition(**common, job=job, evaluation_fn=lambda context: new_files(context, given))
        case AssetSensor():
            wanted = [key for key in keys if any(matches(key, pattern) for pattern in given.watched_assets)]
            return dg.SensorDefinition(**common, job=job, evaluation_fn=lambda context: new_assets(context, wanted))
        case CustomSensor():
            return dg.SensorDefinition(**common, job=job, evaluation_fn=lambda context: _call(context, given))


def _after_run(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    return dg.RunRequest(run_key=context.dagster_run.run_id)


def new_files(context: dg.SensorEvaluationContext, given: FileWatcher) -> dg.SensorResult | dg.SkipReason:
    """Return a run for each file that is new or changed since the last look; the cursor remembers all of them.

    A file that is deleted is forgotten: put there again, it starts a run again.
    """
    before: dict[str, int] = json.loads(context.cursor or "{}")
    now = {
        str(path): path.stat().st_mtime_ns
        for path in sorted(Path(given.path).glob(given.pattern))
        if path.is_file() and not path.name.startswith(".")
    }
    fresh = [path for path, changed in now.items() if before.get(path) != changed]
    runs = [dg.RunRequest(run_key=f"{path}:{now[path]}", tags={FILE_TAG: path}) for path in fresh]
    if not runs and now == before:
        return dg.SkipReason(f"nothing new in {given.path}")
    return dg.SensorResult(run_requests=runs, cursor=json.dumps(now))


def new_assets(context: dg.SensorEvaluationContext, keys: Sequence[dg.AssetKey]) -> dg.SensorResult | dg.SkipReason:
    """Return one run if one of the assets was materialized since the last look."""
    before: dict[str, str] = json.loads(context.cursor or "{}")
    now = dict(before)
    for key in keys:
        event = context.instance.get_latest_materialization_event(key)
        if event is not None:
            now[key.to_user_string()] = f"{event.run_id}:{event.timestamp}"
    if now == before:
        return dg.SkipReason("none of the assets was materialized again")
    cursor = json.dumps(now)
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=cursor)], cursor=cursor)


def _call(context: dg.SensorEvaluationContext, given: CustomSensor) -> Any:
    return function_of(given.target_function)(context, **given.args)
