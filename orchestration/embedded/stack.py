"""The five servers as one thing: up, down, restart, status."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from orchestration import locking
from orchestration.embedded import flink_cluster, kafka, ports
from orchestration.embedded.plan import jar_paths, make_plan
from orchestration.embedded.readiness import LOOKS
from orchestration.embedded.supervisor import ServerState, Supervisor, config_text, end_leftovers, our_processes
from orchestration.errors import StackError
from orchestration.settings import Settings
from orchestration.settings.envfile import read_env_file
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

TITLES = {
    "kafka": "Kafka",
    "catalog": "Iceberg REST catalog",
    "jobmanager": "Flink JobManager",
    "taskmanager": "Flink TaskManager",
    "gateway": "Flink SQL Gateway",
}
_AFTER = {"taskmanager": "jobmanager"}
"""A TaskManager that finds no JobManager tries again only after 10 s."""


@dataclass(frozen=True)
class Event:
    """Progress of a start: `state` is fetching, starting or ready; `seconds` since it began."""

    server: str
    state: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class ServerStatus:
    """One server. `state` is the supervisor's word, or STOPPED; memory is the resident size in MiB."""

    name: str
    title: str
    state: str
    pid: int | None
    uptime_s: float | None
    port: int | None
    endpoint: str | None
    rss_mb: float | None


@dataclass(frozen=True)
class UpResult:
    """What `up` did. `settings` carry the chosen ports; `ended_leftovers` counts processes of a crashed stack."""

    settings: Settings
    servers: tuple[ServerStatus, ...]
    seconds: float
    was_running: bool
    ended_leftovers: int


OnEvent = Callable[[Event], None]
OnWait = Callable[[str], None]


