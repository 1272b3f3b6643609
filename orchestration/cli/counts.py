"""`millrace counts`: rows of every layer."""

from __future__ import annotations

import typer

from orchestration.cli.terminal import AsJson, number, print_json, show, stdout_reserved, table

TITLES = {
    "produced": "events handed to the broker",
    "dead_lettered": "messages of the dead-letter topic",
    "bronze": "rows of bronze",
    "silver": "rows of silver",
    "duplicates": "bronze rows that a later arrival of their key replaced",
    "rejected": "bronze rows that a quality rule refused",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("counts")(counts)


def counts(as_json: AsJson = False) -> None:
    """Count the rows of every layer, for all data so far, from the broker and the tables themselves.

    Examples:

        millrace counts

        millrace counts --json | jq .silver
    """
    with stdout_reserved():
        from orchestration.contracts.resolve import active_contract
        from orchestration.lakehouse.counts import count_layers
        from orchestration.settings import load_settings

        settings = load_settings()
        found = count_layers(settings, active_contract(settings))
    if as_json:
        print_json(found.as_dict())
        return
    table(
        ("layer", "rows", "what"),
        [(name, number(value), TITLES[name]) for name, value in found.as_dict().items()],
        right=("rows",),
    )
    for name, (holds, numbers) in found.equations().items():
        show(f"{'holds' if holds else 'DOES NOT HOLD'}: {name} ({numbers})")
