"""What `millrace doctor` looks at on this machine: interpreter, platform, disk, memory, ports, the stack."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import psutil

from orchestration.embedded.ports import PORT_FIELDS, listener_of
from orchestration.embedded.stack import Stack
from orchestration.errors import MillraceError
from orchestration.settings import Settings
from orchestration.settings.names import env_name

Level = Literal["PASS", "WARN", "FAIL"]

_PYTHON_LEAST, _PYTHON_BELOW = (3, 11), (3, 14)
_DISK_LEAST, _DISK_GOOD = 1 << 30, 5 << 30
_MEMORY_LEAST, _MEMORY_GOOD = 3 << 30, 5 << 30
_SYSTEMS = frozenset({"Linux", "Darwin"})
_PROCESSORS = frozenset({"x86_64", "amd64", "arm64", "aarch64"})


@dataclass(frozen=True)
class Finding:
    """One thing that doctor looked at. `hint` says what to do; None after a PASS."""

    name: str
    level: Level
    message: str
    hint: str | None = None


def find(name: str, look: Callable[[], Finding], failure: Level = "FAIL") -> Finding:
    """Return what `look` finds; an error of ours is a finding of level `failure`."""
    try:
        return look()
    except MillraceError as error:
        return Finding(name, failure, error.message, error.hint)


def check_machine(settings: Settings | None) -> Iterator[Finding]:
    """Yield the findings on the machine; without settings only those that need none."""
    yield judge_python(sys.version_info[:2], sys.executable)
    yield judge_platform(platform.system(), platform.machine())
    memory = psutil.virtual_memory()
    yield judge_memory(memory.total, memory.available, is_up=False if settings is None else _is_up(settings))
    if settings is None:
        return
    folder = next(path for path in (settings.state_dir, *settings.state_dir.parents) if path.exists())
    yield judge_disk(str(folder), shutil.disk_usage(folder).free)
    yield find("stack", lambda: stack_state(settings))
    yield from check_ports(settings)


def judge_python(version: tuple[int, ...], executable: str) -> Finding:
    """Judge the interpreter: 3.11 to 3.13."""
    text = f"{'.'.join(map(str, version))} ({executable})"
    if _PYTHON_LEAST <= version < _PYTHON_BELOW:
        return Finding("python", "PASS", text)
    return Finding("python", "FAIL", text, "Millrace needs Python 3.11 to 3.13; ./millrace looks for one")


def judge_platform(system: str, machine: str) -> Finding:
    """Judge system and processor: there must be a Java runtime for them."""
    text = f"{system} on {machine}"
    if system in _SYSTEMS and machine.lower() in _PROCESSORS:
        return Finding("platform", "PASS", text)
    return Finding("platform", "FAIL", text, "use Linux or macOS (on Windows: WSL 2) on x86_64 or arm64")


def judge_memory(total: int, available: int, *, is_up: bool) -> Finding:
    """Judge memory in bytes; the embedded stack takes about 2 GiB, a run 1 GiB more."""
    text = f"{available / (1 << 30):.1f} of {total / (1 << 30):.1f} GiB available"
    if is_up or available >= _MEMORY_GOOD:
        return Finding("memory", "PASS", text)
    level: Level = "WARN" if available >= _MEMORY_LEAST else "FAIL"
    return Finding(
        "memory", level, text, "close other programs, or lower TASKMANAGER_MEMORY_MB (`millrace config show` lists all)"
    )


def judge_disk(folder: str, free: int) -> Finding:
    """Judge free bytes where the state lives."""
    text = f"{free / (1 << 30):.1f} GiB free in {folder}"
    if free >= _DISK_GOOD:
        return Finding("disk", "PASS", text)
    hint = "free space, or set MILLRACE_STATE_DIR to a folder on another disk"
    return Finding("disk", "WARN" if free >= _DISK_LEAST else "FAIL", text, hint)


def stack_state(settings: Settings) -> Finding:
    """Return whether the embedded stack runs, in whole, in part or not at all."""
    servers = Stack(settings).status()
    down = [server.name for server in servers if server.state != "RUNNING"]
    if not down:
        return Finding("stack", "PASS", f"instance {settings.instance}: all {len(servers)} servers run")
    if len(down) == len(servers):
        return Finding("stack", "WARN", f"instance {settings.instance} is not running", "`millrace up` starts it")
    return Finding(
        "stack",
        "FAIL",
        f"instance {settings.instance}: {', '.join(down)} not running",
        f"`millrace logs {down[0]}` says why; `millrace up` starts what is down",
    )


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each port that somebody but this instance's servers listens on, or one that says none."""
    own = {process.pid for process in Stack(settings).processes()}
    busy = 0
    for field in PORT_FIELDS:
        port: int = getattr(settings, field)
        owner = listener_of(port)
        if owner is None or owner.pid in own or (owner.pid is None and own):
            continue
        busy += 1
        is_ui = field == "ui_port"
        yield Finding(
            "ports",
            "WARN" if is_ui else "FAIL",
            f"port {port} is in use by {owner}",
            "that may be `millrace ui` already" if is_ui else f"end it, or set {env_name(field)} to another port",
        )
    if not busy:
        ports = ", ".join(str(getattr(settings, field)) for field in PORT_FIELDS)
        yield Finding("ports", "PASS", f"{ports}: free or ours")


def _is_up(settings: Settings) -> bool:
    return find("stack", lambda: stack_state(settings)).level == "PASS"
