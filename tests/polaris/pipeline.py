"""A home whose catalog is guarded: its own real catalog behind the gateway, with the namespaces of the setup."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from orchestration.settings import Settings, load_settings
from tests.integration.home import Home, open_home
from tests.polaris.gateway import SETUP, Polaris, open_polaris
from tests.polaris.grants import load_setup

REALM = "millrace-test"
PLANTED = f"planted-'%&\"c\\d $e;--{uuid.uuid4().hex}"
"""Start of every client secret: nothing that a command leaves may hold it, and each client quotes it in its own way."""


@dataclass(frozen=True)
class Guarded:
    """A home, and the gateway in front of its catalog."""

    home: Home
    polaris: Polaris

    def environ(self, principal: str = "millrace", **changes: str) -> dict[str, str]:
        """Return the variables with which commands ask the gateway as a principal."""
        client = self.polaris.client(principal)
        return {
            "CATALOG": "polaris",
            "CATALOG_URI": self.polaris.url,
            "CATALOG_CLIENT_ID": client.client_id,
            "CATALOG_CLIENT_SECRET": client.secret,
            "CATALOG_REALM": REALM,
            **changes,
        }

    def settings(self, principal: str = "millrace", **changes: str) -> Settings:
        """Return the settings that such a command has."""
        return load_settings(environ={**self.home.environ, **self.environ(principal, **changes)})


@contextmanager
def open_guarded(settings: Settings, folder: Path, **more: Any) -> Iterator[Guarded]:
    """Give a home with a guarded catalog; see `open_home` and `make_polaris`."""
    with open_home(settings, folder) as home:
        _make_namespaces(home.settings.catalog_uri)
        with open_polaris(home.settings.catalog_uri, secret=f"{PLANTED}-{{name}}", realm=REALM, **more) as polaris:
            yield Guarded(home, polaris)


def _make_namespaces(upstream: str) -> None:
    """Do what `polaris setup apply` does with the namespaces of the setup."""
    [catalog] = load_setup(SETUP)["catalogs"]
    with httpx.Client(trust_env=False) as client:
        for name in catalog["namespaces"]:
            client.post(f"{upstream}/v1/namespaces", json={"namespace": [name]}).raise_for_status()
