"""`millrace ui`: Dagster's web server and daemon on loopback, over the instance's history of runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.terminal import AsJson, duration, print_json, say, stdout_reserved

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestration.settings import Settings

READY_S = 120.0
_STOP_S = 20.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ui")(ui)


def ui(
    port: Annotated[int | None, typer.Option("--port", "-p", min=1, max=65535, help="Instead of UI_PORT.")] = None,
    no_daemon: Annotated[
        bool, typer.Option("--no-daemon", help="Only the web server: no schedules, sensors or queued runs.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when it answers; `millrace down` ends it with the stack.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Open Dagster's web interface on 127.0.0.1 with its daemon, and print the address. Ctrl-C ends both.

    Assets, checks and runs are there without a stack; materializing needs one (`millrace up`).

    Examples:

        millrace ui

        millrace ui --port 3001 --no-daemon

        millrace ui --detach --json
    """
    import time

    start = time.monotonic()
    with stdout_reserved():
        from orchestration.embedded.ports import check_free
        from orchestration.pipeline import dagster_environment
        from orchestration.settings import load_settings

        settings = load_settings()
        if port is not None:
            settings = settings.with_changes(ui_port=port)
        check_free(settings, ["ui_port"])
        environment = dagster_environment(settings)
    address = f"http://127.0.0.1:{settings.ui_port}"
    log = settings.instance_dir / "logs" / "ui.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    say(f"starting Dagster, its log is {log}")
    # So that a SIGTERM ends the servers too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(settings, with_daemon=not no_daemon, is_detached=detach),
            cwd=settings.repo_root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            # A group of its own: Ctrl-C reaches it through us, once.
            start_new_session=True,
        )
    try:
        wait_until_ready(process, address, log)
        document = {"url": address, "pid": process.pid, "daemon": not no_daemon, "log": str(log)}
        if as_json:
            print_json(document)
        else:
            typer.echo(address)
        if detach:
            return
        say(f"ready after {duration(time.monotonic() - start)}; Ctrl-C ends it")
        sys.stdout.flush()
        code = process.wait()
    except KeyboardInterrupt:
        stop(process)
        say("Dagster has ended")
        return
    except BaseException:
        stop(process)
        raise
    from orchestration.errors import StackError

    raise StackError(f"Dagster ended by itself with exit code {code}", hint=f"its log is {log}")


def command(settings: Settings, *, with_daemon: bool, is_detached: bool) -> list[str]:
    """Return the command line: `dagster dev` shares one code server between web server and daemon."""
    from orchestration.embedded.server import INSTANCE_MARK

    # Python ignores -X options that it does not know; by this one `millrace down` finds the process.
    marks = ["-X", f"{INSTANCE_MARK}{settings.instance_dir}"] if is_detached else []
    program = ["dagster", "dev", "--log-level", "warning"] if with_daemon else ["dagster_webserver"]
    place = ["-h", "127.0.0.1", "-p", str(settings.ui_port), "-m", "orchestration.definitions"]
    return [sys.executable, *marks, "-m", *program, *place]


def wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Wait until the web server answers.

    Raises:
        StackError: it ended, or does not answer in time; carries the end of its log.
    """
    import httpx

    from orchestration.errors import StackError
    from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

    def look() -> tuple[bool | None, object]:
        if process.poll() is not None:
            raise StackError(
                f"Dagster did not start: {last_line(log)}",
                hint=f"its log is {log}; `millrace doctor` looks for reasons",
            )
        try:
            # Loopback: a proxy of the environment has no business here.
            with httpx.Client(timeout=2.0, trust_env=False) as client:
                status = client.get(f"{address}/server_info").status_code
        except httpx.HTTPError as error:
            return None, type(error).__name__
        return (True if status == 200 else None), f"HTTP {status}"

    try:
        wait_for(look, what=f"Dagster at {address}", timeout_s=READY_S, backoff=Backoff(0.2, 0.5))
    except WaitTimeoutError as error:
        raise StackError(f"{error}: {last_line(log)}", hint=f"its log is {log}") from error


def last_line(log: Path) -> str:
    """Return the line of a log that says most: the last error, else the last line."""
    try:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        lines = []
    telling = [line for line in lines if "Error" in line or "rror:" in line]
    return (telling or lines or ["its log is empty"])[-1].strip()


def stop(process: subprocess.Popen[bytes], kill_after_s: float = _STOP_S) -> None:
    """End the servers and whatever they started; waits until they are gone."""
    import psutil

    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    _each(family[:1], lambda one: one.send_signal(signal.SIGINT))
    _, alive = psutil.wait_procs(family, timeout=kill_after_s)
    _each(alive, lambda one: one.kill())
    psutil.wait_procs(alive, timeout=5)


def _each(processes: list[Any], act: Callable[[Any], None]) -> None:
    import psutil

    for process in processes:
        try:
            act(process)
        except psutil.NoSuchProcess:
            continue


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
