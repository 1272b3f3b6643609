"""`millrace compile`: both tiers checked, and the files that follow from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orchestration.cli.terminal import AsJson, print_json, say, show

Environment = Annotated[
    str | None, typer.Option("--env", metavar="NAME", help="Environment of platform.yaml; default: local.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Also look for the Python modules that the project names.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compile")(compile_)


def compile_(
    env: Environment = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Instead of compiled/<env> of the instance.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 if a file would change.")] = False,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Check millrace.yaml and platform.yaml and write the dbt profile of an environment.

    No service is asked and no secret is read: the files hold names of secrets only. What is unchanged is not touched.
    Exits with 2 if a file is refused; every fault is printed with its line, and nothing is written.

    Examples:

        millrace compile

        millrace compile --env prod --check

        dbt build --project-dir dbt --profiles-dir "$(millrace compile --env dev --json | jq -r .folder)"
    """
    from orchestration.compilation.compiled import compile_environment

    compiled = compile_environment(env, folder=output.absolute() if output else None, is_strict=strict)
    if check:
        compiled.require_same()
        written: list[Path] = []
    else:
        written = compiled.write()
    for warning in compiled.warnings:
        say(f"warning: {warning}")
    if as_json:
        document: dict[str, Any] = {
            "environment": compiled.environment,
            "folder": str(compiled.folder),
            "files": sorted(compiled.files),
            "written": sorted(path.name for path in written),
            "inputs": compiled.tiers.inputs,
            "warnings": compiled.warnings,
        }
        print_json(document)
        return
    for name in sorted(compiled.files):
        state = "written" if compiled.folder / name in written else "unchanged"
        show(f"{compiled.folder / name}: {state}")
