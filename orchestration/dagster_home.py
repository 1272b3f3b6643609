"""The folder of the Dagster instance: made from the repository's dagster.yaml, without importing Dagster."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile

from orchestration.errors import ConfigError
from orchestration.settings import Settings

CONFIG = "dagster.yaml"


def prepare_dagster_home(settings: Settings) -> Path:
    """Make the instance's folder, bring its dagster.yaml up to date, and return the folder for DAGSTER_HOME.

    Idempotent, and safe while servers run on it: the file is replaced whole, and only if it differs.

    Raises:
        ConfigError: the repository's file is missing, or the folder cannot be written.
    """
    home, source = settings.dagster_home, settings.repo_root / CONFIG
    try:
        wanted = source.read_bytes()
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}", hint="restore it with git") from error
    try:
        home.mkdir(parents=True, exist_ok=True)
        target = home / CONFIG
        if not target.is_file() or target.read_bytes() != wanted:
            _replace(target, wanted)
    except OSError as error:
        raise ConfigError(
            f"the Dagster folder {home} cannot be written: {error.strerror}", hint="check its owner and the free disk"
        ) from error
    return home


def _replace(path: Path, content: bytes) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(content)
    try:
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
    except OSError:
        Path(file.name).unlink(missing_ok=True)
        raise
