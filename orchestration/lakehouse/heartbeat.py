"""When each sensor last did its work: a small file each, so that one which is dead is noticed from outside Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestration.settings import Settings

_LATE_INTERVALS, _LATE_LEAST_S = 5.0, 120.0
"""A tick may be late: the daemon evaluates sensors one after the other, and a busy machine takes its time."""


class _Beat(BaseModel):
    model_config = ConfigDict(frozen=True)

    at: datetime
    interval_s: float


@dataclass(frozen=True)
class Heartbeat:
    """The last tick of one sensor that did its work."""

    name: str
    at: datetime
    interval_s: float

    def age_s(self, now: datetime) -> float:
        """Seconds since then."""
        return max((now - self.at).total_seconds(), 0.0)

    def is_silent(self, now: datetime) -> bool:
        """Whether it is older than a daemon that lives explains."""
        return self.age_s(now) > max(_LATE_INTERVALS * self.interval_s, _LATE_LEAST_S)


def heartbeat_dir(settings: Settings) -> Path:
    """Return the folder of the files."""
    return settings.instance_dir / "heartbeats"


def beat(settings: Settings, name: str, interval_s: float, now: datetime | None = None) -> None:
    """Write down that a sensor did its work."""
    folder = heartbeat_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    said = _Beat(at=now or datetime.now(UTC), interval_s=interval_s)
    with NamedTemporaryFile("w", dir=folder, prefix=f".{name}.", delete=False, encoding="utf-8") as file:
        file.write(said.model_dump_json())
    Path(file.name).replace(folder / f"{name}.json")


def read_heartbeats(settings: Settings) -> list[Heartbeat]:
    """Return the heartbeats of all sensors that ever ticked, by name. A file that is no heartbeat is passed over."""
    found: list[Heartbeat] = []
    for path in sorted(heartbeat_dir(settings).glob("*.json")):
        try:
            said = _Beat.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            continue
        found.append(Heartbeat(path.stem, said.at, said.interval_s))
    return found
