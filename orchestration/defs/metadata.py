"""What assets show in Dagster: column schemas before a run, numbers after it. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.contracts import DatasetContract

if TYPE_CHECKING:
    from orchestration.flink.jobs.submit import JobResult
    from orchestration.flink.monitoring.health import Reading
    from orchestration.flink.queries.outcome import DeployResult
    from orchestration.generator.results import LandingResult
    from orchestration.lakehouse.bronze import BronzeResult
    from orchestration.lakehouse.silver import SilverResult

Metadata = dict[str, dg.MetadataValue]

_LINEAGE = (
    ("_kafka_partition", "INT", "Partition of the broker record"),
    ("_kafka_offset", "BIGINT", "Offset of the broker record; unique in its partition"),
    ("_kafka_timestamp", "TIMESTAMP_LTZ(3)", "When the broker took the record"),
    ("ingestion_ts", "TIMESTAMP(3)", "When the row was loaded into bronze"),
)


def event_schema(contract: DatasetContract) -> dg.TableSchema:
    """Return the fields of an event with their JSON types."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                column.json_type,
                column.description or None,
                constraints=dg.TableColumnConstraints(nullable=not column.is_required),
            )
            for column in contract.columns
        ]
    )


def bronze_schema(contract: DatasetContract) -> dg.TableSchema:
    """Return the columns of bronze."""
    return dg.TableSchema([*_source_columns(contract), *_lineage_columns()])


def rejected_schema(contract: DatasetContract) -> dg.TableSchema:
    """Return the columns of the rejected rows."""
    rule = dg.TableColumn("rejected_by", "STRING", "Name of the first rule that does not hold")
    return dg.TableSchema([rule, *_source_columns(contract), *_lineage_columns()])


def silver_schema(contract: DatasetContract) -> dg.TableSchema:
    """Return the columns of silver."""
    known = {
        contract.surrogate_key: ("STRING", f"MD5 of {', '.join(contract.natural_key)}"),
        "ingestion_ts": ("TIMESTAMP(3)", "When the row was loaded into bronze"),
        contract.partition.name: ("DATE", f"Day of {contract.partition.field}; the partition column"),
        **{column.silver_name: (column.silver, column.description) for column in contract.columns},
    }
    return dg.TableSchema([dg.TableColumn(name, known[name][0], known[name][1]) for name in contract.silver_columns])


def landing_metadata(results: Sequence[LandingResult]) -> Metadata:
    """Return the numbers of a landing: `dagster/row_count` counts the events that the files now have on the topic."""
    seconds = sum((result.seconds for result in results), 0.0)
    sent = sum(result.sent + result.dead_lettered_now for result in results)
    files = [
        {
            "file": result.path,
            "month": result.month or "",
            "status": result.status,
            "rows": result.rows,
            "sent": result.sent,
            "already there": result.skipped,
            "dead letters": result.dead_lettered,
            "seconds": round(result.seconds, 3),
        }
        for result in results
    ]
    offsets = [
        {"file": result.path, "partition": partition, "first offset": start, "last offset": end - 1}
        for result in results
        for partition, (start, end) in sorted(result.offsets.items())
        if end > start
    ]
    return {
        "dagster/row_count": dg.MetadataValue.int(sum(result.events for result in results)),
        "events_sent": dg.MetadataValue.int(sum(result.sent for result in results)),
        "events_already_there": dg.MetadataValue.int(sum(result.skipped for result in results)),
        "dead_letters": dg.MetadataValue.int(sum(result.dead_lettered for result in results)),
        "dead_letters_sent": dg.MetadataValue.int(sum(result.dead_lettered_now for result in results)),
        "size_bytes": dg.MetadataValue.int(sum(result.size_bytes for result in results)),
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "events_per_second": dg.MetadataValue.float(round(sent / seconds, 1) if seconds else 0.0),
        **_table("files", files),
        **_table("offsets", offsets),
    }


def bronze_metadata(result: BronzeResult, seconds: float, restarts: int) -> Metadata:
    """Return the numbers of a bronze run."""
    offsets = [
        {"partition": partition, "first offset": span.start, "last offset": span.end - 1, "records": span.records}
        for partition, span in sorted(result.ranges.items())
        if span.records
    ]
    return {
        "dagster/row_count": dg.MetadataValue.int(result.total_rows),
        "rows_added": dg.MetadataValue.int(result.rows),
        "dead_letters": dg.MetadataValue.int(result.dead_lettered),
        **_snapshot("snapshot_id", result.snapshot_id),
        **_pace(result.rows, seconds),
        **job_metadata(result.jobs, restarts),
        **_table("offsets", offsets),
    }


def silver_metadata(result: SilverResult, seconds: float, restarts: int) -> Metadata:
    """Return the numbers of a refresh as silver shows them."""
    return {
        "dagster/row_count": dg.MetadataValue.int(result.total_rows),
        "rows_added": dg.MetadataValue.int(result.rows),
        **_refresh(result),
        **_snapshot("snapshot_id", result.snapshot_id),
        **_snapshot("bronze_snapshot_id", result.bronze_snapshot_id),
        "touched_partitions": dg.MetadataValue.json([day.isoformat() for day in result.touched]),
        **_pace(result.bronze_rows_read, seconds),
        **job_metadata(result.jobs, restarts),
    }


