"""`millrace up | down | status | logs | restart`: the embedded stack from the command line."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from orchestration.embedded.stack import ServerStatus, Stack

Instance = Annotated[
    str | None,
    typer.Option(
        "--instance", metavar="NAME", help="Which local stack; each has its own ports and data.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
_EXIT_NOT_RUNNING = 3


def register(app: typer.Typer) -> None:
    """Add the commands of the stack to `app`."""
    panel = "Stack"
    app.command("up", rich_help_panel=panel)(up)
    app.command("down", rich_help_panel=panel)(down)
    app.command("status", rich_help_panel=panel)(status)
    app.command("logs", rich_help_panel=panel)(logs)
    app.command("restart", rich_help_panel=panel)(restart)
    jars = typer.Typer(help="Maintain the lock of Java libraries.", no_args_is_help=True)
    jars.command("lock")(lock_jars)
    app.add_typer(jars, name="jars", hidden=True)


def _stack(instance: str | None) -> Stack:
    from orchestration.embedded.stack import Stack
    from orchestration.settings import load_settings

    return Stack(load_settings(instance=instance))


def up(
    instance: Instance = None,
    streams: Annotated[
        bool, typer.Option("--streams", help="Also deploy the streams that are meant to run and have no job.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start Kafka, the Iceberg catalog and Flink; return when they answer.

    Doing it again changes nothing. Data of a former `up` is there again. Jobs are not: what is meant to run and has no
    job is named, with the command that brings it back.

    Examples:

        millrace up

        millrace up --streams            (after the machine was restarted)

        millrace up --instance test      (a second stack, on free ports)
    """
    from orchestration.cli.missing import settle_missing
    from orchestration.cli.stack_view import UpView

    stack = _stack(instance)
    with UpView(quiet=as_json) as view:
        result = stack.up(view.on_event, view.on_wait)
    if not as_json:
        view.show_result(result)
    missing = settle_missing(result.settings, deploy=streams)
    if as_json:
        _print_json(
            {
                "instance": result.settings.instance,
                "seconds": round(result.seconds, 2),
                "was_running": result.was_running,
                "ended_leftovers": result.ended_leftovers,
                "servers": [_row(server) for server in result.servers],
                "not_running": [{"name": one.name, "command": one.command} for one in missing],
            }
        )


def down(
    instance: Instance = None,
    purge: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="Also delete all data and everything that ./millrace made in this checkout, except the shared cache.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Stop the stack. Data stays, unless --purge.

    Examples:

        millrace down

        millrace down --purge            (delete topics, tables, logs, the environment's link)
    """
    from orchestration.embedded.purge import purge_instance

    stack = _stack(instance)
    ended = stack.down()
    removed = [str(path) for path in purge_instance(stack.settings)] if purge else []
    if as_json:
        _print_json({"instance": stack.settings.instance, "ended_processes": ended, "removed": removed})
        return
    typer.echo(f"stopped {ended} processes" if ended else "the stack was not running")
    for path in removed:
        typer.echo(f"removed {path}")


def status(instance: Instance = None, as_json: Json = False) -> None:
    """Show state, process, port and memory of each server. Exit code 3 if one does not run.

    Examples:

        millrace status

        millrace status --json
    """
    stack = _stack(instance)
    servers = stack.status()
    running = all(server.state == "RUNNING" for server in servers)
    if as_json:
        total = round(sum(server.rss_mb or 0.0 for server in servers), 1)
        rows = [_row(server) for server in servers]
        _print_json({"instance": stack.settings.instance, "running": running, "rss_mb": total, "servers": rows})
    else:
        from orchestration.cli.stack_view import status_table

        status_table(stack.settings.instance, servers)
    if not running:
        raise typer.Exit(_EXIT_NOT_RUNNING)


def logs(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="kafka, catalog, jobmanager, taskmanager or gateway; none: all.", show_default=False
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines are written, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many of the last lines.")] = 50,
    instance: Instance = None,
) -> None:
    """Print the last lines of the servers' logs.

    Examples:

        millrace logs taskmanager -n 200

        millrace logs -f
    """
    from orchestration.embedded.logs import print_logs
    from orchestration.embedded.stack import TITLES

    stack = _stack(instance)
    paths = {server: stack.log_path(server) for server in ([name] if name else TITLES)}
    try:
        print_logs(paths, lines, sys.stdout, follow=follow)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def restart(
    name: Annotated[
        str, typer.Argument(help="kafka, catalog, jobmanager, taskmanager or gateway.", show_default=False)
    ],
    instance: Instance = None,
    as_json: Json = False,
) -> None:
    """Stop one server, start it again, and return when it answers.

    Example:

        millrace restart taskmanager
    """
    from orchestration.cli.stack_view import UpView

    stack = _stack(instance)
    with UpView(quiet=as_json) as view:
        stack.restart(name, view.on_event)
    if as_json:
        _print_json({"instance": stack.settings.instance, "restarted": name})


def lock_jars() -> None:
    """Resolve platform/jars/jars.toml and write jars.lock (needs the network)."""
    from orchestration.embedded.jars import write_lock
    from orchestration.settings import load_settings

    settings = load_settings()
    typer.echo(f"wrote {write_lock(settings.platform_dir, settings.cache_dir)}")


def _row(server: ServerStatus) -> dict[str, Any]:
    row = asdict(server)
    for key in ("uptime_s", "rss_mb"):
        row[key] = None if row[key] is None else round(row[key], 1)
    return row


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value))
