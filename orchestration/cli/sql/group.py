"""`millrace sql`: the commands of the group; alone on a terminal, the shell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.sql import check, listing, operate, persistent, query, script, upkeep
from orchestration.cli.sql.options import FetchTimeout, MaxRows, Mode, RunMode

app = typer.Typer(
    invoke_without_command=True,
)

for module in (query, check, script, persistent, operate, listing, upkeep):
    module.register(app)


@app.callback(epilog='Examples:  millrace sql  |  millrace sql query "SELECT 1 AS a"  |  millrace sql < script.sql')
def shell(
    context: typer.Context,
    mode: RunMode = Mode.STREAMING,
    max_rows: MaxRows = None,
    fetch_timeout: FetchTimeout = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Shell: refuse statements that change or start something.")
    ] = False,
) -> None:
    """Query Flink SQL, and deploy queries that run until they are stopped.

    Without a command: a shell on a terminal (\\help lists what it knows), else standard input is run as a script.
    """
    if context.invoked_subcommand is not None:
        return
    if not sys.stdin.isatty():
        script.run_file(Path("-"), mode=mode)
        return
    from orchestration.cli.sql.shell import run_shell

    raise typer.Exit(run_shell(mode, max_rows=max_rows, fetch_timeout_s=fetch_timeout, read_only=read_only))
