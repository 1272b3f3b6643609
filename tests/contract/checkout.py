"""The checkout as the contract tests see it: tracked files, and where it is."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def tracked_files() -> tuple[str, ...]:
    """Return the paths that git knows and that exist, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return tuple(path for path in listed.split("\0") if path and (ROOT / path).is_file())


def read_text(path: str) -> str | None:
    """Return a tracked file's text, None for a binary file."""
    content = (ROOT / path).read_bytes()
    return None if b"\0" in content else content.decode("utf-8")
