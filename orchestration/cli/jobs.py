"""`millrace jobs`: Flink jobs, listed, shown and cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.terminal import AsJson, duration, number, print_json, say, show, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestration.flink.client.models import Checkpoint, JobExceptions, JobOverview
    from orchestration.flink.monitoring.health import Reading

app = typer.Typer(help="List, show and cancel Flink jobs.", no_args_is_help=True)

_SHORT = 8
_FAILURES = 10
_NAME = 60


@app.command("list")
def list_jobs(
    everything: Annotated[bool, typer.Option("--all", help="Also jobs that Millrace did not start.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the jobs that the cluster knows, newest first: live ones and those it remembers.

    Examples:

        millrace jobs list

        millrace jobs list --all --json
    """
    from orchestration.flink.client.connection import http_options
    from orchestration.flink.client.rest import FlinkRest
    from orchestration.settings import load_settings

    settings = load_settings()
    with FlinkRest(settings.flink_rest_url, options=http_options(settings)) as rest:
        jobs = newest_first([job for job in rest.jobs_overview() if everything or job.name.startswith("millrace.")])
    if as_json:
        print_json([_row(job) for job in jobs])
        return
    if not jobs:
        show("no jobs" if everything else "no jobs of Millrace; --all lists the others too")
        return
    table(
        ("id", "name", "state", "started", "duration"),
        [
            (
                job.id[:_SHORT],
                job.name,
                job.state,
                job.start_time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if job.start_time else "-",
                duration(job.duration_ms / 1000),
            )
            for job in jobs
        ],
        right=("duration",),
    )


@app.command("show")
def show_job(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id, or its first digits if they are unique.")],
    as_json: AsJson = False,
) -> None:
    """Show one job: how well it is, its vertices and their records, its checkpoints and failures, and a link.

    The verdict is that of a job that should run; a batch job that FINISHED is healthy.

    Examples:

        millrace jobs show 3f9a12cd

        millrace jobs show 3f9a12cd --json | jq .checkpoints
    """
    from orchestration.flink.client.connection import http_options
    from orchestration.flink.client.rest import FlinkRest
    from orchestration.flink.monitoring.health import judge, read_job
    from orchestration.settings import load_settings

    settings = load_settings()
    with FlinkRest(settings.flink_rest_url, options=http_options(settings)) as rest:
        job = find_by_prefix(rest.jobs_overview(), job_id)
        reading = read_job(rest, job.id)
        health = judge(reading)
        exceptions = rest.job_exceptions(job.id, _FAILURES)
        url = rest.job_url(job.id)
    document = {
        **_row(job),
        "health": {
            "level": health.level.value,
            "codes": [reason.code for reason in health.reasons],
            "text": health.text,
        },
        "restarts": reading.restarts,
        "vertices": [_vertex(reading, place) for place in range(len(reading.vertices))],
        "checkpoints": _checkpoints(reading),
        "exceptions": _exceptions(exceptions),
        "url": url,
    }
    if as_json:
        print_json(document)
    else:
        _show_job(document)


@app.command("cancel")
def cancel(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id, or its first digits if they are unique.")],
    as_json: AsJson = False,
) -> None:
    """Cancel a job and wait until it has ended. A batch job that is cancelled has committed nothing.

    Examples:

        millrace jobs cancel 3f9a12cd

        millrace jobs cancel 3f9a12cd --json
    """
    from orchestration.flink.client.connection import http_options
    from orchestration.flink.client.models import TERMINAL
    from orchestration.flink.client.rest import FlinkRest
    from orchestration.flink.jobs.wait import cancel_job
    from orchestration.settings import load_settings

    settings = load_settings()
    with FlinkRest(settings.flink_rest_url, options=http_options(settings)) as rest:
        job = find_by_prefix(rest.jobs_overview(), job_id)
        was_over = job.state in TERMINAL
        state = job.state if was_over else cancel_job(rest, job.id)
    if as_json:
        print_json({"id": job.id, "name": job.name, "state": state, "was_over": was_over})
    elif was_over:
        say(f"{job.name} ({job.id[:_SHORT]}) was over already: {state}")
    else:
        show(f"{job.name} ({job.id[:_SHORT]}) is {state}")


