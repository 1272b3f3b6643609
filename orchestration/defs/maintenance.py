"""Maintenance of the Iceberg tables: job, schedule, and the sensor that asks for it when small files pile up."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from orchestration.defs.failure import failures, say_why
from orchestration.defs.resources import MillraceSettings
from orchestration.errors import CatalogError, InputError
from orchestration.naming import MAINTENANCE_JOB

if TYPE_CHECKING:
    from orchestration.lakehouse.maintenance.report import MaintenanceReport, TableReport

CRON = "30 3 * * *"
SENSOR_INTERVAL_S = 600
OP = "maintain_tables"


class MaintenanceConfig(dg.Config):
    """What a maintenance run can be told."""

    steps: list[str] = Field(default=["compact", "expire", "vacuum"], description="What to do, of these three")
    table: str | None = Field(default=None, description="Only this one, schema.table; empty: all of the catalog")
    dry_run: bool = Field(default=False, description="Look and report, change nothing")


@dg.op(name=OP, description="Compacts, expires and vacuums the Iceberg tables beside their readers and writers.")
def maintain_tables(context: dg.OpExecutionContext, config: MaintenanceConfig, millrace: MillraceSettings) -> None:
    """Maintain what can be maintained; a table that fails fails the run after the others were done."""
    with failures(context.retry_number):
        from orchestration.lakehouse.maintenance.report import STEPS, Step
        from orchestration.lakehouse.maintenance.run import maintain

        unknown = set(config.steps).difference(STEPS)
        if unknown:
            raise InputError(
                f"no step of maintenance is called {sorted(unknown)[0]!r}", hint=f"steps: {', '.join(STEPS)}"
            )
        steps: list[Step] = [step for step in STEPS if step in config.steps]
        report = maintain(millrace.load(), steps, table=config.table, is_dry_run=config.dry_run, say=context.log.info)
        context.add_output_metadata(report_metadata(report))
        if not report.did_something:
            context.log.info("nothing to do: %d tables are as they should be", len(report.tables))
        raise_failed(report)


def report_metadata(report: "MaintenanceReport") -> dict[str, dg.MetadataValue]:
    """Return what a run did, for its page: sums, and the tables where something happened."""
    compacted = [one.compact for one in report.tables if one.compact is not None]
    expired = [one.expire for one in report.tables if one.expire is not None]
    vacuumed = [one.vacuum for one in report.tables if one.vacuum is not None]
    deleted = sum(one.files for one in expired) + sum(len(one.deleted) for one in vacuumed)
    return {
        "tables": dg.MetadataValue.int(len(report.tables)),
        "files_removed": dg.MetadataValue.int(sum(one.removed for one in compacted)),
        "files_added": dg.MetadataValue.int(sum(one.added for one in compacted)),
        "snapshots_expired": dg.MetadataValue.int(sum(one.snapshots for one in expired)),
        "files_deleted": dg.MetadataValue.int(deleted),
        "orphans_quarantined": dg.MetadataValue.int(sum(len(one.quarantined) for one in vacuumed)),
        "report": dg.MetadataValue.json([_shown(one) for one in report.tables if one.did_something or one.error]),
    }


def _shown(table: "TableReport") -> Mapping[str, Any]:
    # Metadata holds JSON's own types only: keys that are numbers, such as snapshot ids, become text.
    return json.loads(json.dumps(table.as_dict(), default=str))


def raise_failed(report: "MaintenanceReport") -> None:
    """Raise if the maintenance of a table stopped.

    Raises:
        CatalogError: names each of them.
    """
    if report.failed:
        texts = "; ".join(f"{one.table}: {one.error}" for one in report.failed)
        raise CatalogError(
            f"maintenance of {len(report.failed)} of {len(report.tables)} tables stopped: {texts}",
            hint="what was done stays; the next run goes on",
        )


@dg.job(
    name=MAINTENANCE_JOB,
    description="Compaction, snapshot expiry and orphan removal of every Iceberg table. Safe to repeat, also at once.",
    executor_def=dg.in_process_executor,
    hooks={say_why},
    tags={"millrace/job": "maintenance"},
)
def iceberg_maintenance() -> None:
    """Run the one step."""
    maintain_tables()


maintenance_schedule = dg.ScheduleDefinition(
    name="iceberg_maintenance_schedule",
    job=iceberg_maintenance,
    cron_schedule=CRON,
    execution_timezone="UTC",
    description="Off until somebody turns it on, as it is for tables that live longer than a day.",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)


@dg.sensor(
    name="iceberg_file_counts",
    # By name: Dagster copies a sensor that holds its job, with a parameter that it warns of as beta.
    job_name=MAINTENANCE_JOB,
    minimum_interval_seconds=SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Asks for the compaction of a table as soon as its files are many and small, so that a stream's table "
    "does not wait for the night. Off until somebody turns it on.",
)
def iceberg_file_counts(context: dg.SensorEvaluationContext, millrace: MillraceSettings) -> dg.SensorResult:
    """Look at tables that got a new snapshot since the last tick."""
    from orchestration.lakehouse.maintenance.due import find_due

    seen = read_cursor(context.cursor)
    found = find_due(millrace.load(), seen)
    requests = [run_request(one.table, one.snapshot_id) for one in found.due]
    for one in found.due:
        context.log.info("%s: %d small files could become %d", one.table, one.input_files, one.groups)
    reason = None if requests else f"{len(found.seen)} tables, none with many small files"
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=dg.SkipReason(reason) if reason else None,
        cursor=json.dumps(found.seen),
    )


def read_cursor(cursor: str | None) -> dict[str, int]:
    """Return table to the snapshot that was looked at; another version's cursor counts as none."""
    try:
        found = json.loads(cursor) if cursor else {}
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def run_request(table: str, snapshot_id: int) -> dg.RunRequest:
    """Return the run that compacts a table; one for each snapshot, so that a run which fails is not asked for again."""
    steps: Sequence[str] = ["compact"]
    return dg.RunRequest(
        run_key=f"{table}:{snapshot_id}",
        run_config={"ops": {OP: {"config": {"steps": steps, "table": table}}}},
        tags={"millrace/table": table},
    )
