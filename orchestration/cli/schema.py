"""`millrace schema`: the JSON Schemas of both tiers, for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.terminal import AsJson, print_json, show

app = typer.Typer(name="schema", help="JSON Schemas of millrace.yaml and platform.yaml.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """JSON Schemas of millrace.yaml and platform.yaml."""


@app.command()
def export(
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Instead of platform/schemas of the checkout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the JSON Schemas, which are generated from the models; both files name theirs in their first line.

    Examples: `millrace schema export`, `millrace schema export --output /tmp/schemas`.
    """
    from orchestration.platform_config.schema import write_schemas
    from orchestration.settings.model import checkout

    written = write_schemas(output or checkout() / "platform" / "schemas")
    if as_json:
        print_json({"written": [str(path) for path in written]})
        return
    for path in written:
        show(str(path))
