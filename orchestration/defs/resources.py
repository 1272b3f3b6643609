"""Settings and the SQL engine as Dagster resources: made when a run needs them, never when definitions load."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import dagster as dg
from pydantic import ConfigDict, Field, field_validator

from orchestration.contracts import DatasetContract
from orchestration.contracts.resolve import settings_of
from orchestration.redaction import redact
from orchestration.settings import Settings, load_settings

if TYPE_CHECKING:
    from orchestration.flink.provider import StreamEngine

KEY = "millrace"
"""Key under which assets and checks ask for the settings."""

ENGINE_KEY = "sql_engine"
"""Key under which assets, sensors and jobs ask for the SQL engine."""


class MillraceSettings(dg.ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """Loads the settings of the process that runs the step: docs/configuration.md has the order.

    It holds names only, so nothing secret can reach the snapshot of the code location.
    """

    # A misspelled argument would otherwise pass silently. Pydantic merges this with Dagster's own configuration.
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    profile: str | None = Field(default=None, description="Profile; empty: MILLRACE_PROFILE, else .env, else local")
    instance: str | None = Field(default=None, description="Local stack; empty: MILLRACE_INSTANCE, else default")

    def load(self) -> Settings:
        """Return the settings, secrets resolved: a run must not reach a service before it fails for a missing one.

        Raises:
            ConfigError: every problem found, one a line.
            SecretReferenceError: names every reference that has no value.
        """
        return load_settings(self.profile, self.instance).with_secrets()

    def of(self, dataset: str) -> tuple[Settings, DatasetContract]:
        """Return settings and contract of one dataset.

        Another dataset than the active one has no files to land unless a run names them: DATA_PATH is not its own.

        Raises:
            ConfigError, ContractError: settings or contract do not hold together.
        """
        return settings_of(self.load(), dataset)

    def is_active(self, dataset: str) -> bool:
        """Whether DATA_PATH holds files of this dataset."""
        return self.load().dataset == dataset


class SqlEngineResource(dg.ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """Opens the stream engine: Flink's, or the one that STREAM_ENGINE_PROVIDER names.

    What is given here goes before the settings. It holds names and addresses only; credentials stay in settings and
    connector profiles, which are read when a run needs them.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    profile: str | None = Field(default=None, description="Profile; empty: MILLRACE_PROFILE, else .env, else local")
    instance: str | None = Field(default=None, description="Local stack; empty: MILLRACE_INSTANCE, else default")
    stream_engine_provider: str | None = Field(default=None, description="flink, fake, or another package's engine")
    flink_sql_gateway_url: str | None = Field(default=None, description="http://host:port of the SQL Gateway")
    flink_rest_url: str | None = Field(default=None, description="http://host:port of the JobManager")
    sql_engine_namespace: str | None = Field(default=None, description="Whose queries: part of every job's name")
    sql_engine_savepoint_dir: str | None = Field(default=None, description="Where savepoints go")

    @field_validator("flink_sql_gateway_url", "flink_rest_url")
    @classmethod
    def _hold_no_secret(cls, url: str | None) -> str | None:
        # The snapshot of the code location shows it to everybody who may open Dagster.
        if url is not None and redact(url) != url:
            raise ValueError("the address holds a credential: use FLINK_AUTH_HEADER_FILE")
        return url

    def load(self) -> Settings:
        """Return the settings that the engine opens with.

        Raises:
            ConfigError: every problem found, one a line.
        """
        names = (
            "stream_engine_provider",
            "flink_sql_gateway_url",
            "flink_rest_url",
            "sql_engine_namespace",
            "sql_engine_savepoint_dir",
        )
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        settings = load_settings(self.profile, self.instance)
        return settings.with_changes(**given) if given else settings

    def open(self) -> StreamEngine:
        """Return the engine; leave its block to close it: `with sql_engine.open() as engine`.

        Raises:
            ConfigError: the settings are wrong, or nobody provides the engine.
        """
        from orchestration.flink.provider import open_stream_engine

        return open_stream_engine(self.load())
