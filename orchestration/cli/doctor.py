"""`millrace doctor`: this machine and this checkout, with a remedy for what is wrong."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from orchestration.cli.terminal import AsJson, mark, print_json, show, stdout_reserved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestration.validation.machine import Finding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Check Python, platform, disk, memory, ports, jars, extensions, settings, contracts, templates and the stack.

    Changes nothing and needs no network. Exits with 1 if something must be repaired; warnings do not count.

    Examples:

        millrace doctor

        millrace doctor --json | jq '.findings[] | select(.level == "FAIL")'
    """
    with stdout_reserved():
        findings = list(_findings())
    failed = sum(finding.level == "FAIL" for finding in findings)
    if as_json:
        print_json({"ok": failed == 0, "findings": [asdict(finding) for finding in findings]})
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            show(f"{mark(finding.level)}  {finding.name:<{width}}  {finding.message}")
            if finding.hint and finding.level != "PASS":
                show(f"{'':{width + 8}}hint: {finding.hint}")
        warned = sum(finding.level == "WARN" for finding in findings)
        show(f"\n{len(findings) - failed - warned} fine, {warned} warnings, {failed} to repair")
    if failed:
        raise typer.Exit(1)


def _findings() -> Iterator[Finding]:
    from orchestration.errors import ConfigError
    from orchestration.settings import load_settings
    from orchestration.validation.checkout import check_checkout, explain
    from orchestration.validation.machine import check_machine

    try:
        settings = load_settings()
    except ConfigError as error:
        yield from check_machine(None)
        yield from explain(error)
        return
    yield from check_machine(settings)
    yield from check_checkout(settings)
