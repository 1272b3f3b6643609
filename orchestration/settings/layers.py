"""Values laid over each other, the later the stronger, with the source of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestration.platform_config.quantities import container_limit, duckdb_share
from orchestration.secrets import PAIR, SecretPlaces, SecretRef, secret_for
from orchestration.settings.from_tiers import TierValues


class Layers:
    """Values by field.

    Attributes:
        sources: where each came from.
        references: secrets whose values were not given otherwise.
        trail: (source, value) of each field from the weakest to the strongest; a reference is shown by its name.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = dict(values)
        self.sources: dict[str, str] = {}
        self.references: dict[str, SecretRef] = {}
        self.trail: dict[str, list[tuple[str, str]]] = {}

    def _follow(self, found: Mapping[str, object], sources: Mapping[str, str]) -> None:
        for name, value in found.items():
            self.trail.setdefault(name, []).append((sources[name], str(value)))

    def take(self, found: Mapping[str, str], source: str, folder: Path) -> None:
        """Lay values over those that are there; a relative DATA_PATH is one in `folder`."""
        self.values.update(found)
        sources = dict.fromkeys(found, source)
        self.sources.update(sources)
        self._follow(found, sources)
        if found.get("data_path"):
            self.values["data_path"] = _absolute(found["data_path"], folder)
        # Half of a pair from here and half from there would never fit together.
        given = {name for name, value in found.items() if value}
        if given & set(PAIR):
            given |= set(PAIR)
        self.references = {name: ref for name, ref in self.references.items() if name not in given}

    def take_tiers(self, found: TierValues) -> None:
        """Lay what the two tiers say over the values that are there."""
        self.values.update(found.values)
        self.sources.update(found.sources)
        self.references.update(found.references)
        self._follow(
            found.values | {name: f"secret {ref.name}" for name, ref in found.references.items()}, found.sources
        )
        for name in found.references:
            self.values.pop(name, None)

    def pin(self, found: TierValues) -> None:
        """Lay over everything what `compute.<name>.properties` fixes."""
        self.values.update(found.pinned)
        sources = {name: found.pinned_sources[name] for name in found.pinned}
        self.sources.update(sources)
        self._follow(found.pinned, sources)

    def limit_memory(self, system_root: Path) -> None:
        """Bound DuckDB by the container that this process runs in, if nothing else says how much it may have."""
        if self.values.get("duckdb_memory_limit"):
            return
        if (limit := container_limit(system_root)) is not None:
            self.values["duckdb_memory_limit"] = duckdb_share(limit)
            self.sources["duckdb_memory_limit"] = "cgroup"
            self._follow({"duckdb_memory_limit": self.values["duckdb_memory_limit"]}, self.sources)

    def look_up(self, places: SecretPlaces) -> frozenset[str]:
        """Fill in the secrets that `places` know; return the fields that stay without a value."""
        missing: set[str] = set()
        for name, ref in self.references.items():
            value = secret_for(name, ref.name, places)
            if value is None:
                missing.add(name)
            else:
                self.values[name] = value
        return frozenset(missing)


def _absolute(data_path: str, folder: Path) -> str:
    """Return a local data path as absolute: Dagster's processes run in other folders. Addresses stay as they are."""
    return data_path if "://" in data_path or data_path.startswith(("/", "<")) else str(folder / data_path)
