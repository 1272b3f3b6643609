"""Lets `dagster job execute -j JOB` find this code location, as `dagster dev` does by `[tool.dagster]`.

Dagster 1.13 reads `[tool.dagster]` for some of its commands only; this one asks for `-m` although the environment holds
one project. `millrace.pth`, which `./millrace` puts into the environment, calls `apply` at the start of each Python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

VARIABLE = "DAGSTER_CLI_JOB_EXECUTE_MODULE_NAME"

_TARGETS = ("-m", "--module-name", "-f", "--python-file", "-w", "--workspace", "-a", "--attribute", "--package-name")


def needs_default(argv: Sequence[str]) -> bool:
    """Whether `argv` (of the interpreter) is `dagster job execute` without a word on where the definitions are."""
    words = [word.rpartition("/")[2] for word in argv]
    if "dagster" not in words[:4]:
        return False
    arguments = list(argv[words.index("dagster") + 1 :])
    named = any(word.split("=")[0] in _TARGETS or word[:2] in ("-m", "-f", "-w") for word in arguments)
    return arguments[:2] == ["job", "execute"] and not named


def apply() -> None:
    """Name the module of the definitions to Dagster if nobody did."""
    if needs_default(sys.orig_argv):
        os.environ.setdefault(VARIABLE, "orchestration.definitions")
