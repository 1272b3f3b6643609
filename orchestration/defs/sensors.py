"""The sensor that watches persistent queries: observations, check results, alerts, and runs of the repair."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import ValidationError

from orchestration.defs.checks import Check
from orchestration.defs.keys import query_asset
from orchestration.defs.metadata import reading_metadata
from orchestration.defs.queries import HEALTHY, severity_of
from orchestration.defs.resources import SqlEngineResource
from orchestration.errors import UnreachableError
from orchestration.flink.monitoring.health import Level
from orchestration.flink.monitoring.rounds import Memory, Round, Verdict, go_round
from orchestration.lakehouse.heartbeat import beat
from orchestration.naming import RECONCILE_JOB
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.flink.monitoring.alerts import Alert

NAME, INTERVAL_S = "query_health", 60


def build_sensor(queries: Iterable[str]) -> dg.SensorDefinition:
    """Return the sensor.

    Args:
        queries: names of those that are assets; of the others only alerts tell.
    """
    keys = {name: query_asset(name) for name in queries}

    @dg.sensor(
        name=NAME,
        # By name: Dagster copies a sensor that holds its job, with a parameter that it warns of as beta.
        job_name=RECONCILE_JOB,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Judges each persistent query that should run; streams are for stream_health. What changed becomes "
        "an observation and a check result, trouble an alert, a job that is down a run of the repair. Off until "
        "somebody turns it on.",
    )
    def query_health(context: dg.SensorEvaluationContext, sql_engine: SqlEngineResource) -> dg.SensorResult:
        from orchestration.flink.look import look

        now, memory = datetime.now(UTC), read_memory(context.cursor)
        try:
            with sql_engine.open() as engine:
                found = look(engine, memory, now)
        except UnreachableError as error:
            found = go_round([], memory, now, silent={"cluster": str(error)})
        settings = sql_engine.load()
        send(settings, context, found.alerts)
        beat(settings, NAME, INTERVAL_S, now)
        return to_result(found, keys)

    return query_health


def read_memory(cursor: str | None) -> Memory:
    """Return what the last tick left; another version's cursor counts as none."""
    try:
        return Memory.model_validate_json(cursor) if cursor else Memory()
    except ValidationError:
        return Memory()


def send(settings: Settings, context: dg.SensorEvaluationContext, alerts: "Sequence[Alert]") -> None:
    """Write alerts to the tick's log, and send them to the webhook of the settings, if there is one."""
    for alert in alerts:
        context.log.warning("%s: %s: %s", alert.query, alert.code, alert.text)
    if not alerts:
        return
    from orchestration.flink.monitoring.alerts import Alerts

    webhook = settings.sql_engine_alert_webhook
    Alerts(webhook=webhook.get_secret_value() if webhook else None).send(alerts)


def to_result(found: Round, keys: Mapping[str, dg.AssetKey]) -> dg.SensorResult:
    """Return what Dagster is to do and to remember."""
    events: list[dg.AssetObservation | dg.AssetMaterialization | dg.AssetCheckEvaluation] = []
    for verdict in found.verdicts:
        key = keys.get(verdict.watched.name)
        if key is not None and verdict.is_news:
            events += (observation(key, verdict), check_event(key, verdict, HEALTHY))
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=key, tags={"millrace/repairs": key}) for key in found.repairs],
        asset_events=events,
        cursor=found.memory.model_dump_json(),
    )


def observation(key: dg.AssetKey, verdict: Verdict) -> dg.AssetObservation:
    """Return a verdict as an observation of an asset, with the numbers of its job and the link to it."""
    job = verdict.watched
    metadata: dict[str, dg.MetadataValue] = {"health": dg.MetadataValue.text(verdict.health.level.value)}
    if job.job_id:
        metadata["flink_job_id"] = dg.MetadataValue.text(job.job_id)
    if job.url:
        metadata["flink_job"] = dg.MetadataValue.url(job.url)
    if job.reading is not None:
        metadata |= reading_metadata(job.reading)
    return dg.AssetObservation(key, description=verdict.health.text, metadata=metadata)


def check_event(key: dg.AssetKey, verdict: Verdict, check: Check) -> dg.AssetCheckEvaluation:
    """Return a verdict as the outcome of an asset's check."""
    health = verdict.health
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=check.name,
        passed=health.level is Level.HEALTHY,
        severity=severity_of(health),
        description=health.text,
        metadata={},
    )
