"""`millrace duckdb`: one query, or a shell, on the marts and the attached lakehouse."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.terminal import AsJson, print_json, say, show, stdout_reserved, table
from orchestration.errors import MillraceError

if TYPE_CHECKING:
    import duckdb as engine

    from orchestration.dbt_plugin.query import QueryResult
    from orchestration.settings import Settings

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
        bool, typer.Option("--write", help="Allow changes to the catalog's tables, and to a local gold file.")
    ] = False,
) -> None:
    """Query the lakehouse with DuckDB: `lakehouse.gold.fct_trips` (a mart), `lakehouse.silver.cleaned_trips` (silver).

    Without a command it lists the tables and opens a shell. With GOLD_TARGET=duckdb the marts are `marts.fct_trips`.

    Examples:

        millrace duckdb -c "select * from lakehouse.gold.mart_daily_revenue order by date_key"

        millrace duckdb --json -c "select count(*) n from lakehouse.silver.cleaned_trips"

        millrace duckdb < report.sql
    """
    with stdout_reserved():
        from orchestration.dbt_plugin.gold import connect_gold
        from orchestration.settings import load_settings

        settings = load_settings()
        conn = connect_gold(settings, read_only=not write)
    try:
        if command is None and sys.stdin.isatty() and not as_json:
            _list(conn, settings)
            _shell(conn, settings.instance_dir / "duckdb_history")
            return
        sql = sys.stdin.read() if command is None else command
        if sql.strip():
            _print(conn, sql, as_json=as_json)
        else:
            _list(conn, settings, as_json=as_json)
    except MillraceError as error:
        from orchestration.dbt_plugin.refusals import refusal_in
        from orchestration.storage_errors import is_of_store, storage_error

        if is_of_store(error.message):
            raise storage_error(error.message, settings) from None
        raise refusal_in(error.message, settings, "the query") or error from None
    finally:
        conn.close()


def _list(conn: engine.DuckDBPyConnection, settings: Settings, *, as_json: bool = False) -> None:
    """Show what can be queried, marts first."""
    from orchestration.catalog import open_catalog
    from orchestration.dbt_plugin.gold import MARTS
    from orchestration.lakehouse.maintenance.tables import list_names
    from orchestration.naming import CATALOG, GOLD

    local = conn.execute(
        "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
        "WHERE database_name = current_database() AND NOT temporary"
    ).fetchall()
    # Not from DuckDB: to list an Iceberg catalog it loads every table.
    names = [str(name) for (name,) in local] + [f"{CATALOG}.{name}" for name in list_names(open_catalog(settings))]
    marts = (f"{CATALOG}.{GOLD}.", f"{MARTS}.")
    names.sort(key=lambda name: (not name.startswith(marts), name))
    if as_json:
        print_json([{"table": name} for name in names])
        return
    table(["table", ""], [[name, "mart" if name.startswith(marts) else ""] for name in names])
    if any(name.startswith(marts) for name in names):
        say(f"such as: FROM {names[0]} LIMIT 5;")
    else:
        say("no marts yet: `./millrace run` builds them")


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
