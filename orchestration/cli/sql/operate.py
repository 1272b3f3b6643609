"""`millrace sql stop`, `restart`, `delete` and `savepoint`: operations on a deployed query."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.sql.engine import operating_engine
from orchestration.cli.sql.options import AsJson, AsOutput, Ref, choose_output
from orchestration.cli.sql.output import as_record, write_result
from orchestration.cli.sql.persistent import NonRestored, progress, write_deployed
from orchestration.cli.terminal import show

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine


class StopMode(StrEnum):
    """How a job is stopped."""

    SAVEPOINT = "savepoint"
    CANCEL = "cancel"
    DRAIN = "drain"


class From(StrEnum):
    """What a job starts from."""

    SAVEPOINT = "savepoint"
    LATEST_CHECKPOINT = "latest_checkpoint"
    FRESH = "fresh"


SavepointDir = Annotated[
    str | None, typer.Option("--savepoint-dir", metavar="PATH", help="Where to, instead of the configured folder.")
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=1, metavar="SECONDS", help="Default: SQL_ENGINE_STOP_TIMEOUT.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("stop", short_help="Stop a query, with a savepoint.")(stop)
    app.command("restart", short_help="Start a stopped or failed query again.")(restart)
    app.command("delete", short_help="Stop a query and remove it.")(delete)
    app.command("savepoint", short_help="Make a savepoint of a running query.")(savepoint)


def stop(
    ref: Ref,
    mode: Annotated[
        StopMode | None,
        typer.Option(
            "--mode",
            "-m",
            help="savepoint: keep the state; cancel: drop it; drain: close all windows first. Default: savepoint when "
            "a folder for them is known, else cancel.",
        ),
    ] = None,
    savepoint_dir: SavepointDir = None,
    timeout: Timeout = None,
    or_cancel: Annotated[
        bool, typer.Option("--or-cancel", help="Cancel the job when its savepoint fails, instead of leaving it.")
    ] = False,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Stop a query; `restart` continues it from its savepoint. Stopping a stopped query changes nothing.

    Examples:

        millrace sql stop revenue_per_zone

        millrace sql stop revenue_per_zone --mode cancel --json
    """
    form = choose_output(output, as_json)
    with operating_engine() as engine:
        refuse_stream(engine, ref, "stop")
        result = engine.stop(
            ref,
            mode.value if mode else None,
            savepoint_dir=savepoint_dir,
            timeout_s=timeout,
            on_failure="cancel" if or_cancel else "raise",
            on_progress=progress(),
        )

    def for_people() -> None:
        show(f"{result.name} is {result.state}" + ("" if result.changed else ", as it was before"))
        if result.savepoint_path:
            show(f"  savepoint  {result.savepoint_path}")

    write_result(form, as_record(result), for_people)


def restart(
    ref: Ref,
    from_: Annotated[From, typer.Option("--from", help="What the new job starts from.")] = From.SAVEPOINT,
    allow_non_restored_state: NonRestored = False,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Start a stopped or failed query again, with the definition that it has.

    Examples:

        millrace sql restart revenue_per_zone

        millrace sql restart revenue_per_zone --from fresh --json
    """
    form = choose_output(output, as_json)
    with operating_engine() as engine:
        refuse_stream(engine, ref, "restart")
        result = engine.restart(
            ref, from_.value, allow_non_restored_state=allow_non_restored_state, on_progress=progress()
        )
    write_deployed(form, result)


def delete(
    ref: Ref,
    keep_sink: Annotated[
        bool, typer.Option("--keep-sink", help="Leave its tables, and do not look whether others read them.")
    ] = False,
    drop_data: Annotated[
        bool, typer.Option("--drop-data", help="Also delete what the query wrote: its topic or its files.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also when another query reads the sink, or the job cannot be stopped.")
    ] = False,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Cancel a query and remove it from the list. What it wrote stays, unless --drop-data.

    Examples:

        millrace sql delete revenue_per_zone

        millrace sql delete revenue_per_zone --drop-data --json
    """
    form = choose_output(output, as_json)
    with operating_engine() as engine:
        refuse_stream(engine, ref, "delete")
        result = engine.delete(ref, drop_sink=not keep_sink, drop_data=drop_data, force=force, on_progress=progress())

    def for_people() -> None:
        show(f"{result.name} is deleted" + ("" if result.changed else ", as it was before"))
        for what in result.dropped:
            show(f"  dropped  {what}")

    write_result(form, as_record(result), for_people)


def savepoint(
    ref: Ref,
    savepoint_dir: SavepointDir = None,
    timeout: Timeout = None,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Make a savepoint of a query that goes on, and print where it is.

    Examples:

        millrace sql savepoint revenue_per_zone

        millrace sql savepoint revenue_per_zone --json | jq -r .path
    """
    form = choose_output(output, as_json)
    with operating_engine() as engine:
        result = engine.savepoint(ref, savepoint_dir=savepoint_dir, timeout_s=timeout)
    write_result(form, as_record(result), lambda: show(result.path))


def refuse_stream(engine: SqlEngine, ref: str, operation: str) -> None:
    """Refuse what would go around the conditions of a dataset's stream: which state fits its tables, who writes them.

    A stream that was stopped may be deleted: the next deploy then starts from the offsets that bronze holds.

    Raises:
        ConflictError: the query is a stream.
    """
    from orchestration.errors import ConflictError, NotFoundError
    from orchestration.flink.queries.spec import is_stream
    from orchestration.flink.queries.states import Desired

    try:
        record = engine.registry.require(ref, include_deleted=True)
    except NotFoundError:
        return  # the operation itself says so
    if record.spec is None or not is_stream(record.spec):
        return
    if operation == "delete" and record.desired is not Desired.RUNNING:
        return
    remedy = f"millrace stream {'stop' if operation == 'delete' else operation} {record.name}"
    raise ConflictError(
        f"query {record.name} is the stream of a dataset: only `millrace stream` looks at the tables that it writes",
        hint=f"`{remedy}`" + (", then delete it" if operation == "delete" else ""),
        context={"query_id": record.id},
    )
