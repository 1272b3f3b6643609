"""`millrace health`: one line a service, query and layer."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from orchestration.cli.terminal import AsJson, dim, mark, print_json, show, stdout_reserved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestration.validation.line import Line

_MARKS = {"healthy": "PASS", "degraded": "WARN", "unhealthy": "FAIL"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health")(health)


def health(as_json: AsJson = False) -> None:
    """Say of each service, query and layer how well it is: servers, streams, freshness of the tables, dead letters.

    Exits with 1 if something is unhealthy: a service that does not answer, a query that should run and does not.
    What is only degraded (a layer that is behind, dead letters above DLQ_MAX, a stream that no sensor watches) is
    marked WARN and exits with 0.

    Examples:

        millrace health

        millrace health --json | jq '.lines[] | select(.level != "healthy")'
    """
    with stdout_reserved():
        from orchestration.contracts.resolve import active_contract
        from orchestration.flink.monitoring.health import Level
        from orchestration.settings import load_settings
        from orchestration.validation.health import report_health, worst

        settings = load_settings()
        lines = report_health(settings, active_contract(settings))
        level = worst(lines)
    if as_json:
        print_json(document(level, lines))
    else:
        show_lines(lines)
        show(f"\n{level}")
    if level is Level.UNHEALTHY:
        raise typer.Exit(1)


def document(level: str, lines: Sequence[Line]) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {"level": level, "lines": [asdict(line) for line in lines]}


def show_lines(lines: Sequence[Line]) -> None:
    """Print a line each, with what to do about trouble below it."""
    width = max((len(line.name) for line in lines), default=0)
    for line in lines:
        show(f"{mark(_MARKS[line.level])}  {line.name:<{width}}  {line.message}")
        for more in (line.hint, line.url):
            if more and line.level != "healthy":
                show(dim(f"      {'':<{width}}  {more}"))
