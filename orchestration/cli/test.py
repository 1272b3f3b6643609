"""`millrace test`: pytest on this checkout, in a process and an environment of its own."""

from __future__ import annotations

import typer

from orchestration.cli.terminal import say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "test",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]},
    )(test)


def test(ctx: typer.Context) -> None:
    """Run the tests with pytest; what follows is handed to it. Exits with pytest's code.

    The integration tests start a stack of their own. Dagster's, dbt's and Millrace's variables of this shell do not
    reach the tests.

    Examples:

        millrace test

        millrace test tests/unit -k offsets -x
    """
    raise typer.Exit(run_tests(ctx.args))


def run_tests(arguments: list[str]) -> int:
    """Prepare what tests read (dbt's manifest), run pytest and return its exit code."""
    import os
    import subprocess
    import sys

    from orchestration.dbt_plugin.manifest import ensure_manifest
    from orchestration.settings import Settings

    settings = Settings()
    say("preparing dbt's manifest")
    ensure_manifest(settings)
    command = [sys.executable, "-m", "pytest", *(arguments or ["tests"])]
    environment = clean_environment(dict(os.environ))
    process = subprocess.Popen(command, cwd=settings.repo_root, env=environment)
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal sent it to pytest too, which now stops the stack of its fixtures and prints its summary.
        return process.wait()


def clean_environment(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment without what would make tests depend on this shell."""
    from orchestration.settings import Settings
    from orchestration.settings.names import field_names

    foreign = ("DAGSTER_", "DBT_", "MILLRACE_")
    kept = ("MILLRACE_CACHE", "MILLRACE_TEST_STACK", "MILLRACE_NO_BROWSER", "MILLRACE_KEEP_SCREENSHOT")
    settings = set(field_names(Settings.model_fields))
    return {
        name: value
        for name, value in environment.items()
        if name in kept or not (name.startswith(foreign) or name in settings)
    } | {"DAGSTER_DISABLE_TELEMETRY": "yes"}
