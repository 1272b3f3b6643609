"""What the catalog or the object store refused while a statement ran, told from faults of the statement itself."""

from __future__ import annotations

from orchestration.catalog_refusals import explain
from orchestration.dbt_plugin.attempt import access_of
from orchestration.dbt_plugin.credentials import credentials_of
from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.errors import ConfigError, MillraceError
from orchestration.settings import Settings
from orchestration.storage import is_s3
from orchestration.storage_errors import is_of_store, storage_error


def refusal_in(text: str | None, settings: Settings, doing: str) -> MillraceError | None:
    """Return the error if DuckDB's text is about the catalog or the object store, or None.

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
    refused = explain(text, access, is_attached=True, doing=doing)
    if refused is None and is_s3(settings) and is_of_store(text) and access.uri not in text:
        return storage_error(text, settings)
    return refused