class Stack:
    """The embedded stack of one instance."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.instance_dir = settings.instance_dir
        self.supervisor = Supervisor(self.instance_dir)

    def up(self, on_event: OnEvent | None = None, on_wait: OnWait | None = None) -> UpResult:
        """Start what does not run and return when every server answers. Idempotent; a second `up` waits for the first.

        Raises:
            StackError: a server ended or did not get ready in time (with the end of its log), or the disk is full.
            PortInUseError: a port belongs to another process.
        """
        progress = _Progress(on_event)
        with map_disk_errors(self.instance_dir), self._lock(on_wait):
            was_running, ended = self.supervisor.is_alive(), 0
            if was_running:
                check_same_ports(self.settings)
                self._start(TITLES, progress)
            else:
                ended = end_leftovers(self.instance_dir, only_servers=True)
                self._start_anew(progress)
            return UpResult(self.settings, self.status(), progress.seconds, was_running, ended)

    def down(self) -> int:
        """Stop all servers in the reverse order of starting; returns how many processes were ended. Idempotent."""
        with self._lock():
            ended = self._stop_supervised() if self.supervisor.is_alive() else 0
            ended += end_leftovers(self.instance_dir)
            if self.settings.instance == "default":
                # It takes its ports from the settings at each start; only other instances keep theirs.
                self.settings.stack_env_path.unlink(missing_ok=True)
            return ended

    def _stop_supervised(self) -> int:
        running = [name for name, state in self.supervisor.states().items() if state.is_running]
        with ThreadPoolExecutor(len(TITLES)) as pool:
            # The broker and the catalog go last: what still writes may finish.
            for group in ({"gateway", "taskmanager", "jobmanager"}, {"kafka", "catalog"}):
                list(pool.map(self.supervisor.stop, [name for name in running if name in group]))
        self.supervisor.shutdown()
        return len(running) + 1

    def restart(self, name: str, on_event: OnEvent | None = None) -> None:
        """Stop one server and start it again; returns when it answers.

        Raises:
            StackError: there is no such server, or the stack is down.
        """
        check_name(name)
        with self._lock():
            if not self.supervisor.is_alive():
                raise StackError("the stack is not running", hint="start it with `millrace up`")
            self.supervisor.stop(name)
            self._start([name], _Progress(on_event))

    def status(self) -> tuple[ServerStatus, ...]:
        """Return the servers in the order of starting."""
        states = self.supervisor.states() if self.supervisor.is_alive() else {}
        return tuple(self._status(name, states.get(name)) for name in TITLES)

    def is_up(self) -> bool:
        """Whether every server has a process."""
        return all(server.state == "RUNNING" for server in self.status())

    def log_path(self, name: str) -> Path:
        """Return the log file of a server."""
        check_name(name)
        return self.instance_dir / "logs" / f"{name}.log"

    def processes(self) -> list[psutil.Process]:
        """Return supervisor and servers."""
        return our_processes(self.instance_dir)

    def _lock(self, on_wait: OnWait | None = None) -> AbstractContextManager[None]:
        return locking.hold(
            self.settings.state_dir,
            f"{self.settings.instance}.stack",
            wait_s=self.settings.stack_timeout_s,
            on_wait=on_wait,
        )

    def _start_anew(self, progress: _Progress) -> None:
        def on_jars(done: int, total: int) -> None:
            progress.tell("jars", "fetching", f"{done >> 20} of {total >> 20} MiB")

        plan = make_plan(self.settings, on_jars)
        self.settings = plan.settings
        for server in plan.servers:
            server.write_files(self.instance_dir)
        self.supervisor.config_path.write_text(config_text(self.instance_dir, plan.servers), encoding="utf-8")
        self.supervisor.start_daemon(flink_cluster.environment(self.settings))
        self._start(TITLES, progress)

    def _start(self, names: Iterable[str], progress: _Progress) -> None:
        """Start servers side by side, each after the ones it needs; returns when all are ready."""
        futures: dict[str, Future[None]] = {}
        given_up = threading.Event()

        def bring_up(name: str) -> None:
            if needed := futures.get(_AFTER.get(name, "")):
                needed.result()
            if name == "kafka":
                kafka.format_storage(self.settings, jar_paths(self.settings, "kafka"))
            self.supervisor.start(name)
            progress.tell(name, "starting")
            self._wait_ready(name, given_up)
            progress.tell(name, "ready")

        with ThreadPoolExecutor(len(TITLES)) as pool:
            try:
                for name in names:
                    futures[name] = pool.submit(bring_up, name)
                for future in wait(futures.values(), return_when=FIRST_EXCEPTION).done:
                    future.result()
            finally:
                # After a failure or Ctrl-C nobody waits for the others.
                given_up.set()

    def _wait_ready(self, name: str, given_up: threading.Event) -> None:
        first_pid: int | None = None

        def look() -> tuple[bool | None, object]:
            nonlocal first_pid
            if given_up.is_set():
                raise StackError(f"gave up waiting for {TITLES[name]}: another server failed or you interrupted")
            state = self.supervisor.states()[name]
            first_pid = first_pid or state.pid
            if state.has_ended or (state.pid and state.pid != first_pid):
                raise StackError(
                    f"{TITLES[name]} ended while it started: {self._log_end(name)}",
                    hint=f"`millrace logs {name}` shows all of its log",
                )
            return LOOKS[name](self.settings)

        try:
            wait_for(look, what=f"{TITLES[name]} to answer", timeout_s=self.settings.stack_timeout_s, backoff=_BACKOFF)
        except WaitTimeoutError as error:
            raise StackError(str(error), hint=f"`millrace logs {name}` shows its log") from error

    def _log_end(self, name: str) -> str:
        """Return the line of the log that says most about an end: the last exception, else the last line."""
        try:
            lines = self.log_path(name).read_text(encoding="utf-8", errors="replace").splitlines()[-200:]
        except FileNotFoundError:
            return "it wrote no log"
        named = [line for line in lines if "Exception" in line or "Error" in line]
        telling = [line for line in named if not line.lstrip().startswith("at ")]
        return (telling or lines or ["its log is empty"])[-1].strip()

    def _status(self, name: str, state: ServerState | None) -> ServerStatus:
        port, endpoint = {
            "kafka": (self.settings.kafka_port, self.settings.broker_url),
            "catalog": (self.settings.catalog_port, self.settings.catalog_uri),
            "jobmanager": (self.settings.flink_rest_port, self.settings.flink_rest_url),
            "gateway": (self.settings.flink_sql_gateway_port, self.settings.flink_sql_gateway_url),
        }.get(name, (None, None))
        if state is None or state.pid is None:
            return ServerStatus(
                name, TITLES[name], state.state if state else "STOPPED", None, None, port, endpoint, None
            )
        try:
            rss = psutil.Process(state.pid).memory_info().rss / (1 << 20)
        except psutil.Error:
            rss = None
        uptime = max(time.time() - state.started_at, 0.0)
        return ServerStatus(name, TITLES[name], state.state, state.pid, uptime, port, endpoint, rss)


_BACKOFF = Backoff(0.1, 0.4)


class _Progress:
    """Seconds since a start began, told to whoever listens."""

    def __init__(self, on_event: OnEvent | None) -> None:
        self._on_event, self._began = on_event, time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def tell(self, server: str, state: str, detail: str = "") -> None:
        if self._on_event:
            self._on_event(Event(server, state, self.seconds, detail))


def check_same_ports(settings: Settings) -> None:
    """Refuse settings that look for a running stack elsewhere than it is.

    Raises:
        StackError: names the first endpoint that differs.
    """
    running = read_env_file(settings.stack_env_path)
    for name, value in ports.endpoints(settings).items():
        if name != "UI_PORT" and running.get(name, value) != value:
            raise StackError(
                f"the running stack {settings.instance} has {name}={running[name]}, the settings say {value}",
                hint="`millrace down`, then `millrace up` with the new setting; or unset it",
            )


def check_name(name: str) -> None:
    """Refuse names that are not servers."""
    if name not in TITLES:
        raise StackError(f"there is no server {name!r}", hint=f"servers: {', '.join(TITLES)}")


@contextmanager
def map_disk_errors(instance_dir: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StackError(
                f"the disk of {instance_dir} is full", hint="free space, or set MILLRACE_STATE_DIR to another disk"
            ) from error
        if error.errno in {errno.EACCES, errno.EROFS}:
            raise StackError(
                f"cannot write {error.filename or instance_dir}: {error.strerror}",
                hint="set MILLRACE_STATE_DIR to a folder of yours",
            ) from error
        raise
