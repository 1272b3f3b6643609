"""Flink: is the cluster usable, and how did the last job of each layer end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.contracts import DatasetContract
from orchestration.flink.client.connection import http_options
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.models import TERMINAL, JobOverview
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.wait import failure_cause
from orchestration.flink.monitoring.health import Level
from orchestration.naming import bronze_job, silver_job
from orchestration.settings import Settings
from orchestration.validation.results import Outcome, Result, check

if TYPE_CHECKING:
    from orchestration.validation.line import Line

_RUN = "`millrace run` runs it"


def check_cluster(settings: Settings) -> Result:
    """Check that the JobManager answers and has TaskManager slots."""

    def look() -> Outcome:
        with FlinkRest(
            settings.flink_rest_url, timeout_s=settings.http_timeout_s, options=http_options(settings)
        ) as rest:
            seen = rest.overview()
        return Outcome(
            seen.slots_total > 0,
            f"Flink {seen.version} at {rest.base_url}: {seen.slots_available} of {seen.slots_total} slots free",
            hint="the TaskManager is down: `millrace restart taskmanager`",
        )

    return check("health", "Flink cluster has slots", settings.http_timeout_s * 6, look)


def check_gateway(settings: Settings) -> Result:
    """Check that the SQL Gateway answers."""

    def look() -> Outcome:
        with GatewayClient(
            settings.flink_sql_gateway_url, timeout_s=settings.http_timeout_s, options=http_options(settings)
        ) as gateway:
            seen = gateway.info()
        return Outcome(True, f"{seen.product_name} SQL Gateway {seen.version} at {settings.flink_sql_gateway_url}")

    return check("health", "SQL Gateway answers", settings.http_timeout_s * 6, look)


def check_jobs(settings: Settings, contract: DatasetContract, committed: Callable[[str], str | None]) -> list[Result]:
    """Check how the newest job of each layer ended; in streaming mode, that the stream that feeds both is healthy.

    Args:
        committed: layer to the id of the Flink job that wrote its newest snapshot, None without one. It stands in for
            a job that neither the cluster nor its archive knows any more.
    """

    def look(layer: str, name: str) -> Outcome:
        with FlinkRest(
            settings.flink_rest_url, timeout_s=settings.http_timeout_s, options=http_options(settings)
        ) as rest:
            known = [*rest.jobs_overview(), *read_archive(settings.instance_dir / "flink" / "archive")]
            job = newest(known, name)
            if job is None:
                return judge_unknown(name, committed(layer))
            cause = failure_cause(rest, job.id) if job.state in TERMINAL - {"FINISHED"} else ""
            return judge_batch(job, cause)

    timeout_s = settings.http_timeout_s * 6
    if settings.mode == "streaming":
        return [check("jobs", "stream", timeout_s, lambda: _look_at_stream(settings, contract))]
    return [
        check("jobs", f"last {layer} job", timeout_s, lambda layer=layer, name=name: look(layer, name))
        for layer, name in (("bronze", bronze_job(contract.name)), ("silver", silver_job(contract.name)))
    ]


def newest(jobs: Iterable[JobOverview], name: str) -> JobOverview | None:
    """Return the job of exactly this name that started last."""
    named = [job for job in jobs if job.name == name]
    return max(named, key=lambda job: job.start_time.timestamp() if job.start_time else 0.0, default=None)


def judge_batch(job: JobOverview, cause: str) -> Outcome:
    """Judge the newest job of a batch layer."""
    where = f"{job.name} ({job.id[:8]})"
    if job.state == "FINISHED":
        return Outcome(True, f"{where} FINISHED in {job.duration_ms / 1000:.1f} s")
    if job.state in TERMINAL:
        because = f": {cause}" if job.state == "FAILED" and cause else ""
        return Outcome(
            False, f"{where} {job.state}{because}", hint="`millrace run` tries again; nothing was half-written"
        )
    return Outcome(False, f"{where} is {job.state}", hint="wait for its end, or cancel it: `millrace jobs cancel`")


def judge_stream(name: str, line: Line | None) -> Outcome:
    """Judge a dataset's stream by its line of the health report; None: there is no stream that should run."""
    if line is None:
        return Outcome(False, f"no stream {name} should run", hint="`millrace stream deploy` starts it")
    return Outcome(line.level is Level.HEALTHY, f"{name}: {line.message}", line.url, line.hint)


def judge_unknown(name: str, job_id: str | None) -> Outcome:
    """Judge a layer whose jobs nobody remembers: its newest snapshot names the job that wrote it."""
    if job_id is None:
        return Outcome(False, f"{name} never ran", hint=_RUN)
    return Outcome(True, f"{name} ({job_id[:8]}) wrote the newest snapshot; the cluster no longer remembers it")


def read_archive(folder: Path) -> list[JobOverview]:
    """Return the jobs of the archive (`jobmanager.archive.fs.dir`), which outlives the JobManager; none without it."""
    jobs: list[JobOverview] = []
    for path in _files(folder):
        try:
            parts = json.loads(path.read_text(encoding="utf-8"))["archive"]
            overview = next(part["json"] for part in parts if part["path"] == "/jobs/overview")
            jobs += [JobOverview.model_validate(job) for job in json.loads(overview)["jobs"]]
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            # A file that is being written, or one of another program.
            continue
    return jobs


def _files(folder: Path) -> Sequence[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def _look_at_stream(settings: Settings, contract: DatasetContract) -> Outcome:
    from orchestration.lakehouse.streams.definition import stream_name
    from orchestration.validation.running import look_at_queries

    name = stream_name(contract.name)
    lines = look_at_queries(settings, datetime.now(UTC))
    return judge_stream(name, next((line for line in lines if line.name == name), None))
