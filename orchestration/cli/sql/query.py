"""`millrace sql query`: one statement, its rows."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.sql.engine import choose_limits, opened_engine
from orchestration.cli.sql.interrupts import Interrupts
from orchestration.cli.sql.options import (
    AsJson,
    AsRowOutput,
    FetchTimeout,
    MaxRows,
    Mode,
    Properties,
    RowEncoding,
    RunMode,
    as_mode,
    choose_output,
    for_rows,
    read_properties,
    read_sql,
)

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("query", short_help="Run one query and write its rows.")(query)


def query(
    sql: Annotated[
        str | None, typer.Argument(metavar="SQL", help="One query; - or nothing reads standard input.")
    ] = None,
    mode: RunMode = Mode.STREAMING,
    max_rows: MaxRows = None,
    fetch_timeout: FetchTimeout = None,
    encoding: RowEncoding = None,
    properties: Properties = None,
    output: AsRowOutput = None,
    as_json: AsJson = False,
) -> None:
    """Run one query and write its rows to stdout, all else to stderr. Ctrl-C ends the query first.

    On a terminal it shows a table that is updated while rows come; piped, it writes one JSON array a row. It reads and
    changes nothing: SELECT, SHOW, DESCRIBE and EXPLAIN. A limit that was reached is no error; stderr says so.

    Examples:

        millrace sql query "SELECT 1 AS a, 'x' AS b"

        millrace sql query -m batch -o csv --max-rows 0 "SELECT * FROM t" > t.csv

        millrace sql query -o ndjson -e changelog "SELECT vendor, COUNT(*) AS n FROM t GROUP BY vendor"

        millrace sql query --json < query.sql | jq .rows
    """
    from orchestration.cli.sql.rows import write_stream

    form = choose_output(output, as_json, for_rows())
    text, settings = read_sql(sql), read_properties(properties)
    with Interrupts() as interrupts, opened_engine() as engine:
        limits = choose_limits(engine.settings, max_rows, fetch_timeout)
        stream = engine.execute(text, mode=as_mode(mode), properties=settings, limits=limits)
        interrupts.watch(stream)
        write_stream(stream, form, encoding)
        interrupts.watch(None)
    if interrupts.was_interrupted:
        raise typer.Exit(INTERRUPTED)
