"""The sensor that refreshes the marts when silver's rows changed, and only then."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.contracts import DatasetContract
from orchestration.defs.dbt_nodes import DbtProject
from orchestration.defs.keys import table_asset
from orchestration.defs.resources import MillraceSettings
from orchestration.defs.runs import count_runs, failures_in_a_row, unfinished
from orchestration.errors import UnreachableError
from orchestration.lakehouse.heartbeat import beat
from orchestration.naming import BATCH_JOB, MARTS_JOB, SILVER_JOB

if TYPE_CHECKING:
    from orchestration.settings import Settings

NAME, INTERVAL_S = "silver_changed", 30
LONGEST_PAUSE_S = 3600.0

_EVENTS = 50
"""Materializations of silver that are looked through for the run that made the marts."""


@dataclass(frozen=True)
class Silver:
    """Silver of a dataset, and the models that read it."""

    table: str
    dataset: str
    readers: tuple[dg.AssetKey, ...]

    @property
    def tag(self) -> str:
        """Tag of a run of the marts that holds the snapshot which they were asked for."""
        return f"millrace/snapshot.{self.table}"


def read_by_models(contracts: Iterable[DatasetContract], project: DbtProject) -> list[Silver]:
    """Return silver of each dataset that a model reads."""
    found: list[Silver] = []
    for contract in contracts:
        path = tuple(table_asset(contract.tables.silver).path)
        readers = tuple(dg.AssetKey(asset.key) for asset in project.assets if path in asset.parents)
        if readers:
            found.append(Silver(contract.tables.silver, contract.name, readers))
    return found


def build_marts_sensor(tables: Sequence[Silver]) -> dg.SensorDefinition:
    """Return the sensor."""

    @dg.sensor(
        name=NAME,
        # By name: Dagster copies a sensor that holds its job, with a parameter that it warns of as beta.
        job_name=MARTS_JOB,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Asks for marts_refresh when rows of silver changed since the marts were built; compaction and "
        "empty commits do not count. One run at a time, at most one in MARTS_REFRESH_INTERVAL_S. Off until somebody "
        "turns it on.",
    )
    def silver_changed(context: dg.SensorEvaluationContext, millrace: MillraceSettings) -> dg.SensorResult:
        now, settings = datetime.now(UTC), millrace.load()
        # A service that is down is no fault of the sensor's.
        beat(settings, NAME, INTERVAL_S, now)
        busy = unfinished(context.instance, (BATCH_JOB, SILVER_JOB, MARTS_JOB), now)
        if busy is not None:
            return dg.SensorResult(skip_reason=dg.SkipReason(f"{busy} runs"))
        due = due_at(context.instance, settings.marts_refresh_interval_s, now)
        if now < due:
            return dg.SensorResult(skip_reason=dg.SkipReason(f"not before {due:%H:%M:%S} UTC"))
        try:
            changed = find_changed(context.instance, millrace, tables)
        except UnreachableError as error:
            return dg.SensorResult(skip_reason=dg.SkipReason(error.message))
        if not changed:
            return dg.SensorResult(skip_reason=dg.SkipReason("the marts hold what silver holds"))
        tags = {table.tag: str(snapshot_id) for table, snapshot_id in changed.items()}
        return dg.SensorResult(run_requests=[dg.RunRequest(tags=tags)])

    return silver_changed


def due_at(instance: dg.DagsterInstance, interval_s: float, now: datetime) -> datetime:
    """Return when the next refresh may be asked for: later and later while they fail."""
    made = count_runs(instance, MARTS_JOB, {}, since=now - timedelta(seconds=2 * LONGEST_PAUSE_S))
    if not made:
        return now
    pause_s = max(interval_s, min(interval_s * 2.0 ** failures_in_a_row(made), LONGEST_PAUSE_S))
    return made[0][0] + timedelta(seconds=pause_s)


def find_changed(
    instance: dg.DagsterInstance, millrace: MillraceSettings, tables: Sequence[Silver]
) -> Mapping[Silver, int]:
    """Return the tables whose rows are not those that the marts were built from, with their snapshots."""
    found: dict[Silver, int] = {}
    for table in tables:
        settings, _ = millrace.of(table.dataset)
        snapshot_id = newer_snapshot(settings, table.table, built_from(instance, table))
        if snapshot_id is not None:
            found[table] = snapshot_id
    return found


def newer_snapshot(settings: "Settings", table: str, built: int | None) -> int | None:
    """Return the snapshot of a table if its rows are not those of the one that the marts were built from.

    Raises:
        UnreachableError: the catalog does not answer.
    """
    from orchestration.catalog import find_table, open_catalog
    from orchestration.catalog.snapshots import current_id
    from orchestration.lakehouse.changed import has_changed

    found = find_table(open_catalog(settings), table)
    current = current_id(found) if found is not None else None
    if found is None or current is None or current == built:
        return None
    return current if has_changed(found, built) else None


def built_from(instance: dg.DagsterInstance, table: Silver) -> int | None:
    """Return the snapshot of silver that the marts surely hold; None: it is not known, so they are built.

    The run that made the models says it: by its tag, or by silver's materialization in the same run.
    """
    made = [instance.get_latest_materialization_event(key) for key in table.readers]
    runs = {event.run_id for event in made if event is not None}
    if len(runs) != 1 or None in made:
        return None
    [run_id] = runs
    run = instance.get_run_by_id(run_id)
    said = run.tags.get(table.tag) if run is not None else None
    if said is not None:
        return int(said)
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(table.table.split(".")))
    for record in instance.fetch_materializations(wanted, limit=_EVENTS).records:
        materialization = record.asset_materialization
        if record.run_id == run_id and materialization is not None:
            value = materialization.metadata.get("snapshot_id")
            return int(str(value.value)) if value is not None else None
    return None
