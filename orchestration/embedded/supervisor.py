"""supervisord: its configuration, starting it in the background, and its XML-RPC interface on a Unix socket."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil

from orchestration.embedded.server import INSTANCE_MARK, SERVER_MARK, Server
from orchestration.errors import StackError
from orchestration.waiting import WaitTimeoutError, wait_for

_SOCKET_PATH_MOST = 90
"""A Unix socket's path has room for 104 characters on macOS; supervisord appends its pid while it binds."""
_ENDED_STATES = frozenset({"BACKOFF", "FATAL", "EXITED"})


@dataclass(frozen=True)
class ServerState:
    """What supervisord knows of a server. `started_at` in seconds since 1970, 0 if never."""

    name: str
    state: str
    pid: int | None
    started_at: float
    description: str

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self.state in {"RUNNING", "STARTING"}

    @property
    def has_ended(self) -> bool:
        """Whether the process ended although it should not."""
        return self.state in _ENDED_STATES


def socket_path(instance_dir: Path) -> Path:
    """Return the control socket: in the instance, or with a short name elsewhere if that path is too long."""
    path = instance_dir / "run" / "supervisor.sock"
    if len(str(path)) <= _SOCKET_PATH_MOST:
        return path
    digest = hashlib.sha256(str(instance_dir).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"millrace-{os.getuid()}-{digest}.sock"


def config_text(instance_dir: Path, servers: Iterable[Server]) -> str:
    """Return supervisord.conf. Programs are started one by one, so that each finds the ones it needs."""
    run_dir, logs = instance_dir / "run", instance_dir / "logs"
    lines = [
        "[unix_http_server]",
        f"file={_escape(socket_path(instance_dir))}",
        "chmod=0600",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "[supervisord]",
        f"directory={_escape(run_dir)}",
        f"logfile={_escape(logs / 'supervisord.log')}",
        "logfile_maxbytes=5MB",
        "logfile_backups=1",
        f"pidfile={_escape(run_dir / 'supervisord.pid')}",
        f"childlogdir={_escape(logs)}",
        "silent=true",
        "minfds=1024",
        "minprocs=64",
    ]
    for server in servers:
        lines += [
            f"[program:{server.name}]",
            f"command={_escape(server.command(instance_dir))}",
            "autostart=false",
            "autorestart=true",
            "startsecs=1",
            # The delay grows by a second with each try: 10 tries are about a minute.
            "startretries=10",
            "stopsignal=TERM",
            f"stopwaitsecs={server.stop_wait_s}",
            "redirect_stderr=true",
            f"stdout_logfile={_escape(logs / f'{server.name}.log')}",
            "stdout_logfile_maxbytes=20MB",
            "stdout_logfile_backups=2",
        ]
    return "\n".join(lines) + "\n"


def _escape(value: object) -> str:
    """supervisord expands `%(name)s` in values."""
    return str(value).replace("%", "%%")


class Supervisor:
    """The supervisord of one instance."""

    def __init__(self, instance_dir: Path) -> None:
        self._instance_dir = instance_dir
        self.config_path = instance_dir / "run" / "supervisord.conf"

    def _call(self, method: str, *args: Any) -> Any:
        """Call a method on a connection of its own (the proxy is not safe for threads)."""
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{socket_path(self._instance_dir)}")
        try:
            with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
                result: Any = proxy
                for part in f"supervisor.{method}".split("."):
                    result = getattr(result, part)
                return result(*args)
        finally:
            transport.close()

    def is_alive(self) -> bool:
        """Whether it answers."""
        try:
            return self._call("getState")["statename"] == "RUNNING"
        except (OSError, HTTPException, xmlrpc.client.Error):
            return False

    def start_daemon(self, environment: Mapping[str, str], timeout_s: float = 15.0) -> None:
        """Start supervisord in the background with the written configuration; returns when it answers.

        Raises:
            StackError: it does not; carries its output.
        """
        socket_path(self._instance_dir).unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(self.config_path)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            lines = (done.stdout + done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]
            raise StackError(f"supervisord did not start: {lines[-1]}")
        try:
            wait_for(lambda: (self.is_alive() or None, "no answer"), what="supervisord", timeout_s=timeout_s)
        except WaitTimeoutError as error:
            raise StackError(str(error), hint=f"read {self._instance_dir / 'logs' / 'supervisord.log'}") from error

    def states(self) -> dict[str, ServerState]:
        """Return the state of each server by name.

        Raises:
            StackError: it does not answer.
        """
        try:
            found: list[dict[str, Any]] = self._call("getAllProcessInfo")
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise StackError("the supervisor does not answer", hint="run `millrace up`; it cleans up") from error
        return {
            item["name"]: ServerState(
                item["name"], item["statename"], item["pid"] or None, float(item["start"]), item["description"]
            )
            for item in found
        }

    def start(self, name: str) -> None:
        """Start a server; no effect if it runs."""
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise StackError(f"{name} cannot be started: {fault.faultString}") from fault

    def stop(self, name: str) -> None:
        """Stop a server and wait for its end; no effect if it does not run."""
        try:
            self._call("stopProcess", name, True)
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise StackError(f"{name} cannot be stopped: {fault.faultString}") from fault

    def shutdown(self, timeout_s: float = 20.0) -> None:
        """End supervisord and what it still runs; returns when its process is gone."""
        daemon = self.process()
        self._call("shutdown")
        if daemon is not None:
            psutil.wait_procs([daemon], timeout=timeout_s)

    def process(self) -> psutil.Process | None:
        """Return the daemon's process, or None."""
        return next((process for process in our_processes(self._instance_dir) if _is_daemon(process)), None)


def our_processes(instance_dir: Path) -> list[psutil.Process]:
    """Return supervisord and servers of this instance, recognised by their command lines (whoever started them)."""
    mark, config = f"{INSTANCE_MARK}{instance_dir}", str(instance_dir / "run" / "supervisord.conf")
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline"]):
        arguments: list[str] = process.info["cmdline"] or []
        if mark in arguments or (config in arguments and "supervisor.supervisord" in arguments):
            found.append(process)
    return found


def _is_daemon(process: psutil.Process) -> bool:
    return "supervisor.supervisord" in (process.info["cmdline"] or [])


def _is_server(process: psutil.Process) -> bool:
    return any(argument.startswith(SERVER_MARK) for argument in process.info["cmdline"] or [])


def end_leftovers(instance_dir: Path, *, only_servers: bool = False) -> int:
    """End every process of this instance and their children, the supervisor first (it would restart the others).

    Args:
        only_servers: spare what else carries the instance's mark, such as Dagster's web server.

    Returns how many processes of the instance there were.
    """
    found = sorted(our_processes(instance_dir), key=lambda process: not _is_daemon(process))
    if only_servers:
        found = [process for process in found if _is_daemon(process) or _is_server(process)]
    ending = set(found)
    for process in found:
        try:
            ending.update(process.children(recursive=True))
            if _is_daemon(process):
                process.kill()
                process.wait(5)
            else:
                process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(list(ending), timeout=10)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=5)
    return len(found)
