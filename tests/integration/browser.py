"""A browser of the Chromium family for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSERS = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
# Root needs --no-sandbox; the others keep the browser from talking to anybody but us.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WITHOUT_BROWSER = pytest.mark.skipif(os.environ.get("MILLRACE_NO_BROWSER") == "1", reason="MILLRACE_NO_BROWSER=1")
"""For people who know that there is no browser to be had."""


def find_browser() -> str | None:
    """Return the path of a browser, None if there is none."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    return found or (str(MAC) if MAC.exists() else None)


def require_browser() -> str:
    """Return the path of a browser; on Debian and Ubuntu as root it is installed if it is missing."""
    if found := find_browser():
        return found
    if shutil.which("apt-get") and os.geteuid() == 0:
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.fail(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
        if found := find_browser():
            return found
    pytest.fail(
        f"no browser on the PATH (looked for {', '.join(BROWSERS)}): install chromium, "
        "or set MILLRACE_NO_BROWSER=1 to do without this test"
    )
