"""The dbt-duckdb plugin: attaches the catalog when dbt opens DuckDB.

It says what dbt-duckdb's own `secrets:` and `attach:` cannot: extensions from wheels, credentials that stay out of
`profiles.yml`, errors with a remedy (docs/adr/0008-what-the-plugin-adds.md). dbt looks for a class called `Plugin`.

dbt-duckdb 1.11.1 calls, in this order: `initialize` with the profile's settings mixed into the plugin's config,
`update_connection_config`, duckdb.connect, `configure_connection` once a process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

from orchestration.catalog_errors import secret_manager_setting
from orchestration.dbt_plugin.attach import attach_catalog, connection_config
from orchestration.dbt_plugin.config import current_settings
from orchestration.dbt_plugin.credentials import Credentials, credentials_of, resolve_credentials
from orchestration.dbt_plugin.plugin_config import SECRET_MANAGER_SETTINGS, PluginConfig


class Plugin(BasePlugin):
    """Attaches the catalog of the profile, or that of the settings when the profile gives no config."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Check the configuration; asks no service and reads no secret.

        Raises:
            ConfigError: a key or value is wrong, or the profile sets what DuckDB takes before its first secret only.
        """
        settings = dict(self.creds.settings or {}) if self.creds else {}
        if refused := sorted(name for name in (settings | plugin_config) if name.lower() in SECRET_MANAGER_SETTINGS):
            raise secret_manager_setting(refused[0])
        own = {name: value for name, value in plugin_config.items() if name not in settings}
        self._has_profile = bool(own)
        self._config = PluginConfig.from_profile(own) if own else PluginConfig.from_settings(current_settings())

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Add what must be said before DuckDB starts; what the profile says itself wins.

        Raises:
            ConfigError: the profile's config_options hold a setting of the secret manager.
        """
        if refused := sorted(name for name in config if name.lower() in SECRET_MANAGER_SETTINGS):
            raise secret_manager_setting(refused[0])
        if self._config.temp_directory is not None:
            # DuckDB makes the folder when it spills first, but not the ones above it.
            Path(self._config.temp_directory).mkdir(parents=True, exist_ok=True)
        for name, value in connection_config(self._config).items():
            config.setdefault(name, value)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Attach the catalog to dbt's connection.

        Raises:
            SecretReferenceError: a reference of the profile has no value.
            MillraceError: as `attach_catalog`.
        """
        attach_catalog(conn, self._config, self._credentials())

    def _credentials(self) -> Credentials:
        settings = current_settings()
        return (
            resolve_credentials(self._config, settings.secret_places) if self._has_profile else credentials_of(settings)
        )
