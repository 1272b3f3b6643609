"""`millrace run`: the whole pipeline once, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.progress import RunProgress
from orchestration.cli.terminal import AsJson, duration, number, print_json, rate, say, show, stdout_reserved, table

if TYPE_CHECKING:
    from orchestration.pipeline import RunReport
    from orchestration.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    data: Annotated[
        str | None, typer.Option("--data", metavar="PATH", help="File, folder, glob or s3:// address to land.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Instead of DATASET.")] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild silver and the models from all of bronze.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Send files that landed before once more, as new events.")
    ] = False,
    max_events: Annotated[int | None, typer.Option(min=1, help="Land at most so many events.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring every layer up to date: files to topic, bronze, silver and marts, each checked before the next.

    Safe to repeat: a file lands once, and a run that was killed is completed by the next. The run shows up in
    `millrace ui`. Ctrl-C cancels it, and its Flink job. Exits with the code of what failed; a failed check that blocks
    nothing is reported and does not fail the run.

    Examples:

        millrace run --data yellow_tripdata_2024-02.parquet

        millrace run --full-refresh

        millrace run --json | jq .stages
    """
    with stdout_reserved():
        from orchestration.settings import load_settings

        changes: dict[str, Any] = {}
        if dataset is not None:
            changes["dataset"] = dataset
        if max_events is not None:
            changes["max_events"] = max_events
        settings = load_settings()
        settings = settings.with_changes(**changes) if changes else settings
        report = execute(settings, source=absolute(data), again=again, full_refresh=full_refresh)
    if as_json:
        print_json({"run_id": report.run_id, "seconds": round(report.seconds, 3), **report.as_dict()})
        return
    show_stages(report)
    show_checks(report)


def execute(
    settings: Settings, *, source: str | None = None, again: bool = False, full_refresh: bool = False
) -> RunReport:
    """Run the pipeline with progress on stderr.

    Raises:
        RunFailedError: a step failed.
        UnreachableError: the stack is down, or an S3 store, found before Dagster is loaded.
        NotFoundError, StorageError: as `require_store`.
        SecretReferenceError: a secret has no value anywhere; found before any service is asked.
    """
    from orchestration.storage import is_s3

    settings = settings.with_secrets()
    require_services(settings)
    if is_s3(settings):
        from orchestration.catalog.store import require_store

        require_store(settings)
    with RunProgress() as progress:
        progress.message("loading Dagster")
        from orchestration.pipeline import run_batch

        return run_batch(settings, source=source, again=again, full_refresh=full_refresh, on_note=progress.note)


def require_services(settings: Settings) -> None:
    """Ask for the ports of the services, so that a stack that is down is told in half a second.

    Raises:
        UnreachableError: names the first that refuses connections.
    """
    import socket
    from urllib.parse import urlsplit

    from orchestration.errors import UnreachableError

    services = {
        "Kafka broker": f"kafka://{settings.broker_url.split(',')[0]}",
        "Iceberg catalog": settings.catalog_uri,
        "Flink JobManager": settings.flink_rest_url,
        "Flink SQL Gateway": settings.flink_sql_gateway_url,
    }
    for title, address in services.items():
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            with socket.create_connection((parts.hostname or "", port), timeout=settings.http_timeout_s):
                pass
        except OSError as error:
            raise UnreachableError(
                f"the {title} at {parts.netloc} does not answer: {error.strerror or error}",
                hint="start the stack with `./millrace up`, or look at `./millrace status`",
                context={"service": title, "address": parts.netloc},
            ) from error


def absolute(data: str | None) -> str | None:
    """Return a path of the command line as absolute; addresses stay as they are.

    Raises:
        InputError: nothing is there.
    """
    if data is None or "://" in data:
        return data
    import glob

    from orchestration.errors import InputError

    path = str(Path(data).expanduser().absolute())
    if not glob.has_magic(path) and not Path(path).exists():
        raise InputError(f"there is no file or folder {data}", hint="`millrace sample PATH` writes sample data")
    return path


def show_stages(report: RunReport) -> None:
    """Print the stages as a table."""
    table(
        ("stage", "rows", "time", "rate"),
        [
            (stage.name, number(stage.rows), duration(stage.seconds), rate(stage.rows, stage.work_s))
            for stage in report.stages
        ],
        right=("rows", "time", "rate"),
    )
    show(f"run {report.run_id[:8]} took {duration(report.seconds)}")


def show_checks(report: RunReport) -> None:
    """Print how many checks passed, and those that did not."""
    for check in (*report.failed_checks, *report.warnings):
        word = "failed" if check.is_error else "warns"
        say(f"check {check.asset} {check.name} {word}: {check.message}")
    more = f", {len(report.warnings)} warn" if report.warnings else ""
    show(f"checks: {report.passed} passed, {len(report.failed_checks)} failed{more}")
