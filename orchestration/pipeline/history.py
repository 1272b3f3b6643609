"""The last runs of this instance's Dagster, for commands."""

from __future__ import annotations

from orchestration.dagster_home import prepare_dagster_home
from orchestration.dbt_plugin.environment import set_environment
from orchestration.pipeline.run import variables
from orchestration.report.runs import RunLine
from orchestration.settings import Settings


def last_runs(settings: Settings, limit: int = 5) -> tuple[RunLine, ...]:
    """Return the last runs, newest first; none if Dagster never ran here.

    Raises:
        ConfigError: the folder of the instance cannot be written.
    """
    if not settings.dagster_home.is_dir():
        return ()
    with set_environment(variables(settings, prepare_dagster_home(settings))):
        from dagster import DagsterInstance

        from orchestration.defs.assets.report import read_runs

        with DagsterInstance.get() as instance:
            return read_runs(instance, limit)
