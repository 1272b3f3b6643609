"""`millrace sql run`: the statements of a file, in one session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.sql.engine import choose_limits, opened_engine
from orchestration.cli.sql.interrupts import Interrupts
from orchestration.cli.sql.options import (
    AsJson,
    AsRowOutput,
    FetchTimeout,
    MaxRows,
    Mode,
    Output,
    RowEncoding,
    RunMode,
    as_mode,
    choose_output,
    for_rows,
    read_file,
)
from orchestration.cli.sql.query import INTERRUPTED
from orchestration.cli.terminal import say, show
from orchestration.exact_json import json_text

if TYPE_CHECKING:
    from orchestration.cli.sql.options import Encoding
    from orchestration.flink.engine import StatementOutcome
    from orchestration.flink.text.validate import Permission

ALLOWED: frozenset[Permission] = frozenset({"ddl", "dml"})
DESTRUCTIVE: frozenset[Permission] = frozenset({"destructive"})


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", short_help="Run the statements of a file.")(run_file)


def run_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Statements, each with its semicolon; - is stdin.")],
    mode: RunMode = Mode.STREAMING,
    max_rows: MaxRows = None,
    fetch_timeout: FetchTimeout = None,
    encoding: RowEncoding = None,
    destructive: Annotated[
        bool, typer.Option("--destructive", help="Allow DROP, TRUNCATE, DELETE and UPDATE.")
    ] = False,
    output: AsRowOutput = None,
    as_json: AsJson = False,
) -> None:
    """Run the statements of a file one after the other in one session, and stop at the first error.

    Rows of queries go to stdout; what was made and started is told on stderr, and is in the document of --json. The
    limits hold for each query. Jobs of INSERT statements go on after the script.

    Examples:

        millrace sql run setup.sql

        millrace sql run --mode batch --destructive rebuild.sql

        millrace sql run --json - < setup.sql | jq -r '.statements[].job_id'
    """
    form = choose_output(output, as_json, for_rows())
    text = read_file(file)
    allow = ALLOWED | DESTRUCTIVE if destructive else ALLOWED
    done = list[dict[str, Any]]()
    with Interrupts() as interrupts, opened_engine() as engine:
        limits = choose_limits(engine.settings, max_rows, fetch_timeout)
        for outcome in engine.run_script(text, mode=as_mode(mode), allow=allow, limits=limits):
            done.append(_tell(outcome, form, encoding, interrupts))
            if interrupts.was_interrupted:
                break
    if form is Output.JSON:
        show('{"statements": [\n  ' + ",\n  ".join(map(json_text, done)) + "\n]}")
    if interrupts.was_interrupted:
        raise typer.Exit(INTERRUPTED)


def _tell(outcome: StatementOutcome, form: Output, encoding: Encoding | None, interrupts: Interrupts) -> dict[str, Any]:
    """Show what one statement did, and return it for the document of --json."""
    from orchestration.cli.sql.rows import collect_stream, write_stream
    from orchestration.flink.reading.pages import shorten_sql

    what = shorten_sql(outcome.statement)
    facts = {"line": outcome.line, "kind": outcome.kind.value, "statement": what, "job_id": outcome.job_id}
    if outcome.stream is None:
        job = f" (job {outcome.job_id})" if outcome.job_id else ""
        say(f"line {outcome.line}: done{job}: {what}")
        return facts
    interrupts.watch(outcome.stream)
    if form is Output.JSON:
        facts |= collect_stream(outcome.stream, encoding)
    else:
        write_stream(outcome.stream, form, encoding)
    interrupts.watch(None)
    return facts
