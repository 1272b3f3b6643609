"""Checks of settings that have to look at the disk; constructing settings never does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.settings.problems import Problem, SettingsError

if TYPE_CHECKING:
    from orchestration.settings.model import Settings

_GLOB = frozenset("*?[")


def file_problems(settings: Settings) -> list[Problem]:
    """Return what the settings name and the disk does not have. The default data folder may miss: a sample fills it."""
    found: list[Problem] = []
    contract = settings.datasets_dir / settings.dataset / "dataset.yml"
    if not contract.is_file():
        why = "VALIDATE_SCHEMA=true needs the contract" if settings.validate_schema else "the dataset has no contract"
        known = ", ".join(sorted(path.parent.name for path in settings.datasets_dir.glob("*/dataset.yml"))) or "none"
        text = f"DATASET={settings.dataset!r}: {why}, and {contract} does not exist"
        found.append(Problem(("dataset", "validate_schema"), text, f"datasets here: {known}"))
    if (
        settings.source_of("data_path") != "default"
        and "://" not in settings.data_path
        and not _exists(settings.data_path)
    ):
        text = f"DATA_PATH={settings.data_path!r}: nothing is there"
        remedy = "correct it (file, folder, glob or s3:// address), or make data: `millrace sample --rows 10000 PATH`"
        found.append(Problem(("data_path",), text, remedy))
    return found


def require_files(settings: Settings) -> None:
    """Refuse settings that name files which are not there.

    Raises:
        ConfigError: with every problem.
    """
    if found := file_problems(settings):
        raise SettingsError(found, settings.redacted_dump())


def _exists(data_path: str) -> bool:
    path = Path(data_path)
    if path.exists() or not _GLOB.intersection(data_path):
        return path.exists()
    return any(True for _ in Path(path.anchor).glob(str(path.relative_to(path.anchor))))
