"""Streams as assets: materializing one brings its job to the declaration, and returns while the job goes on.

A stream feeds the tables of bronze and silver, which are assets of their own (batch runs write them as well). So it is
one asset a dataset beside them, in a group of its own that no batch job selects; its health is a check of all three.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from orchestration.contracts import DatasetContract
from orchestration.defs.checks import Check
from orchestration.defs.failure import failures, say_why
from orchestration.defs.keys import landing_asset, owners_of, pool_of, stream_asset, table_asset, tags_of
from orchestration.defs.metadata import Metadata
from orchestration.defs.queries import severity_of
from orchestration.defs.resources import MillraceSettings
from orchestration.errors import JobFailedError
from orchestration.flink.monitoring.health import Health, Level
from orchestration.naming import STREAM_DEPLOY_JOB, STREAM_HEAL_JOB, STREAM_STOP_JOB, stream_name

if TYPE_CHECKING:
    from orchestration.lakehouse.streams.operate import StreamResult
    from orchestration.settings import Settings

GROUP = "streams"
HEAL_OP = "heal_stream"

STREAM_HEALTHY = Check("stream_is_healthy", "The stream runs, commits and keeps up; also if none is to run")


class StreamConfig(dg.Config):
    """What a materialization of a stream can be told."""

    restart_from: str = Field(
        default="",
        description="Empty: leave a job that runs as declared. latest, fresh, or a savepoint's path: start it anew",
    )


def build_stream(contract: DatasetContract) -> dg.AssetsDefinition:
    """Return the stream of a dataset as an asset."""
    dataset, key, tables = contract.name, stream_asset(contract.name), contract.tables

    @dg.asset(
        key=key,
        deps=[landing_asset(contract)],
        description=f"The Flink job that feeds {tables.bronze}, {tables.silver} and {tables.rejected} while events "
        "arrive. Materializing starts it, adopts it, or upgrades it to the contract of today; the run ends as soon as "
        "the job runs steadily. It goes on until `millrace stream stop` or the job `stream_stop`. Needed with "
        "MODE=streaming only: batch runs write the same tables without it.",
        metadata={"topic": contract.topic},
        group_name=GROUP,
        kinds={"flink", "iceberg"},
        owners=owners_of(contract.owner),
        tags=tags_of(contract),
        code_version=contract.fingerprint(),
        pool=pool_of(key),
        check_specs=[STREAM_HEALTHY.spec(key)],
    )
    def stream(
        context: dg.AssetExecutionContext, config: StreamConfig, millrace: MillraceSettings
    ) -> dg.MaterializeResult:  # pyright: ignore[reportMissingTypeArgument]
        with failures(context.retry_number):
            from orchestration.lakehouse.streams.operate import restart_stream, upgrade_stream

            settings, active = millrace.of(dataset)
            if config.restart_from:
                result = restart_stream(settings, active, config.restart_from, context.log.info)
            else:
                result = upgrade_stream(settings, active, context.log.info)
            health = judge_now(settings, active)
        return dg.MaterializeResult(metadata=stream_metadata(result), check_results=[health_result(health)])

    return stream


def build_stream_checks(contract: DatasetContract) -> dg.AssetChecksDefinition:
    """Return the check of a stream's health on the tables that it feeds, bronze and silver."""
    dataset, keys = contract.name, [table_asset(contract.tables.bronze), table_asset(contract.tables.silver)]

    @dg.multi_asset_check(
        name=f"{dataset}_stream_health",
        specs=[STREAM_HEALTHY.spec(key) for key in keys],
        # The job silver_refresh has silver and not bronze.
        can_subset=True,
    )
    def check_stream(
        context: dg.AssetCheckExecutionContext, millrace: MillraceSettings
    ) -> Iterator[dg.AssetCheckResult]:
        with failures(context.retry_number):
            health = judge_now(*millrace.of(dataset))
        for check in context.selected_asset_check_keys:
            yield health_result(health, check.asset_key)

    return check_stream


def judge_now(settings: "Settings", contract: DatasetContract) -> Health | None:
    """Return the verdict on a stream without what came before; None: it is not to run, or somebody works on it."""
    from orchestration.lakehouse.streams.watch import StreamMemory, judge_streams, look_at_stream

    now = datetime.now(UTC)
    look = look_at_stream(settings, contract, now)
    found = judge_streams([look] if look else [], StreamMemory(), settings, now)
    return found.verdicts[0].health if found.verdicts else None


def health_result(health: Health | None, key: dg.AssetKey | None = None) -> dg.AssetCheckResult:
    """Return a verdict as the outcome of the check."""
    return dg.AssetCheckResult(
        passed=health is None or health.level is Level.HEALTHY,
        asset_key=key,
        check_name=STREAM_HEALTHY.name,
        severity=severity_of(health or Health()),
        description=health.text if health is not None else "no stream is to run, or somebody is at work on it",
    )


