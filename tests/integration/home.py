"""A home of its own for whole commands: state folder, topics, and a catalog server, on the shared broker and Flink.

The commands, Dagster's assets and dbt's sources know the tables of the taxi dataset by their real names; a catalog of
its own is what keeps two tests apart.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.contracts.resolve import active_contract
from orchestration.embedded.catalog_server import catalog_server
from orchestration.embedded.plan import jar_paths, make_folders
from orchestration.embedded.readiness import catalog_ready
from orchestration.settings import Settings, load_settings
from orchestration.waiting import Backoff, wait_for
from tests.integration.conftest import stack_environ
from tests.integration.lake import Lake, closed_port

COMMAND_S = 400.0
STOP_S = 15.0
"""For one command on a busy machine; a whole run takes 15 s on a quiet one."""


@dataclass(frozen=True)
class Ended:
    """A process that ended."""

    code: int
    out: str
    err: str


class Command:
    """A process of which each line of stderr is watched."""

    def __init__(self, arguments: list[str], environ: Mapping[str, str], cwd: Path, log: Path) -> None:
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                arguments, env=dict(environ), cwd=cwd, stdout=out, stderr=err, stdin=subprocess.DEVNULL
            )

    def wait_for_line(self, *parts: str) -> str:
        """Wait until stderr has a line that holds all parts, and return it.

        Raises:
            AssertionError: the process ended without it.
        """

        def look() -> tuple[str | None, object]:
            is_over = self._process.poll() is not None
            lines = self._err.read_text(errors="replace").splitlines()
            found = next((line for line in lines if all(part in line for part in parts)), None)
            assert found is not None or not is_over, f"ended with {self._process.returncode}:\n" + "\n".join(lines)
            return found, lines[-3:]

        return wait_for(look, what=f"line {parts}", timeout_s=COMMAND_S, backoff=Backoff(0.01, 0.03))

    def kill(self) -> None:
        """End it as the kernel does when memory is gone."""
        self._process.send_signal(signal.SIGKILL)
        code = self._process.wait()
        assert code == -signal.SIGKILL, f"it was over before the kill, with {code}"

    def wait(self) -> Ended:
        """Wait for its end."""
        try:
            code = self._process.wait(COMMAND_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        return Ended(code, self._out.read_text(errors="replace"), self._err.read_text(errors="replace"))


@dataclass(frozen=True)
class Home:
    """Environment of the commands, and what they leave."""

    settings: Settings
    environ: Mapping[str, str]
    folder: Path

    def start(self, *arguments: str, **environ: str) -> Command:
        """Start `millrace ARGUMENTS`."""
        return self.start_program([sys.executable, "-m", "orchestration.cli.main", *arguments], **environ)

    def millrace(self, *arguments: str, **environ: str) -> Ended:
        """Run `millrace ARGUMENTS` to its end."""
        return self.start(*arguments, **environ).wait()

    def start_program(self, arguments: list[str], **environ: str) -> Command:
        """Start a program in the root of the repository."""
        log = self.folder / f"{time.monotonic_ns()}"
        return Command(arguments, {**self.environ, **environ}, self.settings.repo_root, log)

    def script(self, name: str, *arguments: str, **environ: str) -> Ended:
        """Run a program of the environment that this test runs in."""
        return self.start_program([str(Path(sys.executable).parent / name), *arguments], **environ).wait()

    @property
    def lake(self) -> Lake:
        """The tables, as the commands know them."""
        return Lake(self.settings, active_contract(self.settings), self.folder)


@contextmanager
def open_home(settings: Settings, folder: Path, **environ: str) -> Iterator[Home]:
    """Give a home with a catalog of its own; ends the catalog afterwards."""
    name, port = f"home-{uuid.uuid4().hex[:8]}", closed_port()
    given = stack_environ(folder / "state", "home") | {
        "BROKER_URL": settings.broker_url,
        "FLINK_REST_URL": settings.flink_rest_url,
        "FLINK_SQL_GATEWAY_URL": settings.flink_sql_gateway_url,
        "CATALOG_PORT": str(port),
        "CATALOG_URI": f"http://127.0.0.1:{port}",
        "TOPIC": f"{name}.raw",
        "DLQ_TOPIC": f"{name}.dlq",
        **environ,
    }
    own = load_settings(environ=given)
    make_folders(own.instance_dir)
    server = catalog_server(own, jar_paths(own, "catalog"))
    server.write_files(own.instance_dir)
    with (own.instance_dir / "logs" / "catalog.log").open("wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {server.command(own.instance_dir)}"], stdout=log, stderr=log
        )
    try:
        wait_for(lambda: catalog_ready(own), what="the home's catalog", timeout_s=120)
        yield Home(own, own_environ(given), folder)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def own_environ(given: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without settings of its own, with those of the home."""
    foreign = ("MILLRACE_", "DAGSTER_", "DBT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | dict(given)
