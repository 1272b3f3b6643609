"""What the catalog refused while a statement ran, told from faults of the statement itself."""

from __future__ import annotations

from orchestration.catalog_refusals import explain
from orchestration.dbt_plugin.attempt import access_of
from orchestration.dbt_plugin.credentials import credentials_of
from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.errors import ConfigError, MillraceError
from orchestration.settings import Settings


def refusal_in(text: str | None, settings: Settings, doing: str) -> MillraceError | None:
    """Return the error if DuckDB's text is about the catalog, or None.

    Args:
        text: of an attached connection.
        doing: what ran, such as `model.millrace.fct_trips`.
    """
    if not text:
        return None
    try:
        access = access_of(PluginConfig.from_settings(settings), credentials_of(settings).names)
    except ConfigError:
        # Without a catalog nothing can be its fault.
        return None
    return explain(text, access, is_attached=True, doing=doing)
