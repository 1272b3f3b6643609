"""Running Dagster's batch job in this process, on the instance's own history of runs."""

from __future__ import annotations

import os
from datetime import date
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from orchestration.contracts import DatasetContract
from orchestration.contracts.resolve import active_contract
from orchestration.dagster_home import prepare_dagster_home
from orchestration.dbt_plugin.environment import set_environment
from orchestration.dbt_plugin.manifest import ensure_manifest
from orchestration.naming import BATCH_JOB, landing_key, table_key
from orchestration.pipeline.engines import kept_engines
from orchestration.pipeline.recorder import MODELS_STEP, OnNote, Recorder, count_facts, step_of
from orchestration.pipeline.report import Note, RunReport
from orchestration.settings import Settings
from orchestration.settings.names import env_name

_UI_TAG = {".dagster/repository": "__repository__@orchestration.definitions"}
"""By it the UI lists a run that no daemon launched under the job's own page."""
_BY_CHILD_ENVIRON = frozenset({"profile", "instance", "state_dir", "repo_root"})


def dagster_environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment for Dagster's processes: the same instance and profile, its home prepared.

    The manifest that they read is parsed before they start, if the dbt project changed.

    Raises:
        ConfigError: dbt cannot parse the project, or the home cannot be written.
    """
    ensure_manifest(Settings())
    return {**os.environ, **variables(settings, prepare_dagster_home(settings))}


def run_batch(
    settings: Settings,
    *,
    source: str | None = None,
    again: bool = False,
    full_refresh: bool = False,
    on_note: OnNote | None = None,
) -> RunReport:
    """Run the job `lakehouse_batch`. Ctrl-C cancels the run and its Flink job. Idempotent: a rerun adds nothing.

    Args:
        source: files to land; None: DATA_PATH.
        again: land files that landed before once more.
        full_refresh: rebuild silver and the models.
        on_note: called with progress, from the thread that runs the step.

    Raises:
        RunFailedError: a step failed; message, hint and exit code are the step's.
        KeyboardInterrupt: the run was cancelled, and is over.
    """
    contract = active_contract(settings)
    # With its own settings: the definitions read those of no process.
    ensure_manifest(Settings())
    with set_environment(variables(settings, prepare_dagster_home(settings))):
        # Dagster reads DAGSTER_HOME, and our resource the settings, from this environment.
        from dagster import DagsterInstance

        from orchestration.definitions import defs

        job = defs.resolve_job_def(BATCH_JOB)
        run_id = str(uuid4())
        with kept_engines(), DagsterInstance.get() as instance:
            recorder = Recorder(instance, contract, count_facts(settings), _warming(on_note))
            instance.add_event_listener(run_id, recorder.take)
            result = job.execute_in_process(
                run_config=run_config(contract, source=source, again=again, full_refresh=full_refresh),
                instance=instance,
                run_id=run_id,
                tags={"millrace/started_by": "cli", **_UI_TAG},
                raise_on_error=False,
            )
    if recorder.was_interrupted:
        raise KeyboardInterrupt
    if not result.success:
        raise recorder.failure()
    return recorder.report(run_id, is_success=result.success)


def run_config(contract: DatasetContract, *, source: str | None, again: bool, full_refresh: bool) -> dict[str, Any]:
    """Return the run configuration; the console logger is silenced, since progress comes as notes."""
    landing: dict[str, Any] = {"again": again, **({"source": source} if source is not None else {})}
    refresh = {"config": {"full_refresh": full_refresh}}
    return {
        "ops": {
            step_of(landing_key(contract.name)): {"config": landing},
            step_of(table_key(contract.tables.silver)): refresh,
            MODELS_STEP: refresh,
        },
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }


def variables(settings: Settings, dagster_home: Path) -> dict[str, str]:
    """Return the environment variables by which Dagster's resource loads these settings again.

    The profile, `stack.env` and the environment are read there once more; only what a command changed is handed on.
    """
    changed = {
        env_name(name): _spell(getattr(settings, name))
        for name in settings.model_fields_set - _BY_CHILD_ENVIRON
        if settings.source_of(name) == "argument" and getattr(settings, name) is not None
    }
    own = {"DAGSTER_HOME": str(dagster_home), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    return {**settings.child_environ(), **changed, **own}


def _warming(on_note: OnNote | None) -> OnNote:
    """Return `on_note`, which also starts loading dbt when bronze or silver first says something.

    dbt takes 3 s of processor time to import, and this process does nothing while it waits for a Flink job.
    """
    started = Event()

    def take(note: Note) -> None:
        if on_note is not None:
            on_note(note)
        if note.stage in ("bronze", "silver") and note.text != "started" and not started.is_set():
            started.set()
            Thread(target=_import_dbt, name="import dbt", daemon=True).start()

    return take


def _import_dbt() -> None:
    for module in ("dbt.cli.main", "dbt.adapters.duckdb"):
        import_module(module)


def _spell(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)
