"""What Dagster's own storage says of runs, ticks, daemons and checks, as metrics. The definitions are not loaded.

Counting a year of runs through the instance's methods would read each of them; the tables behind are those of Dagster
1.13, which is pinned, and a test holds that they are still there.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.runs.schema import RunsTable
from dagster._core.storage.schedules.schema import JobTickTable
from dagster._daemon.types import DaemonHeartbeat
from prometheus_client.metrics_core import Metric

from orchestration.dagster_home import prepare_dagster_home
from orchestration.observability.families import counter, gauge
from orchestration.settings import Settings

TICKS_WITHIN = timedelta(hours=1)
_OVER = ("SUCCESS", "FAILURE", "CANCELED")


class History:
    """The storage of an instance of Dagster, opened at the first look."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._instance: dg.DagsterInstance | None = None

    def collect(self) -> list[Metric]:
        """Return what the storage says now."""
        if self._instance is None:
            self._instance = dg.DagsterInstance.from_config(str(prepare_dagster_home(self._settings)))
        return read_history(self._instance, datetime.now(UTC))


def read_history(instance: dg.DagsterInstance, now: datetime) -> list[Metric]:
    """Return runs, ticks, daemons and checks of an instance."""
    return [
        *run_families(instance),
        *tick_families(instance, now - TICKS_WITHIN),
        *daemon_families(list(instance.get_daemon_heartbeats().values())),
        *check_families(instance),
    ]


def run_families(instance: dg.DagsterInstance) -> list[Metric]:
    """Return the number of runs by job and status, and when each job last succeeded."""
    runs = RunsTable.c
    found = _rows(
        instance.run_storage,
        sa.select(
            runs.pipeline_name, runs.status, sa.func.count().label("runs"), sa.func.max(runs.end_time).label("ended")
        ).group_by(runs.pipeline_name, runs.status),
    )
    counts = {(row["pipeline_name"], row["status"]): row["runs"] for row in found}
    return [
        counter(
            "millrace_dagster_runs",
            "Runs that are over, by job and how they ended",
            ("job", "status"),
            {(job, status.lower()): runs for (job, status), runs in counts.items() if status in _OVER},
        ),
        gauge(
            "millrace_dagster_runs_active",
            "Runs that are queued or under way",
            ("job", "status"),
            {(job, status.lower()): runs for (job, status), runs in counts.items() if status not in _OVER},
        ),
        gauge(
            "millrace_dagster_last_success_timestamp_seconds",
            "When a run of the job last succeeded",
            ("job",),
            {(row["pipeline_name"],): row["ended"] for row in found if row["status"] == "SUCCESS"},
        ),
    ]


def tick_families(instance: dg.DagsterInstance, since: datetime) -> list[Metric]:
    """Return which sensors and schedules are on, and their ticks since a time."""
    states = {state.selector_id: state for state in instance.all_instigator_state()}
    ticks = JobTickTable.c
    found = _rows(
        instance.schedule_storage,
        sa.select(
            ticks.selector_id, ticks.status, sa.func.count().label("ticks"), sa.func.max(ticks.timestamp).label("last")
        )
        # The column holds UTC without saying so.
        .where(ticks.timestamp >= since.astimezone(UTC).replace(tzinfo=None))
        .group_by(ticks.selector_id, ticks.status),
    )
    names = {key: (state.instigator_name, state.instigator_type.value.lower()) for key, state in states.items()}
    known = [(names[row["selector_id"]], row) for row in found if row["selector_id"] in names]
    last: dict[tuple[str, ...], float] = {}
    for name, row in known:
        last[name] = max(last.get(name, 0.0), row["last"].replace(tzinfo=UTC).timestamp())
    labels = ("name", "type")
    return [
        gauge(
            "millrace_dagster_instigator_running",
            "Whether the sensor or schedule is on",
            labels,
            {names[key]: float(state.is_running) for key, state in states.items()},
        ),
        gauge(
            "millrace_dagster_ticks_recent",
            "Ticks of the last hour, by how they ended",
            (*labels, "status"),
            {(*name, row["status"].lower()): row["ticks"] for name, row in known},
        ),
        gauge("millrace_dagster_last_tick_timestamp_seconds", "When it last ticked", labels, last),
    ]


def daemon_families(heartbeats: Sequence[DaemonHeartbeat]) -> list[Metric]:
    """Return when each daemon last gave a sign of life, and the errors it told of."""
    return [
        gauge(
            "millrace_dagster_daemon_heartbeat_timestamp_seconds",
            "When the daemon last gave a sign of life",
            ("daemon",),
            {(beat.daemon_type.lower(),): beat.timestamp for beat in heartbeats},
        ),
        gauge(
            "millrace_dagster_daemon_errors",
            "Errors that came with the daemon's last sign of life",
            ("daemon",),
            {(beat.daemon_type.lower(),): float(len(beat.errors or ())) for beat in heartbeats},
        ),
    ]


def check_families(instance: dg.DagsterInstance) -> list[Metric]:
    """Return how each asset check last came out; the accounting equations, counted from the rows, are among them."""
    checks = AssetCheckExecutionsTable.c
    newest = (
        sa.select(sa.func.max(checks.id))
        .where(checks.execution_status.in_(("SUCCEEDED", "FAILED")))
        .group_by(checks.asset_key, checks.check_name)
    )
    query = sa.select(
        checks.asset_key, checks.check_name, checks.execution_status, checks.evaluation_event_timestamp
    ).where(checks.id.in_(newest))
    storage: Any = instance.event_log_storage
    with storage.index_connection() as connection:
        found = [dict(row) for row in connection.execute(query).mappings()]
    keys = [(_asset(row["asset_key"]), row["check_name"]) for row in found]
    labels = ("asset", "check")
    return [
        gauge(
            "millrace_check_passed",
            "Whether the asset check passed when it last ran",
            labels,
            {key: float(row["execution_status"] == "SUCCEEDED") for key, row in zip(keys, found, strict=True)},
        ),
        gauge(
            "millrace_check_timestamp_seconds",
            "When the asset check last ran",
            labels,
            {
                key: row["evaluation_event_timestamp"].replace(tzinfo=UTC).timestamp()
                for key, row in zip(keys, found, strict=True)
                if row["evaluation_event_timestamp"] is not None
            },
        ),
    ]


def _asset(stored: str) -> str:
    key = dg.AssetKey.from_db_string(stored)
    return key.to_user_string() if key is not None else stored


def _rows(storage: Any, query: Any) -> list[dict[str, Any]]:
    with storage.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
