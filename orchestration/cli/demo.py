"""`millrace demo`: the whole lakehouse on a sample with known defects, and what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.run import absolute, execute, show_checks, show_stages
from orchestration.cli.terminal import AsJson, bar_chart, bold, number, print_json, say, show, stdout_reserved
from orchestration.errors import MillraceError

if TYPE_CHECKING:
    from orchestration.generator.sample import SampleExpectation
    from orchestration.lakehouse.counts import Counts
    from orchestration.settings import Settings

SEED, DIRTY = 42, 0.05
MONTH = "2024-01"
_MEMO = "demo.json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    data: Annotated[
        str | None, typer.Option("--data", metavar="PATH", help="Your own files instead of the sample.")
    ] = None,
    rows: Annotated[int, typer.Option(min=100, help="Rows of the sample.")] = 100_000,
    as_json: AsJson = False,
) -> None:
    """Start the stack if it is down, run the whole lakehouse on a sample with 5 % bad rows, and show the result.

    The sample says beforehand how many rows each layer must hold; the demo compares. Running it again adds nothing.

    Examples:

        millrace demo

        millrace demo --rows 1000000

        millrace demo --data yellow_tripdata_2024-01.parquet --json
    """
    with stdout_reserved():
        from orchestration.contracts.resolve import active_contract
        from orchestration.settings import load_settings

        settings = bring_up(load_settings())
        contract = active_contract(settings)
        expected: SampleExpectation | None = None
        if data is None:
            source, expected = prepare_sample(settings, rows)
        else:
            source = absolute(data) or data
        from orchestration.lakehouse.counts import count_layers

        before = count_layers(settings, contract)
        budget = before.dead_lettered + (expected.dead_lettered if expected else 0)
        report = execute(settings.with_changes(dlq_max=max(settings.dlq_max, budget)), source=source)
        counts = count_layers(settings, contract)
    address = f"http://127.0.0.1:{settings.ui_port}"
    if as_json:
        print_json({**report.as_dict(), "counts": counts.as_dict(), "ui": address})
    else:
        show_stages(report)
        show()
        show_accounting(counts, before, expected)
        show()
        show_checks(report)
        show_revenue(settings)
        show()
        show_next(settings, source)
    broken = [name for name, (holds, _) in counts.equations().items() if not holds]
    broken += [f"{check.asset} {check.name}" for check in report.failed_checks]
    if broken:
        say(f"error: {len(broken)} checks do not hold: {'; '.join(broken[:3])}")
        say("hint: `millrace validate` says more")
        raise typer.Exit(1)


def bring_up(settings: Settings) -> Settings:
    """Return the settings of a stack that runs; starts it if it does not and if it is ours to start."""
    from orchestration.embedded.stack import Stack
    from orchestration.settings import load_settings
    from orchestration.settings.load import EMBEDDED_PROFILES

    if settings.profile not in EMBEDDED_PROFILES:
        return settings
    stack = Stack(settings)
    if not stack.is_up():
        from orchestration.cli.stack_view import UpView

        say("starting the stack")
        with UpView() as view:
            stack.up(view.on_event, view.on_wait)
        # It chose its ports and left them in stack.env.
        return load_settings()
    return settings


def prepare_sample(settings: Settings, rows: int) -> tuple[str, SampleExpectation]:
    """Return the sample's path and its exact accounting; writes it unless it is there from the same parameters."""
    import json

    from orchestration.generator.sample import sample_expectation, write_sample

    folder = settings.instance_dir / "data"
    path = folder / f"yellow_tripdata_{MONTH}.parquet"
    memo, wanted = folder / _MEMO, {"rows": rows, "seed": SEED, "dirty": DIRTY}
    if path.is_file() and _read(memo) == {**wanted, "size": path.stat().st_size}:
        return str(path), sample_expectation(rows, DIRTY)
    say(f"writing a sample of {number(rows)} rows, {DIRTY:.0%} of them bad: {path}")
    expected = write_sample(path, rows=rows, seed=SEED, dirty=DIRTY, month=MONTH)
    memo.write_text(json.dumps({**wanted, "size": path.stat().st_size}), encoding="utf-8")
    return str(path), expected


def _read(memo: Path) -> Any:
    import json

    try:
        return json.loads(memo.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def show_accounting(counts: Counts, before: Counts, expected: SampleExpectation | None) -> None:
    """Print the equations with their numbers, and whether the new rows are what the sample was told to contain."""
    show(bold("Every row is accounted for"))
    for name, (holds, numbers) in counts.equations().items():
        show(f"  {'✓' if holds else '✗'} {name:<40} {numbers}")
    if expected is None:
        return
    for line in compare(counts, before, expected):
        show(f"  {line}")


def compare(counts: Counts, before: Counts, expected: SampleExpectation) -> list[str]:
    """Return lines on how the counts fit the sample.

    Where the sample is all that the lakehouse holds, the totals are compared; where it came on top of other data, what
    this run added. An earlier run that was cut off may have added a part: then neither says anything.
    """
    told = {name: getattr(expected, name) for name in counts.as_dict()}
    grown = {name: value - getattr(before, name) for name, value in counts.as_dict().items()}
    if counts.produced == expected.produced:
        found = counts.as_dict()
    elif grown["produced"] == expected.produced:
        found = grown
    elif not any(grown.values()):
        return ["✓ the sample had landed before: nothing was added anywhere"]
    else:
        return ["the sample landed in more than one run, on top of other data: not compared"]
    wrong = [
        f"✗ {name}: {number(value)} instead of {number(told[name])}"
        for name, value in found.items()
        if value != told[name]
    ]
    more = "" if any(grown.values()) else "; it had landed before, nothing was added"
    return wrong or [f"✓ each number is what the sample was told to contain{more}"]


def show_revenue(settings: Settings) -> None:
    """Print the daily revenue as bars."""
    from orchestration.dbt_plugin.gold import mart_table

    revenue = daily_revenue(settings)
    if not revenue:
        return
    show(f"\n{bold('Revenue a day')} ({mart_table(settings, 'mart_daily_revenue')})")
    for line in bar_chart(revenue, unit=" $"):
        show(f"  {line}")


def daily_revenue(settings: Settings, most_days: int = 31) -> dict[str, float]:
    """Return day to revenue of the first days in the mart; empty if it was not built."""
    import duckdb

    from orchestration.dbt_plugin.gold import connect_gold, mart_relation

    mart = mart_relation(settings, "mart_daily_revenue")
    query = f"SELECT date_key, total_revenue FROM {mart} ORDER BY date_key LIMIT {most_days}"
    try:
        with connect_gold(settings) as connection:
            return {str(day): float(total) for day, total in connection.execute(query).fetchall()}
    except (duckdb.Error, MillraceError):
        return {}


def show_next(settings: Settings, source: str) -> None:
    """Print where to look next."""
    from orchestration.dbt_plugin.gold import mart_table

    show(bold("Where to look next"))
    show("  ./millrace ui                           assets, checks and this run in Dagster")
    show(f'  ./millrace duckdb -c "FROM {mart_table(settings, "mart_daily_revenue")} LIMIT 5"')
    show("  ./millrace report                       plots of the marts and the accounting, as one page")
    show("  ./millrace run --data FILE.parquet      your own files, a month of taxi trips for example")
    show("  ./millrace validate                     all checks, also of the services")
    show(f"  {settings.instance_dir / 'rendered'}   the Flink SQL that ran")
    show(f"  {source}   the data")
