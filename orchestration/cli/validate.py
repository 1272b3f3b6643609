"""`millrace validate`: the four stages of checks, with PASS or FAIL and a remedy for each failure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.terminal import AsJson, bold, dim, duration, mark, print_json, say, show, stdout_reserved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestration.validation import Result

_NAMES = ("health", "jobs", "data", "models")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate")(validate_command)


def validate_command(
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", metavar="NAME", help="Only this stage: health, jobs, data or models. Repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that services answer, jobs ended well, every row is accounted for, and the models hold their tests.

    Reads only. Exits with 1 if a check fails; each failure says what to do.

    Dead letters that landings reported are accounted for; DLQ_MAX is the budget for all others.

    Examples:

        millrace validate

        millrace validate --stage health --stage data

        millrace validate --json | jq '.results[] | select(.passed | not)'
    """
    import time

    for name in stage or ():
        if name not in _NAMES:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(_NAMES)}", param_hint="--stage")
    start = time.monotonic()
    with stdout_reserved():
        from orchestration.contracts.resolve import active_contract
        from orchestration.settings import load_settings
        from orchestration.validation import validate

        settings = load_settings()
        wanted = [name for name in _NAMES if name in (stage or _NAMES)]
        results = validate(
            settings,
            active_contract(settings),
            stages=wanted,  # type: ignore[arg-type]
            on_result=None if as_json else lambda result: say(dim(f"  {result.name} …")),
        )
    passed = sum(result.passed for result in results)
    if as_json:
        summary = {"passed": passed, "failed": len(results) - passed, "total": len(results)}
        print_json({**summary, "results": [asdict(result) for result in results]})
    else:
        show_results(results)
        show(f"\n{passed} of {len(results)} checks passed in {duration(time.monotonic() - start)}")
    if passed < len(results):
        raise typer.Exit(1)


def show_results(results: Sequence[Result]) -> None:
    """Print results by stage."""
    from orchestration.validation import STAGES

    for stage, title in STAGES.items():
        found = [result for result in results if result.stage == stage]
        if not found:
            continue
        show(f"\n{bold(title)}")
        for result in found:
            show(f"  {mark('PASS' if result.passed else 'FAIL')}  {result.name}: {result.message}")
            if result.detail and not result.passed and result.stage != "models":
                show(dim(f"        {result.detail}"))
            if result.hint:
                show(f"        hint: {result.hint}")
