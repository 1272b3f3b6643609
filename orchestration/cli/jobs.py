"""`millrace jobs`: Flink jobs, listed and cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.terminal import AsJson, duration, print_json, say, show, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestration.flink.models import JobOverview

app = typer.Typer(help="List and cancel Flink jobs.", no_args_is_help=True)

_SHORT = 8


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
    from orchestration.flink.connection import http_options
    from orchestration.flink.rest import FlinkRest
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
    from orchestration.flink.connection import http_options
    from orchestration.flink.jobs import cancel_job
    from orchestration.flink.models import TERMINAL
    from orchestration.flink.rest import FlinkRest
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
