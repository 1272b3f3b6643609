"""`millrace lag`: records of the topic that bronze does not hold yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from orchestration.cli.terminal import AsJson, number, print_json, show, stdout_reserved, table

if TYPE_CHECKING:
    from orchestration.lakehouse.lag import LagReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("lag")(lag)


def lag(as_json: AsJson = False) -> None:
    """Show, for each partition of the topic, how far bronze is behind, and how many dead letters there are.

    Bronze itself knows which offset comes next, so this is the truth also when no consumer group commits.

    Examples:

        millrace lag

        millrace lag --json | jq .lag_records
    """
    with stdout_reserved():
        from orchestration.contracts.resolve import active_contract
        from orchestration.lakehouse.lag import read_lag
        from orchestration.settings import load_settings

        settings = load_settings()
        report = read_lag(settings, active_contract(settings))
    if as_json:
        print_json(report.as_dict())
        return
    _show(report)


def _show(report: LagReport) -> None:
    table(
        ("partition", "log start", "log end", "next in bronze", "lag"),
        [
            (str(one.partition), number(one.start), number(one.end), number(one.next_offset), number(one.lag_records))
            for one in report.partitions
        ],
        right=("partition", "log start", "log end", "next in bronze", "lag"),
    )
    behind = f"bronze is {number(report.lag_records)} records behind" if report.lag_records else "bronze is up to date"
    show(f"{report.topic}: {behind}; {report.dlq_topic} holds {number(report.dead_letters)} dead letters")
