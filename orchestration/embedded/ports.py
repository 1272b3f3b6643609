"""Ports of the stack: who owns a busy one, and which are free for a further instance."""

from __future__ import annotations

import json
import socket
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from orchestration.errors import PortInUseError
from orchestration.settings import Settings
from orchestration.settings.names import env_name
from orchestration.waiting import WaitTimeoutError, wait_for

PORT_FIELDS = ("kafka_port", "flink_rest_port", "flink_sql_gateway_port", "catalog_port", "ui_port")
_TITLES = {
    "kafka_port": "Kafka",
    "flink_rest_port": "the Flink JobManager",
    "flink_sql_gateway_port": "the Flink SQL Gateway",
    "catalog_port": "the Iceberg catalog",
    "ui_port": "Dagster's web server",
}
_ENDING_S = 10.0
_FIRST, _LAST = 20000, 31999
"""Below the range from which Linux and macOS take the ports of outgoing connections."""


@dataclass(frozen=True)
class PortOwner:
    """A process that listens on a port; None where the system does not tell (another user's process)."""

    name: str | None
    pid: int | None

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid else "a process of another user"


def listener_of(port: int) -> PortOwner | None:
    """Return who listens on a TCP port of this machine, or None if nobody does."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                return _owner(connection.pid)
    except psutil.AccessDenied:
        # macOS shows the connections of other users' processes to root only: look at our own one by one.
        for process in psutil.process_iter():
            try:
                found = process.net_connections("tcp")
            except psutil.Error:
                continue
            if any(item.status == psutil.CONN_LISTEN and item.laddr.port == port for item in found):
                return _owner(process.pid)
    return None if is_free(port) else PortOwner(None, None)


def _owner(pid: int | None) -> PortOwner:
    try:
        return PortOwner(psutil.Process(pid).name(), pid) if pid else PortOwner(None, None)
    except psutil.Error:
        return PortOwner(None, None)


def is_free(port: int) -> bool:
    """Whether a server could listen on the port on loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def in_use_error(field: str, port: int, owner: PortOwner) -> PortInUseError:
    """Return the error for a busy port: names port, owner and the setting to change."""
    return PortInUseError(
        f"port {port} for {_TITLES.get(field, field)} is in use by {owner}",
        hint=f"end that process, set {env_name(field)} to another port, or use --instance NAME for a second stack",
        context={"port": port, "pid": owner.pid, "process": owner.name, "setting": env_name(field)},
    )


def check_free(settings: Settings, fields: Iterable[str]) -> None:
    """Check that the servers' ports are free.

    Raises:
        PortInUseError: the first that is not.
    """
    for field in fields:
        port: int = getattr(settings, field)
        if (owner := _lasting_owner(port)) is not None:
            raise in_use_error(field, port, owner)


def _lasting_owner(port: int) -> PortOwner | None:
    """Return who listens on a port, once those that are about to end have ended.

    A process that was killed keeps its ports until the kernel has taken its memory back, and has no name any more.
    """

    def look() -> tuple[tuple[PortOwner | None] | None, object]:
        owner = listener_of(port)
        return (None if owner is not None and owner.pid is None else (owner,)), owner

    try:
        return wait_for(look, what=f"port {port}", timeout_s=_ENDING_S)[0]
    except WaitTimeoutError:
        return PortOwner(None, None)


def pick_free(
    seed: str, names: Iterable[str], taken: Iterable[int] = (), free: Callable[[int], bool] = is_free
) -> dict[str, int]:
    """Return a free port for each name. The search starts at a place that depends on `seed` only, so that instances
    keep apart and a repeated choice mostly comes out the same.
    """
    port = _FIRST + zlib.crc32(seed.encode()) % (_LAST - _FIRST)
    used, result = set(taken), dict[str, int]()
    for name in names:
        while port in used or not free(port):
            port = port + 1 if port < _LAST else _FIRST
        result[name] = port
        used.add(port)
    return result


def internal_ports(path: Path, seed: str, names: Iterable[str]) -> dict[str, int]:
    """Return the ports that only our servers use among themselves, kept in `path` while they stay free."""
    try:
        known: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    wanted = list(names)
    if set(known) != set(wanted) or not all(is_free(port) for port in known.values()):
        known = pick_free(f"{seed}/internal", wanted)
        path.write_text(json.dumps(known), encoding="utf-8")
    return known


def endpoints(settings: Settings) -> dict[str, str]:
    """Return the endpoints of the stack under the names of the environment: the content of `stack.env`."""
    fields = ("broker_url", "kafka_port", "flink_rest_url", "flink_rest_port", "flink_sql_gateway_url")
    fields += ("flink_sql_gateway_port", "catalog_uri", "catalog_port", "ui_port")
    return {env_name(field): str(getattr(settings, field)) for field in fields}


def env_text(values: Mapping[str, str]) -> str:
    """Return `stack.env`."""
    return "# Written by `millrace up`: where this instance listens.\n" + "".join(
        f"{key}={value}\n" for key, value in values.items()
    )
