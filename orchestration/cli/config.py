"""`millrace config`: show, check and choose settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from orchestration.settings import Settings, load, load_settings, names
from orchestration.settings.explain import Explanation
from orchestration.settings.explain import explain as explain_setting
from orchestration.settings.files import file_problems
from orchestration.settings.problems import Problem, SettingsError
from orchestration.settings.profiles import list_profiles, use_profile

app = typer.Typer(name="config", help="Show, check and choose settings.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Profile = Annotated[str | None, typer.Option("--profile", help="Profile name or file, instead of the active one.")]
Instance = Annotated[str | None, typer.Option("--instance", help="Instance name, instead of `default`.")]


@app.command()
def show(
    profile: Profile = None,
    instance: Instance = None,
    as_json: AsJson = False,
    raw_brackets: Annotated[
        bool, typer.Option("--raw-brackets", help="Print NAME=[value], which exposes stray blanks.")
    ] = False,
) -> None:
    """Print every setting with its source; secrets are masked.

    Exits with 2 if the settings are refused, after printing them.

    Examples: `millrace config show`, `millrace config show --json`, `millrace config show --profile aws`.
    """
    report = _report(profile, instance)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        _print_settings(report["settings"], in_brackets=raw_brackets)
        _print_notes(report)
    if report["problems"]:
        raise typer.Exit(2)


@app.command()
def validate(profile: Profile = None, instance: Instance = None, as_json: AsJson = False) -> None:
    """Check the settings and the files they name; print every problem and exit with 2 if there is one.

    Examples: `millrace config validate`, `BROKER=kafak millrace config validate`.
    """
    report = _report(profile, instance, with_files=True)
    if as_json:
        found = {name: report[name] for name in ("profile", "instance", "problems", "warnings")}
        typer.echo(json.dumps({"valid": not report["problems"], **found}, indent=2))
    else:
        _print_notes(report)
        if not report["problems"]:
            typer.echo(f"profile {report['profile']}, instance {report['instance']}: settings are valid")
    if report["problems"]:
        raise typer.Exit(2)


@app.command()
def explain(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A setting, such as DUCKDB_THREADS or duckdb.threads.")],
    profile: Profile = None,
    instance: Instance = None,
    env: Annotated[
        str | None,
        typer.Option("--env", metavar="NAME", help="Environment of platform.yaml."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say where the value of a setting came from: file and line, variable, profile, container, default.

    Examples: `millrace config explain duckdb.memory_limit`, `millrace config explain CATALOG_URI --env prod`.
    """
    print_explanation(explain_setting(load_settings(profile, instance, platform_env=env), key), as_json=as_json)


def print_explanation(found: Explanation, *, as_json: bool) -> None:
    """Print a setting's value and origin."""
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
        return
    rows = [("value", "-" if found.value is None else _text(found.value)), ("from", found.origin)]
    rows += [("secret", found.secret)] if found.secret else []
    rows += [("instead of", f"{value} ({place})") for place, value in found.overridden]
    rows += [("meaning", found.meaning)] if found.meaning else []
    typer.echo(found.name)
    for title, text in rows:
        typer.echo(f"  {title:<11} {text}")


@app.command()
def profiles(as_json: AsJson = False) -> None:
    """List the committed profiles and mark the active one.

    Example: `millrace config profiles`.
    """
    root = load.checkout()
    active = load.active_profile(root)
    found = list_profiles(root, active.name)
    if as_json:
        typer.echo(json.dumps([asdict(info) for info in found], indent=2))
        return
    rows = [("", "PROFILE", *(axis.upper() for axis in names.AXES), "DESCRIPTION")]
    rows += [("*" if info.is_active else "", info.name, *info.axes.values(), info.description) for info in found]
    _print_columns(rows)
    if not any(info.is_active for info in found):
        typer.echo(f"\nactive: {active.path or active.name}")


@app.command()
def use(
    name: Annotated[str, typer.Argument(help="A profile of `millrace config profiles`.")], as_json: AsJson = False
) -> None:
    """Copy a profile to .env, which makes it active, and print the resulting settings.

    An edited .env is kept as .env.bak. Placeholders that the profile still holds are listed; they are refused until
    they are replaced in .env.

    Example: `millrace config use minio`.
    """
    backup = use_profile(load.checkout(), name)
    report = _report(None, None)
    if as_json:
        typer.echo(json.dumps({**report, "backup": backup.name if backup else None}, indent=2))
        return
    _print_settings(report["settings"])
    if backup:
        typer.echo(f"\nthe .env that was there is now {backup.name}")
    typer.echo(f"\nprofile {name} is in .env" + ("; still to be filled in there:" if report["problems"] else ""))
    _print_notes(report)
    if report["profile"] != name:
        typer.echo(f"MILLRACE_PROFILE={report['profile']} in the environment overrides .env", err=True)


def _report(profile: str | None, instance: str | None, with_files: bool = False) -> dict[str, Any]:
    """Return settings, problems and warnings as JSON values; the settings also when they are refused."""
    settings: Settings | None = None
    found: Sequence[Problem] = ()
    try:
        settings = load_settings(profile, instance)
        values: Mapping[str, Any] = settings.redacted_dump()
        sources = {name: settings.source_of(name) for name in values}
        found = file_problems(settings) if with_files else ()
    except SettingsError as error:
        values, sources, found = error.values or {}, error.sources, error.problems
    return {
        "profile": values.get("profile", profile),
        "instance": values.get("instance", instance),
        "settings": {
            names.env_name(name): {"value": value, "source": sources.get(name, "default")}
            for name, value in values.items()
        },
        "problems": [
            {
                "settings": [names.env_name(name) for name in problem.fields],
                "problem": problem.text,
                "remedy": problem.remedy,
                "sources": sorted({sources[name] for name in problem.fields if name in sources}),
            }
            for problem in found
        ],
        "warnings": settings.warnings() if settings else [],
    }


def _print_settings(settings: Mapping[str, Mapping[str, Any]], in_brackets: bool = False) -> None:
    for name, item in settings.items():
        value = "" if item["value"] is None else _text(item["value"])
        typer.echo(f"{name}=[{value}]" if in_brackets else f"{name:<32} {value or '-':<48} {item['source']}".rstrip())


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _print_notes(report: Mapping[str, Any]) -> None:
    for problem in report["problems"]:
        sources = f" [{', '.join(problem['sources'])}]" if problem["sources"] else ""
        typer.echo(f"refused: {problem['problem']}: {problem['remedy']}{sources}", err=True)
    for warning in report["warnings"]:
        typer.echo(f"warning: {warning}", err=True)


def _print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
