"""Polaris: principals, roles and grants as platform/polaris/setup.yaml describes them, by Polaris' own client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pydantic import SecretStr

from orchestration.errors import CatalogError, ConfigError
from orchestration.secrets import find_secret
from orchestration.settings import Settings

ADMIN_ID, ADMIN_SECRET = "polaris-admin-client-id", "polaris-admin-client-secret"
"""References to the credentials of a principal that may manage the whole server."""

_CATALOG_PATH = "/api/catalog"
_TIMEOUT_S = 300


def admin_credentials(settings: Settings) -> tuple[str, SecretStr] | None:
    """Return the administrator's credentials, or None if nobody gave them.

    Raises:
        ConfigError: only one of the two is there.
    """
    found = [find_secret(name, settings.secret_places) for name in (ADMIN_ID, ADMIN_SECRET)]
    client_id, secret = found
    if client_id is None and secret is None:
        return None
    if client_id is None or secret is None:
        missing = ADMIN_ID if client_id is None else ADMIN_SECRET
        raise ConfigError(f"the reference {missing} has no value, but the other one has", hint="give both, or neither")
    return client_id.get_secret_value(), secret


def apply_setup(settings: Settings, admin: tuple[str, SecretStr]) -> None:
    """Apply the setup; what is there already stays. The client prints the secrets of new principals once, to stderr.

    Raises:
        ConfigError: the client is not installed, or CATALOG_URI is not that of a Polaris.
        CatalogError: the client failed.
    """
    client = Path(sys.executable).with_name("polaris")
    if not client.is_file():
        raise ConfigError("the client of Apache Polaris is not installed", hint="run ./millrace: it installs the lock")
    base, found, _ = settings.catalog_uri.partition(_CATALOG_PATH)
    if not found:
        raise ConfigError(
            f"CATALOG_URI={settings.catalog_uri} is not the address of a Polaris",
            hint=f"it ends in {_CATALOG_PATH}; its management interface is beside that",
        )
    command = [str(client), "--base-url", base]
    command += ["--realm", settings.catalog_realm] if settings.catalog_realm else []
    command += ["setup", "apply", str(settings.platform_dir / "polaris" / "setup.yaml")]
    # In the environment, not among the arguments: everybody on the machine can list those.
    environ = {**settings.secret_places.environ, "CLIENT_ID": admin[0], "CLIENT_SECRET": admin[1].get_secret_value()}
    try:
        done = subprocess.run(command, env=environ, stdout=sys.stderr.fileno(), check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise CatalogError(
            f"Polaris at {base} did not finish the setup in {_TIMEOUT_S} s", hint="run the same command again"
        ) from None
    if done.returncode != 0:
        raise CatalogError(
            f"Polaris at {base} refused the setup (its client ended with {done.returncode})",
            hint="its own words are above; platform/polaris/setup.yaml describes what was wanted",
        )
