"""`millrace report`: plots of the marts and the accounting of every row, as one HTML page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.terminal import AsJson, print_json, say, show, stdout_reserved


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it there, not to the instance's report.html."),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open it in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write one HTML page from the current tables: plots of the marts, the accounting of every row, freshness, tables.

    The page needs no network and no script: mail it, print it, read it on a phone. On a terminal it opens in the
    browser. With --json what it says is printed too, and nothing is opened. No run is started.

    Examples:

        millrace report

        millrace report --output january.html --no-open

        millrace report --json | jq .accounting.state
    """
    with stdout_reserved():
        from orchestration.contracts.resolve import active_contract
        from orchestration.pipeline.history import last_runs
        from orchestration.report.content import collect_report
        from orchestration.report.page import report_path, write_page
        from orchestration.settings import load_settings

        settings = load_settings()
        found = collect_report(settings, active_contract(settings), last_runs(settings))
        path = write_page(found, output or report_path(settings))
    if as_json:
        print_json({"path": str(path), **found.as_dict()})
        return
    show(str(path))
    if not no_open and is_terminal():
        open_page(path)


def is_terminal() -> bool:
    """Whether a person reads what we print."""
    return sys.stdout.isatty()


def open_page(path: Path) -> None:
    """Open a file in the browser of the desktop; says so where there is none."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        browser = None
    # Exactly this class: browsers that draw in the terminal. Those of a desktop are subclasses or others.
    if browser is None or type(browser) is webbrowser.GenericBrowser or not browser.open(path.as_uri()):
        say("there is no browser to open it in; copy the file to where there is one")
