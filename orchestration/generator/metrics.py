"""The metrics file: what the last landing did, for the validator."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict

from orchestration.errors import MillraceError


class RunMetrics(BaseModel):
    """Content of the metrics file.

    Attributes:
        events: events acknowledged on the main topic in this run.
        invalid: rows dead-lettered in this run.
        already_there: rows of the files that earlier runs had sent.
        mode: burst, realtime or batch.
        produced_at: UTC.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    events: int
    invalid: int
    already_there: int = 0
    elapsed_seconds: float
    events_per_second: float
    mode: str
    broker: str
    topic: str
    schema_validation: bool
    dataset: str
    data_path: str
    produced_at: str
    run_id: str
    files: tuple[str, ...] = ()


def write_metrics(path: Path, metrics: RunMetrics) -> None:
    """Write the file, whole or not at all.

    Raises:
        MillraceError: the folder cannot be written to.
    """
    text = orjson.dumps(metrics.model_dump(), option=orjson.OPT_INDENT_2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MillraceError(
            f"the metrics file {path} cannot be written: {error.strerror}", hint="check METRICS_PATH and free space"
        ) from error


def read_metrics(path: Path) -> RunMetrics | None:
    """Return the last run's metrics, None if there is no readable file."""
    try:
        return RunMetrics.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