def rejected_metadata(result: SilverResult) -> Metadata:
    """Return the numbers of a refresh as the rejected rows show them."""
    rules = [
        {"rule": rule, "rows": rows} for rule, rows in sorted(result.rejected_by.items(), key=lambda item: -item[1])
    ]
    return {
        "dagster/row_count": dg.MetadataValue.int(result.total_rejected),
        "rows_added": dg.MetadataValue.int(result.rejected),
        **_refresh(result),
        **_snapshot("snapshot_id", result.rejected_snapshot_id),
        **_table("rejected_by_rule", rules),
    }


def job_metadata(jobs: Iterable[JobResult], restarts: int) -> Metadata:
    """Return ids and links of the Flink jobs of a step; of several, the last one has the plain names."""
    shown: Metadata = {}
    known = list(jobs)
    for job in known:
        shown["flink_job_id"] = dg.MetadataValue.text(job.job_id)
        shown["flink_job"] = dg.MetadataValue.url(job.url)
        shown["flink_job_seconds"] = dg.MetadataValue.float(round(job.duration_s, 3))
        shown["flink_job_was_adopted"] = dg.MetadataValue.bool(job.adopted)
    if known:
        shown["flink_restarts"] = dg.MetadataValue.int(restarts)
    if len(known) > 1:
        shown["flink_jobs"] = dg.MetadataValue.json([job.job_id for job in known])
    return shown


def query_metadata(result: DeployResult, reading: Reading | None) -> Metadata:
    """Return what a deployed query shows."""
    shown: Metadata = {
        "query_id": dg.MetadataValue.text(result.query_id),
        "flink_job_id": dg.MetadataValue.text(result.job_id),
        "flink_job_name": dg.MetadataValue.text(result.job_name),
        "flink_job": dg.MetadataValue.url(result.url),
        "generation": dg.MetadataValue.int(result.generation),
        "was_unchanged": dg.MetadataValue.bool(result.unchanged),
        "state": dg.MetadataValue.text(str(result.state)),
        "dagster/table_name": dg.MetadataValue.text(result.sink_table),
        "connector": dg.MetadataValue.text(result.connector),
        "changelog": dg.MetadataValue.text(result.changelog),
        "ddl": dg.MetadataValue.md(f"```sql\n{result.ddl}\n```"),
        "seconds": dg.MetadataValue.json(dict(result.timings)),
        **{
            name: dg.MetadataValue.text(value)
            for name, value in (("topic", result.topic), ("path", result.path), ("restored_from", result.restored_from))
            if value
        },
    }
    if result.key_columns:
        shown["key_columns"] = dg.MetadataValue.json(list(result.key_columns))
    return shown | (reading_metadata(reading) if reading is not None else {})


def reading_metadata(reading: Reading) -> Metadata:
    """Return how far a job is."""
    shown: Metadata = {
        "records_read": dg.MetadataValue.int(reading.read_records),
        "records_passed_on": dg.MetadataValue.int(reading.write_records),
        "checkpoints": dg.MetadataValue.int(reading.checkpoints.counts.completed),
        "failed_checkpoints": dg.MetadataValue.int(reading.failed_checkpoints),
        "flink_restarts": dg.MetadataValue.int(reading.restarts),
        "read_at": dg.MetadataValue.timestamp(reading.at),
    }
    if reading.uptime_s is not None:
        shown["uptime_seconds"] = dg.MetadataValue.float(round(reading.uptime_s, 1))
    if reading.checkpoint_age_s is not None:
        shown["checkpoint_age_seconds"] = dg.MetadataValue.float(round(reading.checkpoint_age_s, 1))
    return shown


def _refresh(result: SilverResult) -> Metadata:
    return {
        "refresh": dg.MetadataValue.text(result.kind),
        "reason": dg.MetadataValue.text(result.reason),
        "bronze_rows_read": dg.MetadataValue.int(result.bronze_rows_read),
    }


def _source_columns(contract: DatasetContract) -> list[dg.TableColumn]:
    return [dg.TableColumn(column.name, column.bronze, column.description or None) for column in contract.columns]


def _lineage_columns() -> list[dg.TableColumn]:
    return [dg.TableColumn(*row) for row in _LINEAGE]


def _snapshot(name: str, snapshot_id: int | None) -> Metadata:
    # As text: a snapshot id is above 2^53, which the browser would round.
    return {} if snapshot_id is None else {name: dg.MetadataValue.text(str(snapshot_id))}


def _pace(rows: int, seconds: float) -> Metadata:
    return {
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "rows_per_second": dg.MetadataValue.float(round(rows / seconds, 1) if seconds else 0.0),
    }


def _table(name: str, rows: Sequence[Mapping[str, str | int | float]]) -> Metadata:
    return {name: dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows])} if rows else {}
