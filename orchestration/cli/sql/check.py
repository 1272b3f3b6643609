"""`millrace sql describe`, `validate` and `explain`: what a statement would do, without a job."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.sql.engine import opened_engine
from orchestration.cli.sql.options import (
    AsJson,
    AsOutput,
    Mode,
    Output,
    RunMode,
    as_mode,
    choose_output,
    read_sql,
)
from orchestration.cli.sql.output import as_record, write_records, write_result
from orchestration.cli.terminal import say, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestration.flink.text.validate import Problem

Sql = Annotated[str | None, typer.Argument(metavar="SQL", help="The statement; - or nothing reads standard input.")]


class Purpose(StrEnum):
    """What a statement is for."""

    ADHOC = "adhoc"
    SCRIPT = "script"
    PERSISTENT = "persistent"


class Detail(StrEnum):
    """What else EXPLAIN tells."""

    ESTIMATED_COST = "estimated_cost"
    CHANGELOG_MODE = "changelog_mode"
    PLAN_ADVICE = "plan_advice"
    JSON_EXECUTION_PLAN = "json_execution_plan"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("describe", short_help="Show a query's columns, changes and keys.")(describe)
    app.command("validate", short_help="Check a statement before it is sent.")(validate)
    app.command("explain", short_help="Show the plan of a query.")(explain)


def describe(
    sql: Sql = None,
    mode: RunMode = Mode.STREAMING,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Show the columns of a query, how its rows change and which keys it has. Starts no job.

    Examples:

        millrace sql describe "SELECT vendor, COUNT(*) AS trips FROM t GROUP BY vendor"

        millrace sql describe --json < query.sql | jq .keys
    """
    form = choose_output(output, as_json)
    text = read_sql(sql)
    with opened_engine() as engine:
        schema = engine.describe(text, as_mode(mode))
    columns = [as_record(column) for column in schema.columns]
    write_records(
        form,
        columns,
        columns=("name", "type", "is_nullable", "is_rowtime"),
        titles=("column", "type", "nullable", "rowtime"),
        document=schema.to_json(),
    )
    if form is Output.TABLE:
        show(f"\nchanges: {schema.changelog_text}")
        show(f"keys:    {'; '.join(', '.join(key) for key in schema.keys) or 'none'}")


def validate(
    sql: Sql = None,
    mode: RunMode = Mode.STREAMING,
    purpose: Annotated[
        Purpose, typer.Option("--for", help="What it is for: adhoc, a script's statements, or a persistent query.")
    ] = Purpose.ADHOC,
    deep: Annotated[bool, typer.Option("--deep", help="Ask Flink's planner too, which needs the stack.")] = False,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Check a statement by the rules of docs/sql.md, before anything is sent. Exits with 2 if one is broken.

    Examples:

        millrace sql validate "SELECT * FROM t EMIT CHANGES"

        millrace sql validate --deep --for persistent < query.sql

        millrace sql validate --json < query.sql | jq .problems
    """
    form = choose_output(output, as_json)
    text = read_sql(sql)
    problems = _find_problems(text, purpose, mode, deep=deep)
    is_valid = all(problem.severity != "error" for problem in problems)
    if form is Output.TABLE:
        show_problems(text, problems)
        show("valid" if is_valid else "not valid")
    else:
        records = [as_record(problem) for problem in problems]
        columns = ("code", "severity", "line", "column", "message", "hint")
        write_records(form, records, columns=columns, document={"valid": is_valid, "problems": records})
    if not is_valid:
        raise typer.Exit(2)


def _find_problems(text: str, purpose: Purpose, mode: Mode, *, deep: bool) -> Sequence[Problem]:
    if deep:
        with opened_engine() as engine:
            return engine.validate(text, purpose=purpose.value, mode=as_mode(mode), deep=True)
    from orchestration.flink.text.validate import check_sql

    return check_sql(text, purpose=purpose.value, mode=as_mode(mode))


def show_problems(text: str, problems: Sequence[Problem]) -> None:
    """Print each problem with the place that it is about, on stdout."""
    from orchestration.cli.sql.marker import point_at

    for problem in problems:
        where = f"line {problem.line}, column {problem.column}: " if problem.line else ""
        show(f"{problem.severity} {problem.code}: {where}{problem.message}")
        if problem.line and problem.column:
            for line in point_at(text, problem.line, problem.column):
                show(f"  {line}")
        if problem.hint:
            show(f"  hint: {problem.hint}")


def explain(
    sql: Sql = None,
    mode: RunMode = Mode.STREAMING,
    details: Annotated[
        list[Detail] | None, typer.Option("--detail", "-d", help="What else to tell; may be repeated.")
    ] = None,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Show the plan of a query or an INSERT. Starts no job.

    Examples:

        millrace sql explain "SELECT vendor, COUNT(*) FROM t GROUP BY vendor"

        millrace sql explain --detail changelog_mode < query.sql
    """
    form = choose_output(output, as_json)
    text = read_sql(sql)
    with opened_engine() as engine:
        plan = engine.explain(text, as_mode(mode), [detail.value for detail in details or ()])
    write_result(form, {"plan": plan}, lambda: show(plan))


def warn_of(problems: Sequence[Problem]) -> None:
    """Tell warnings on stderr."""
    for problem in problems:
        say(f"warning: {problem.code}: {problem.message}" + (f" ({problem.hint})" if problem.hint else ""))
