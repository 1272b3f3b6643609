"""The help of `millrace sql` starts fast."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "dagster",
    "httpx",
    "orchestration.flink",
    "orchestration.settings",
    "prompt_toolkit",
    "pygments",
    "sqlalchemy",
)


def test_the_help_imports_nothing_that_only_a_command_needs() -> None:
    code = (
        "import sys; from orchestration.cli.main import run; run(['sql', '--help']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
