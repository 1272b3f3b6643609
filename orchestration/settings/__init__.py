"""Settings: one frozen model, the only reader of the process environment."""

from orchestration.settings.load import load_settings
from orchestration.settings.model import Settings

__all__ = ["Settings", "load_settings"]
