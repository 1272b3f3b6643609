"""When each layer was last written, and what waits for it in the one below."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot

from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.snapshots import ancestry, total_rows
from orchestration.contracts import DatasetContract
from orchestration.dbt_plugin.gold import BUILT_AT
from orchestration.lakehouse.facts import count_unrefined, count_waiting
from orchestration.naming import GOLD
from orchestration.settings import Settings

_FACT = "fct_trips"
"""The mart that every silver row reaches first."""


@dataclass(frozen=True)
class LayerState:
    """One layer.

    Attributes:
        committed_at: when data was last written; None: never. Maintenance does not count.
        waiting: what came to the layer below since, in `unit`; None: it cannot be told.
    """

    name: str
    committed_at: datetime | None
    waiting: int | None
    unit: str


def read_layers(settings: Settings, contract: DatasetContract) -> list[LayerState]:
    """Return the state of bronze, silver and the marts.

    Raises:
        UnreachableError: the broker or the catalog does not answer.
        CatalogError: the catalog refuses.
    """
    catalog = open_catalog(settings)
    bronze, silver = (find_table(catalog, name) for name in (contract.tables.bronze, contract.tables.silver))
    unrefined = count_unrefined(settings, contract) if silver is not None else total_rows(bronze)
    built = _built_at(settings, catalog)
    commits = data_commits(silver)
    return [
        LayerState("bronze", _newest(data_commits(bronze)), count_waiting(settings, contract), "records"),
        LayerState("silver", _newest(commits), unrefined, "rows"),
        LayerState("marts", built, sum(built is None or at > built for at in commits), "commits of silver"),
    ]


def data_commits(table: Table | None) -> list[datetime]:
    """Return the times of the kept commits that changed data, newest first; none for a table that is not there."""
    snapshots = ancestry(table) if table is not None else []
    return [datetime.fromtimestamp(one.timestamp_ms / 1000, UTC) for one in snapshots if _has_data(one)]


def _has_data(snapshot: Snapshot) -> bool:
    return snapshot.summary is None or snapshot.summary.operation is not Operation.REPLACE


def _newest(times: list[datetime]) -> datetime | None:
    return times[0] if times else None


def _built_at(settings: Settings, catalog: Catalog) -> datetime | None:
    """Return when the build of the marts began that ended last; None: none did."""
    if settings.gold_target == "iceberg":
        fact = find_table(catalog, f"{GOLD}.{_FACT}")
        built = fact.properties.get(BUILT_AT) if fact is not None else None
        return datetime.fromisoformat(built) if built else None
    path = settings.gold_path
    return datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.exists() else None
