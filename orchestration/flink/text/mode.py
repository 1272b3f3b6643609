"""Flink's runtime mode: fixed for the life of a gateway session."""

from __future__ import annotations

from typing import Literal, get_args

from orchestration.errors import ConfigError

Mode = Literal["batch", "streaming"]
RUNTIME_MODE = "execution.runtime-mode"


def check_mode(mode: str) -> Mode:
    """Return `mode` if sessions can have it.

    Raises:
        ConfigError: it is `automatic` or anything else.
    """
    lowered = mode.strip().lower()
    for known in get_args(Mode):
        if lowered == known:
            return known
    raise ConfigError(f"{RUNTIME_MODE} {mode!r} is not supported", hint="say batch or streaming")
