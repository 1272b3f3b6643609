"""`millrace metrics`: one page of Prometheus metrics, printed once or served."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.terminal import AsJson, print_json, say, show, stdout_reserved

if TYPE_CHECKING:
    from orchestration.observability.page import Page

_ONCE_S = 30.0
"""How long a page that is printed once waits for a source; nobody else waits for it."""

Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="SOURCE",
        help="Leave out flink, queries, broker, tables, accounting or dagster. Repeatable.",
    ),
]

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def metrics(context: typer.Context, without: Without = None, as_json: AsJson = False) -> None:
    """Print the metrics of everything once: Flink, queries, broker, tables, accounting and Dagster.

    The text is that of Prometheus. A source that does not answer is missing, and `millrace_scrape_success` says so; the
    exit code is 0 all the same. docs/observability.md has the names, the dashboards and the alerts.

    Examples:

        millrace metrics

        millrace metrics --json | jq '.[] | select(.name == "millrace_layer_rows") | .samples'

        millrace metrics serve
    """
    if context.invoked_subcommand is not None:
        return
    with stdout_reserved():
        from orchestration.observability.families import as_document
        from orchestration.observability.server import page_text

        page = open_page(without, timeout_s=_ONCE_S)
        document = as_document(list(page.collect())) if as_json else None
        text = "" if as_json else page_text(page)
    if as_json:
        print_json(document)
    else:
        show(text.rstrip("\n"))


@app.command()
def serve(
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0: any free one.")] = 9464,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on. There is no login: beyond loopback, protect it.")
    ] = "127.0.0.1",
    without: Without = None,
    as_json: AsJson = False,
) -> None:
    """Serve the metrics at http://127.0.0.1:9464/metrics until Ctrl-C.

    An answer is kept for 5 to 10 seconds, so ten scrapers cost as much as one.

    Examples:

        millrace metrics serve

        millrace metrics serve --port 9500 --without flink
    """
    stopped = threading.Event()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, lambda *_: stopped.set())
    with stdout_reserved():
        from orchestration.observability.server import serving

        page = open_page(without)
        # The first look loads libraries, which can take longer than a scrape waits.
        list(page.collect())
    with serving(page, host, port) as found:
        url = f"http://{host}:{found}/metrics"
        if as_json:
            print_json({"url": url, "port": found})
        else:
            show(url)
        sys.stdout.flush()
        say("Ctrl-C ends it")
        stopped.wait()


def open_page(without: list[str] | None, timeout_s: float | None = None) -> Page:
    """Return the page of the settings' instance; `timeout_s` None: what suits a scrape."""
    from orchestration.contracts.resolve import active_contract
    from orchestration.observability.sources import SOURCES, TIMEOUT_S, build_page
    from orchestration.settings import load_settings

    for name in without or ():
        if name not in SOURCES:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(SOURCES)}", param_hint="--without")
    settings = load_settings()
    history: list[Any] = []

    def ask_dagster() -> Any:
        # Dagster takes a second to import; the other sources are asked meanwhile.
        if not history:
            from orchestration.defs.history import History

            history.append(History(settings))
        return history[0].collect()

    limit_s = TIMEOUT_S if timeout_s is None else timeout_s
    return build_page(settings, active_contract(settings), ask_dagster, without=without or (), timeout_s=limit_s)
