"""The sensor that tells of other sensors which are silent: failing in each tick, or stuck."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType

from orchestration.defs.resources import MillraceSettings
from orchestration.defs.sensors import send
from orchestration.flink.monitoring.alerts import Alert, due
from orchestration.lakehouse.heartbeat import Heartbeat, beat, read_heartbeats

NAME, INTERVAL_S = "sensor_heartbeats", 60


@dg.sensor(
    name=NAME,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Alerts of a sensor that is on and did not do its work for five of its intervals. That this one is "
    "silent too, `millrace health` and the metrics tell.",
)
def sensor_heartbeats(context: dg.SensorEvaluationContext, millrace: MillraceSettings) -> dg.SensorResult:
    """Look at the heartbeats of all sensors that are on."""
    now, settings = datetime.now(UTC), millrace.load()
    silent = find_silent(read_heartbeats(settings), turned_off(context.instance), now)
    fresh, told = due([silence(one, now) for one in silent], read_told(context.cursor), now)
    send(settings, context, fresh)
    beat(settings, NAME, INTERVAL_S, now)
    names = ", ".join(one.name for one in silent)
    return dg.SensorResult(
        skip_reason=dg.SkipReason(f"silent: {names}" if silent else "every sensor that is on does its work"),
        cursor=json.dumps({key: at.isoformat() for key, at in told.items()}),
    )


def find_silent(heartbeats: Sequence[Heartbeat], off: Collection[str], now: datetime) -> list[Heartbeat]:
    """Return the heartbeats that are too old, but for this sensor's own and those of sensors that are off."""
    return [one for one in heartbeats if one.is_silent(now) and one.name not in off and one.name != NAME]


def silence(heartbeat: Heartbeat, now: datetime) -> Alert:
    """Return the alert about a sensor."""
    text = (
        f"the sensor did not do its work for {heartbeat.age_s(now):.0f} s; it is due every {heartbeat.interval_s:.0f} s"
    )
    return Alert(heartbeat.name, "sensor_silent", text, now)


def turned_off(instance: dg.DagsterInstance) -> set[str]:
    """Return the names of sensors that somebody turned off."""
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    return {state.instigator_name for state in states if state.status is InstigatorStatus.STOPPED}


def read_told(cursor: str | None) -> Mapping[str, datetime]:
    """Return what was told when."""
    try:
        said = json.loads(cursor) if cursor else {}
        return {str(key): datetime.fromisoformat(at) for key, at in said.items()}
    except (AttributeError, TypeError, ValueError):
        return {}
