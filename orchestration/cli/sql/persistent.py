"""`millrace sql deploy` and `upgrade`: from a definition to a job that runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.sql.engine import operating_engine
from orchestration.cli.sql.options import AsJson, AsOutput, Mode, Output, choose_output, read_sql
from orchestration.cli.sql.output import as_record, write_result
from orchestration.cli.terminal import duration, say, show

if TYPE_CHECKING:
    from orchestration.flink.queries.outcome import DeployResult
    from orchestration.flink.queries.spec import QuerySpec

File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="A .sql file with front matter, or a YAML file.", exists=True, dir_okay=False),
]
Name = Annotated[str | None, typer.Option("--name", "-n", help="Name of the query, instead of FILE.")]
Query = Annotated[
    str | None, typer.Option("--query", "-q", metavar="SQL", help="Its SQL, with --name; - reads standard input.")
]
SinkProfile = Annotated[
    str | None, typer.Option("--sink", metavar="PROFILE", help="Connector profile of the sink, with --name.")
]
Table = Annotated[str | None, typer.Option("--table", help="Name or path of the sink's table, with --name.")]
Key = Annotated[
    list[str] | None, typer.Option("--key", metavar="COLUMN", help="Key column of the sink; may be repeated.")
]
Parallelism = Annotated[int | None, typer.Option("--parallelism", min=1, help="Of the job, with --name.")]
SpecMode = Annotated[Mode | None, typer.Option("--mode", "-m", help="Flink's runtime mode, with --name.")]
Slots = Annotated[
    bool, typer.Option("--require-slots", help="Refuse when the cluster has too few free slots, instead of warning.")
]
NonRestored = Annotated[
    bool, typer.Option("--allow-non-restored-state", help="Drop state that the new SQL has no operator for.")
]

_TOLD_S = 0.05
"""Steps that took less are not told to people."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("deploy", short_help="Start a query that runs until it is stopped.")(deploy)
    app.command("upgrade", short_help="Replace the definition of a deployed query.")(upgrade)


def deploy(
    file: File = None,
    name: Name = None,
    query: Query = None,
    sink: SinkProfile = None,
    table: Table = None,
    key: Key = None,
    parallelism: Parallelism = None,
    mode: SpecMode = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Upgrade a query of this name that runs with another definition.")
    ] = False,
    require_slots: Slots = False,
    keep_on_timeout: Annotated[
        bool, typer.Option("--keep-on-timeout", help="Leave a job that does not start in time, instead of cancelling.")
    ] = False,
    tolerate_restarts: Annotated[
        int, typer.Option("--tolerate-restarts", min=0, help="So many failures of a flaky source are borne.")
    ] = 0,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Deploy a query that runs until it is stopped, and return once its job runs steadily.

    The sink is made from the query's own columns and changes. A deploy that fails leaves nothing behind; one that runs
    already with the same definition is left as it is.

    Examples:

        millrace sql deploy flink_sql/queries/revenue_per_zone.sql

        millrace sql deploy --name big_fares --query "SELECT vendor_id, fare_amount FROM t WHERE fare_amount > 100"

        millrace sql deploy revenue.yml --json | jq -r .job_id
    """
    form = choose_output(output, as_json)
    spec = read_spec(file, name, query, sink, table, key, parallelism, mode)
    with operating_engine() as engine:
        result = engine.deploy(
            spec,
            replace=replace,
            require_slots=require_slots,
            keep_on_timeout=keep_on_timeout,
            tolerate_restarts=tolerate_restarts,
            on_progress=progress(),
        )
    write_deployed(form, result)


def upgrade(
    file: File = None,
    name: Name = None,
    query: Query = None,
    sink: SinkProfile = None,
    table: Table = None,
    key: Key = None,
    parallelism: Parallelism = None,
    mode: SpecMode = None,
    allow_non_restored_state: NonRestored = False,
    require_slots: Slots = False,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Replace the definition of a deployed query; its `upgrade_mode` says what the new job starts from.

    Examples:

        millrace sql upgrade flink_sql/queries/revenue_per_zone.sql

        millrace sql upgrade revenue.yml --allow-non-restored-state
    """
    form = choose_output(output, as_json)
    spec = read_spec(file, name, query, sink, table, key, parallelism, mode)
    with operating_engine() as engine:
        result = engine.upgrade(
            spec,
            allow_non_restored_state=allow_non_restored_state,
            require_slots=require_slots,
            on_progress=progress(),
        )
    write_deployed(form, result)


def read_spec(
    file: Path | None,
    name: str | None,
    query: str | None,
    profile: str | None = None,
    table: str | None = None,
    key: Sequence[str] | None = None,
    parallelism: int | None = None,
    mode: Mode | None = None,
) -> QuerySpec:
    """Return the definition: of a file, or of --name and --query with the options beside them.

    Raises:
        InputError: both are given, or neither.
        ConfigError: the definition is wrong; names the field.
    """
    from orchestration.errors import InputError

    options = {"profile": profile, "table": table, "key_columns": tuple(key or ()) or None}
    sink = {field: value for field, value in options.items() if value is not None}
    given = {"parallelism": parallelism, "mode": mode.value if mode else None, "sink": sink or None}
    if file is not None:
        from orchestration.flink.queries.spec_files import load_spec

        if name or query or any(value is not None for value in given.values()):
            raise InputError(
                f"{file} defines the whole query; the other options of its definition go into it",
                hint="give a file, or --name and --query",
            )
        return load_spec(file)
    if not name or not query:
        raise InputError("no query was given", hint="give a .sql or YAML file, or --name and --query")
    from orchestration.flink.queries.spec_files import parse_spec

    fields = {field: value for field, value in given.items() if value is not None}
    return parse_spec({"name": name, "query": read_sql(query), **fields}, "the command line")


class Progress:
    """Tells each step on stderr: one line that moves on a terminal, a line a step elsewhere."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, sentence: str) -> None:
        say(f"{time.monotonic() - self._started:6.1f} s  {sentence}")


def progress() -> Progress:
    """Return what tells the steps of one operation."""
    return Progress()


def write_deployed(form: Output, result: DeployResult) -> None:
    """Write the outcome of a deploy, an upgrade or a restart."""
    record = as_record(result)

    def for_people() -> None:
        state = "runs already, unchanged" if result.unchanged else f"is {result.state}"
        show(f"{result.name} {state} (generation {result.generation})")
        for title, value in _facts(record):
            show(f"  {title:<14} {value}")

    write_result(form, record, for_people)


def _facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    found = [
        ("query", record["query_id"]),
        ("job", f"{record['job_id']}  {record['job_name']}"),
        ("web", record["url"]),
        ("sink", f"{record['sink_table']}  ({record['connector']})"),
        ("topic", record["topic"]),
        ("path", record["path"]),
        ("changes", record["changelog"]),
        ("key", ", ".join(record["key_columns"])),
        ("restored from", record["restored_from"]),
        ("took", ", ".join(f"{step} {duration(s)}" for step, s in record["timings"].items() if s >= _TOLD_S)),
    ]
    return [(title, value) for title, value in found if value]