def newest_first(jobs: Sequence[JobOverview]) -> list[JobOverview]:
    """Return jobs by start, newest first; jobs that have not started come first."""
    return sorted(jobs, key=lambda job: (job.start_time is None, job.start_time), reverse=True)


def find_by_prefix(jobs: Sequence[JobOverview], prefix: str) -> JobOverview:
    """Return the one job whose id starts with `prefix`.

    Raises:
        InputError: no job or several do.
    """
    from orchestration.errors import InputError

    wanted = prefix.strip().lower()
    found = [job for job in jobs if wanted and job.id.startswith(wanted)]
    if not found:
        raise InputError(
            f"no Flink job has an id that starts with {prefix!r}", hint="`millrace jobs list --all` shows them"
        )
    if len(found) > 1:
        names = ", ".join(f"{job.id[:12]} ({job.name})" for job in found[:5])
        raise InputError(
            f"{len(found)} Flink jobs have ids that start with {prefix!r}: {names}", hint="give more digits"
        )
    return found[0]


def _row(job: JobOverview) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "started_at": job.start_time.isoformat() if job.start_time else None,
        "ended_at": job.end_time.isoformat() if job.end_time else None,
        "duration_s": job.duration_ms / 1000,
    }


def _vertex(reading: Reading, place: int) -> dict[str, Any]:
    vertex = reading.vertices[place]
    return {
        "name": vertex.name,
        "status": vertex.status,
        "parallelism": vertex.parallelism,
        "records_in": vertex.metrics.read_records,
        "records_out": vertex.metrics.write_records,
        "duration_s": vertex.duration_ms / 1000,
    }


def _checkpoints(reading: Reading) -> dict[str, Any] | None:
    if reading.checkpoint_interval_s is None:
        return None
    counts, latest = reading.checkpoints.counts, reading.checkpoints.latest
    return {
        "interval_s": reading.checkpoint_interval_s,
        "completed": counts.completed,
        "failed": counts.failed,
        "in_progress": counts.in_progress,
        "age_s": reading.checkpoint_age_s,
        "last_completed": _checkpoint(latest.completed),
        "last_failed": _checkpoint(latest.failed),
        "last_savepoint": _checkpoint(latest.savepoint),
        "restored_from": _checkpoint(latest.restored),
    }


def _checkpoint(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    if checkpoint is None:
        return None
    return {
        "id": checkpoint.id,
        "at": checkpoint.trigger_time.isoformat() if checkpoint.trigger_time else None,
        "duration_s": checkpoint.duration_ms / 1000,
        "size_bytes": checkpoint.size_bytes,
        "path": checkpoint.path,
        "failure": checkpoint.failure,
    }


def _exceptions(exceptions: JobExceptions) -> list[dict[str, Any]]:
    from orchestration.flink.client.traces import root_cause

    return [
        {
            "at": entry.timestamp.isoformat() if entry.timestamp else None,
            "task": entry.task_name,
            "cause": root_cause(entry.stacktrace),
        }
        for entry in exceptions.history.entries
    ]


def _show_job(document: dict[str, Any]) -> None:
    health, checkpoints = document["health"], document["checkpoints"]
    show(f"{document['name']} ({document['id']})")
    show(f"{document['state']} for {duration(document['duration_s'])}, {document['restarts']} restarts")
    show(f"{health['level']}: {health['text']}\n")
    if document["vertices"]:
        titles = ("vertex", "status", "parallelism", "records in", "records out")
        rows = [
            (
                one["name"][:_NAME],
                one["status"],
                str(one["parallelism"]),
                number(one["records_in"]),
                number(one["records_out"]),
            )
            for one in document["vertices"]
        ]
        table(titles, rows, right=titles[2:])
    if checkpoints is None:
        show("\nno checkpoints")
    else:
        last = checkpoints["last_completed"]
        newest = f"; the last, {last['id']}, took {duration(last['duration_s'])} at {last['at']}" if last else ""
        show(
            f"\ncheckpoints every {checkpoints['interval_s']:g} s: {checkpoints['completed']} completed, "
            f"{checkpoints['failed']} failed{newest}"
        )
    for one in document["exceptions"]:
        show(f"failure at {one['at'] or '-'}: {one['cause']}")
    show(f"\n{document['url']}")
