"""Which process is at work on a query, and whether it still lives."""

from __future__ import annotations

import getpass
import os
import socket
from datetime import datetime
from functools import cache

import psutil

_CLOCK_STEP_S = 5.0
"""The start is reckoned from the boot time, which moves when the clock is set."""


def this_process() -> str:
    """Return `host:pid:start` of this process; the start time tells a reused pid from the first."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.0f}"


@cache
def default_who() -> str:
    """Return `user@host`, for the list of events."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in the system's list
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def is_at_work(holder: str | None, held_until: datetime | None, now: datetime) -> bool:
    """Whether the process that took a query may still be working on it.

    On this machine the process itself is looked at; another machine's is believed until `held_until`.
    """
    if holder is None or held_until is None or held_until <= now:
        return False
    host, pid, start = holder.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    started = _start_of(int(pid))
    return started is not None and abs(started - float(start)) < _CLOCK_STEP_S


def _start_of(pid: int) -> float | None:
    """Return when a process started, in epoch seconds; None: there is none, or it waits to be reaped."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
