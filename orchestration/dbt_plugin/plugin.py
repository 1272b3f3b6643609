"""The plugin under the name that profiles of earlier versions use."""

from orchestration.dbt_plugin.polaris import Plugin

__all__ = ["Plugin"]
