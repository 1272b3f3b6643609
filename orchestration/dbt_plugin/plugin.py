"""The dbt-duckdb plugin: attaches the catalog when dbt opens DuckDB.

It says what dbt-duckdb's own `secrets:` and `attach:` cannot: extensions from wheels, credentials that stay out of
`profiles.yml`, errors with a remedy. Named in `dbt/profiles.yml`; dbt looks for a class called `Plugin`.
"""

from __future__ import annotations

from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

from orchestration.dbt_plugin.attach import attach_lakehouse
from orchestration.dbt_plugin.config import current_settings
from orchestration.errors import ConfigError


class Plugin(BasePlugin):
    """Attaches the catalog of the settings as `lakehouse`."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take the settings; the profile has nothing to say here.

        Raises:
            ConfigError: the profile gives the plugin options, or the settings are wrong.
        """
        # dbt-duckdb mixes the profile's DuckDB settings into the plugin's options.
        unknown = set(plugin_config) - set(self.creds.settings or {} if self.creds else {})
        if unknown:
            raise ConfigError(
                f"dbt/profiles.yml gives the lakehouse plugin options it does not have: {', '.join(sorted(unknown))}",
                hint="the plugin reads the settings; `millrace config show` prints them",
            )
        self._settings = current_settings()

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Attach the catalog to dbt's connection."""
        attach_lakehouse(conn, self._settings)
