"""The settings as a Dagster resource: loaded when a run needs them, never when definitions load."""

from __future__ import annotations

from typing import ClassVar

import dagster as dg
from pydantic import ConfigDict, Field

from orchestration.contracts import DatasetContract
from orchestration.contracts.resolve import active_contract
from orchestration.settings import Settings, load_settings

KEY = "millrace"
"""Key under which assets and checks ask for it."""


class MillraceSettings(dg.ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """Loads the settings of the process that runs the step: environment > stack.env > profile > defaults.

    It holds names only, so nothing secret can reach the snapshot of the code location.
    """

    # A misspelled argument would otherwise pass silently. Pydantic merges this with Dagster's own configuration.
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    profile: str | None = Field(default=None, description="Profile; empty: MILLRACE_PROFILE, else .env, else local")
    instance: str | None = Field(default=None, description="Local stack; empty: MILLRACE_INSTANCE, else default")

    def load(self) -> Settings:
        """Return the settings.

        Raises:
            ConfigError: every problem found, one a line.
        """
        return load_settings(self.profile, self.instance)

    def of(self, dataset: str) -> tuple[Settings, DatasetContract]:
        """Return settings and contract of one dataset.

        TOPIC, DATA_PATH and the other settings that speak of a dataset belong to the active one (DATASET): another
        dataset gets its contract's values, has no files to land unless a run names them, and may be empty.

        Raises:
            ConfigError, ContractError: settings or contract do not hold together.
        """
        settings = self.load()
        if dataset != settings.dataset:
            settings = settings.with_changes(
                dataset=dataset,
                topic=None,
                dlq_topic=None,
                key_field=None,
                silver_window_start=None,
                silver_window_end=None,
                allow_empty=True,
            )
        return settings, active_contract(settings)

    def is_active(self, dataset: str) -> bool:
        """Whether DATA_PATH holds files of this dataset."""
        return self.load().dataset == dataset
