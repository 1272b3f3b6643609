"""For all tests: signals as in a terminal, and no property that fails because the machine is busy."""

from __future__ import annotations

import signal

from hypothesis import settings

from orchestration.dbt_plugin.manifest import ensure_manifest
from orchestration.settings import Settings

# Time limits belong to benchmarks: with other work on the machine an example takes ten times as long.
settings.register_profile("millrace", deadline=None)
settings.load_profile("millrace")


def pytest_configure() -> None:
    """Take SIGINT back if whoever started us ignores it, as shells do for jobs in the background.

    Dagster gives SIGTERM the handler of SIGINT: ignored, every server that a later test starts would ignore its stop.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart() -> None:
    """Parse the dbt project if it changed: definitions only read its manifest, and to be behind it is an error here."""
    ensure_manifest(Settings())
