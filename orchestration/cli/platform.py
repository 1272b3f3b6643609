"""`millrace platform`: the platform engineer's file checked, listed, explained, and applied to the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.compile import Environment, Strict
from orchestration.cli.terminal import AsJson, print_json, say, show, table

if TYPE_CHECKING:
    from orchestration.platform_config.tiers import Tiers
    from orchestration.settings import Settings

app = typer.Typer(name="platform", help="Check and apply platform/platform.yaml.", no_args_is_help=True)


@app.command()
def validate(env: Environment = None, strict: Strict = False, as_json: AsJson = False) -> None:
    """Check millrace.yaml and platform.yaml of an environment, or of every one; write nothing, ask no service.

    Exits with 2 if a file is refused; every fault is printed with its line.

    Examples: `millrace platform validate`, `millrace platform validate --env prod --strict`.
    """
    from orchestration.compilation.compiled import compile_environment
    from orchestration.platform_config.tiers import environments
    from orchestration.settings import load_settings

    settings = load_settings()
    known = environments(settings.repo_root, settings.platform_file)
    wanted = [env] if env else known or [None]
    done = [compile_environment(name, is_strict=strict) for name in wanted]
    warnings = {one.environment: one.warnings for one in done}
    for name, found in warnings.items():
        for warning in found:
            say(f"warning: {name}: {warning}")
    if as_json:
        print_json({"valid": True, "environments": list(warnings), "warnings": warnings})
        return
    show(f"valid: {', '.join(warnings)}")


@app.command()
def profiles(env: Environment = None, as_json: AsJson = False) -> None:
    """List the profiles that a project file can name: storage, catalogs, compute, sizes.

    Examples: `millrace platform profiles`, `millrace platform profiles --env prod --json`.
    """
    settings, tiers = _tiers(env)
    rows = _profile_rows(tiers)
    if as_json:
        from orchestration.platform_config.tiers import environments

        there = environments(settings.repo_root, settings.platform_file)
        print_json({"environment": tiers.environment, "environments": there, "profiles": rows})
        return
    columns = ("kind", "name", "type", "used", "what")
    table([column.upper() for column in columns], [[str(row[column]) for column in columns] for row in rows])


@app.command()
def explain(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A setting, such as duckdb.memory_limit or CATALOG_URI.")],
    env: Environment = None,
    as_json: AsJson = False,
) -> None:
    """Say what value a setting has in an environment, and where it came from.

    Examples: `millrace platform explain duckdb.memory_limit`, `millrace platform explain catalog.uri --env prod`.
    """
    from orchestration.cli.config import print_explanation
    from orchestration.settings import load_settings
    from orchestration.settings.explain import explain as explain_setting

    print_explanation(explain_setting(load_settings(platform_env=env), key), as_json=as_json)


@app.command()
def check(env: Environment = None, as_json: AsJson = False) -> None:
    """Ask the catalog of an environment: are the secrets there, are they accepted, do warehouse and layers exist.

    Exits with 2 for a secret that has no value, before anything is asked; with the code of what failed otherwise.

    Examples: `millrace platform check`, `millrace platform check --env dev`.
    """
    from orchestration.catalog.layers import missing_namespaces, require_namespaces

    settings, tiers = _tiers(env)
    settings = settings.with_secrets()
    wanted = _namespaces(tiers)
    missing = missing_namespaces(settings, wanted)
    document: dict[str, Any] = {
        "environment": tiers.environment,
        "catalog": settings.catalog_uri,
        "warehouse": settings.catalog_warehouse,
        "namespaces": wanted,
        "missing": missing,
    }
    require_namespaces(settings, missing)
    if as_json:
        print_json(document)
        return
    there = ", ".join(wanted) or "no namespace is asked for"
    show(f"{settings.catalog_uri}, warehouse {settings.catalog_warehouse}: {there}")


@app.command()
def bootstrap(env: Environment = None, as_json: AsJson = False) -> None:
    """Create what an environment needs in its catalog; what is there already stays as it is.

    In Polaris: catalog, principals, roles and grants of platform/polaris/setup.yaml, with the credentials that the
    references `polaris-admin-client-id` and `polaris-admin-client-secret` name (variables POLARIS_ADMIN_CLIENT_ID and
    POLARIS_ADMIN_CLIENT_SECRET); without these that part is left out. In every catalog: the namespaces of the layers.

    Examples: `millrace platform bootstrap`, `millrace platform bootstrap --env dev`.
    """
    from orchestration.catalog.layers import create_namespaces
    from orchestration.catalog.polaris_setup import admin_credentials, apply_setup

    settings, tiers = _tiers(env)
    is_set_up = False
    if settings.catalog == "polaris":
        admin = admin_credentials(settings)
        if admin is None:
            say("warning: no administrator's credentials: principals, roles and grants are left as they are")
        else:
            apply_setup(settings, admin)
            is_set_up = True
    created: list[str] = []
    if is_set_up and settings.pending:
        # The first time nobody can know them: the setup has just made them, and the namespaces too.
        say("warning: put the secrets of the new principals where platform.yaml names them, and run this once more")
    else:
        created = create_namespaces(settings.with_secrets(), _namespaces(tiers))
    if as_json:
        print_json({"environment": tiers.environment, "polaris_setup": is_set_up, "created_namespaces": created})
        return
    if is_set_up:
        show("Polaris: catalog, principals, roles and grants are as in platform/polaris/setup.yaml")
    show(f"namespaces created: {', '.join(created) or 'none, all were there'}")


def _tiers(env: str | None) -> tuple[Settings, Tiers]:
    from orchestration.platform_config.tiers import LOCAL, read_tiers
    from orchestration.settings import load_settings

    settings = load_settings(platform_env=env)
    name = settings.platform_env or LOCAL
    environ = settings.secret_places.environ
    is_named = settings.platform_env is not None
    return settings, read_tiers(settings.repo_root, environ, name, settings.platform_file, is_named=is_named)


def _namespaces(tiers: Tiers) -> list[str]:
    layers = tiers.platform.layers.values() if tiers.platform else ()
    return list(dict.fromkeys(layer.namespace for layer in layers))


def _profile_rows(tiers: Tiers) -> list[dict[str, str]]:
    platform, project = tiers.platform, tiers.project
    if platform is None:
        return []
    rows: list[dict[str, str]] = []

    def add(kind: str, name: str, type_: str, chosen: str | None, what: str) -> None:
        used = "*" if name == chosen else ""
        rows.append({"kind": kind, "name": name, "type": type_, "used": used, "what": what})

    for name, catalog in platform.catalogs.items():
        uri = catalog.uri if isinstance(catalog.uri, str) else f"secret {catalog.uri.secret_ref}"
        add("catalog", name, catalog.type, project.catalog, f"{catalog.warehouse} at {uri}")
    for name, storage in platform.storage.items():
        add("storage", name, storage.type, project.storage, storage.bucket)
    for name, compute in platform.compute.items():
        add("compute", name, compute.type, project.compute, "")
    for name, profile in platform.infrastructure.resource_profiles.items():
        limits = " ".join(f"{key} {value}" for key, value in profile.limits.given().items())
        add("resource_profile", name, "", project.resource_profile, limits or "no limits")
    return rows
