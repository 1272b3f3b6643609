"""`millrace duckdb`: one query, or a shell, on gold and the attached lakehouse."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.terminal import AsJson, say, show, stdout_reserved, table
from orchestration.errors import MillraceError

if TYPE_CHECKING:
    import duckdb as engine

    from orchestration.dbt_plugin.query import QueryResult

PROMPT, MORE = "lakehouse> ", "      ...> "
MOST_ROWS = 200
_LEAVE = frozenset({".quit", ".exit", "exit", "quit"})


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("duckdb")(duckdb)


def duckdb(
    command: Annotated[
        str | None, typer.Option("-c", "--command", metavar="SQL", help="Run this and exit; without it, a shell.")
    ] = None,
    as_json: AsJson = False,
    write: Annotated[
        bool, typer.Option("--write", help="Allow changes, to the gold file and to the catalog's tables.")
    ] = False,
) -> None:
    """Query the lakehouse with DuckDB: `marts.fct_trips` (gold), `lakehouse.silver.cleaned_trips` (the catalog).

    Examples:

        millrace duckdb -c "select * from marts.mart_daily_revenue order by date_key"

        millrace duckdb --json -c "select count(*) n from lakehouse.silver.cleaned_trips"

        millrace duckdb < report.sql
    """
    with stdout_reserved():
        from orchestration.dbt_plugin.attach import connect
        from orchestration.settings import load_settings

        settings = load_settings()
        conn = connect(settings, read_only=not write)
    try:
        if command is None and sys.stdin.isatty() and not as_json:
            _shell(conn, settings.instance_dir / "duckdb_history")
        else:
            _print(conn, sys.stdin.read() if command is None else command, as_json=as_json)
    except MillraceError as error:
        from orchestration.storage_errors import is_of_store, storage_error

        if is_of_store(error.message):
            raise storage_error(error.message, settings) from None
        raise
    finally:
        conn.close()


def _print(conn: engine.DuckDBPyConnection, sql: str, *, as_json: bool = False) -> None:
    from orchestration.dbt_plugin.query import run_query, to_json

    result = run_query(conn, sql)
    if as_json:
        show(to_json(result))
    else:
        _print_table(result)


def _print_table(result: QueryResult) -> None:
    from orchestration.dbt_plugin.query import to_text

    if not result.columns:
        return
    table(
        result.columns,
        [[to_text(value) for value in row] for row in result.rows[:MOST_ROWS]],
        right=result.numeric,
    )
    if len(result.rows) > MOST_ROWS:
        say(f"{len(result.rows):,} rows, the first {MOST_ROWS} are shown; --json prints all")


def _shell(conn: engine.DuckDBPyConnection, history: Path) -> None:
    """Read statements up to their semicolon and print their results, until end of file or `.quit`."""
    import readline

    history.parent.mkdir(parents=True, exist_ok=True)
    if history.is_file():
        readline.read_history_file(history)
    readline.set_history_length(1000)
    say("End a statement with ; and leave with .quit. Try: show all tables;")
    lines: list[str] = []
    try:
        while True:
            try:
                line = input(MORE if lines else PROMPT)
            except EOFError:
                show()
                return
            except KeyboardInterrupt:
                show()
                lines = []
                continue
            if not lines and line.strip().rstrip(";").lower() in _LEAVE:
                return
            lines.append(line)
            if not line.rstrip().endswith(";"):
                continue
            sql, lines = "\n".join(lines), []
            try:
                _print(conn, sql)
            except MillraceError as error:
                say(f"error: {error.message}")
            except KeyboardInterrupt:
                conn.interrupt()
                say("interrupted")
    finally:
        readline.write_history_file(history)