def stream_metadata(result: "StreamResult") -> Metadata:
    """Return what a deployed stream shows."""
    shown: Metadata = {
        "action": dg.MetadataValue.text(result.action),
        "state": dg.MetadataValue.text(result.state),
        "flink_job_id": dg.MetadataValue.text(result.job_id),
        "flink_job_name": dg.MetadataValue.text(result.job_name),
        "flink_job": dg.MetadataValue.url(result.url),
        "generation": dg.MetadataValue.int(result.generation),
    }
    if result.restored_from:
        shown["restored_from"] = dg.MetadataValue.text(result.restored_from)
    if result.start_offsets:
        shown["start_offsets"] = dg.MetadataValue.json({str(p): offset for p, offset in result.start_offsets.items()})
    if result.warnings:
        shown["warnings"] = dg.MetadataValue.text("; ".join(result.warnings))
    return shown


# --- jobs -------------------------------------------------------------------------------------------------------------


stream_deploy = dg.define_asset_job(
    STREAM_DEPLOY_JOB,
    selection=dg.AssetSelection.groups(GROUP),
    description="Starts the stream of every dataset, adopts one that runs, upgrades one whose contract changed.",
    executor_def=dg.in_process_executor,
    hooks={say_why},
    tags={"millrace/job": "stream"},
)


class StopConfig(dg.Config):
    """What a run that stops a stream can be told."""

    dataset: str | None = Field(default=None, description="Whose stream; empty: that of DATASET")


@dg.op(name="stop_stream", description="Stops a stream with a savepoint; afterwards batch runs may write its tables.")
def stop(context: dg.OpExecutionContext, config: StopConfig, millrace: MillraceSettings) -> None:
    """Stop it; one that does not run stays as it is."""
    with failures(context.retry_number):
        from orchestration.lakehouse.streams.operate import stop_stream as stop_now

        settings, contract = millrace.of(config.dataset or millrace.load().dataset)
        result = stop_now(settings, contract, context.log.info)
    context.log.info("%s is %s", result.name, result.state)
    if result.savepoint_path:
        context.add_output_metadata({"savepoint": result.savepoint_path})


@dg.job(
    name=STREAM_STOP_JOB,
    description="Stops the stream of a dataset with a savepoint. It is not healed until somebody deploys it again.",
    executor_def=dg.in_process_executor,
    hooks={say_why},
    tags={"millrace/job": "stream"},
)
def stream_stop() -> None:
    """Run the one step."""
    stop()


class HealConfig(dg.Config):
    """What the sensor tells the run that heals."""

    dataset: str = Field(description="Whose stream")
    hung_job: str | None = Field(default=None, description="A job that makes no checkpoints: canceled first")
    given_up: str = Field(default="", description="Not empty: deploy nothing, alert with this text, and fail")


@dg.op(name=HEAL_OP, description="Deploys a stream again that is down and is to run; or alerts when that was in vain.")
def heal(context: dg.OpExecutionContext, config: HealConfig, millrace: MillraceSettings) -> None:
    """Heal, or say that nobody tries any more."""
    with failures(context.retry_number):
        from orchestration.lakehouse.streams.operate import heal_stream

        settings, contract = millrace.of(config.dataset)
        if config.given_up:
            alert_given_up(settings, contract.name, config.given_up)
        result = heal_stream(settings, contract, config.hung_job, context.log.info)
    if result is not None:
        context.log_event(dg.AssetMaterialization(stream_asset(contract.name), metadata=stream_metadata(result)))


def alert_given_up(settings: "Settings", dataset: str, why: str) -> None:
    """Tell the webhook of the settings that a stream is given up, and fail: the run's failure is the alert in Dagster.

    Raises:
        JobFailedError: always.
    """
    from orchestration.flink.monitoring.alerts import Alert, Alerts

    name = stream_name(dataset)
    webhook = settings.sql_engine_alert_webhook
    alert = Alert(name, "given_up", f"nobody tries to heal it any more: {why}", datetime.now(UTC))
    Alerts(webhook=webhook.get_secret_value() if webhook else None).send([alert])
    raise JobFailedError(
        f"stream {name} is given up: {why}",
        hint="`millrace stream status` and the runs of stream_heal say why; then `millrace stream deploy`",
    )


@dg.job(
    name=STREAM_HEAL_JOB,
    description="Deploys a stream again that is down. The sensor stream_health asks for it; one that was stopped on "
    "purpose is left alone.",
    executor_def=dg.in_process_executor,
    hooks={say_why},
    # Longer than a deploy may take, so that the run of a machine that died does not keep others from trying.
    tags={"millrace/job": "stream", "dagster/max_runtime": "1200"},
)
def stream_heal() -> None:
    """Run the one step."""
    heal()


STREAM_JOBS = (stream_deploy, stream_stop, stream_heal)
