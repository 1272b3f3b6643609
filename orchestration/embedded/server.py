"""One Java server of the stack, as data: command line, files to render, how to stop it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.embedded.java import java_binary

INSTANCE_MARK = "-Dmillrace.instance="
"""Java option on the command line of every server of ours; leftovers are recognised by it."""
SERVER_MARK = "-Dmillrace.server="


@dataclass(frozen=True)
class Server:
    """A server: `java_args` go into an argument file, `files` are written before it starts.

    Attributes:
        title: what people call it.
        port: its port for clients, None if it has none.
        after: names of servers that must be ready before it is started.
        stop_wait_s: time for a clean stop before it is killed.
    """

    name: str
    title: str
    java_args: tuple[str, ...]
    port: int | None = None
    url: str | None = None
    files: Mapping[Path, str] = field(default_factory=dict[Path, str])
    after: tuple[str, ...] = ()
    stop_wait_s: int = 8

    def args_file(self, run_dir: Path) -> Path:
        """Return the path of its argument file."""
        return run_dir / f"{self.name}.args"

    def command(self, instance_dir: Path) -> str:
        """Return the shell-quoted command line; the marks come first so that they are visible to `ps`."""
        return shlex.join(
            [
                str(java_binary()),
                f"{INSTANCE_MARK}{instance_dir}",
                f"{SERVER_MARK}{self.name}",
                f"@{self.args_file(instance_dir / 'run')}",
            ]
        )

    def write_files(self, instance_dir: Path) -> None:
        """Write the argument file and the configuration; overwrites."""
        run_dir = instance_dir / "run"
        for path, text in {**self.files, self.args_file(run_dir): argument_file(self.java_args)}.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def argument_file(arguments: Sequence[str]) -> str:
    """Return the text of a Java argument file (`java @file`), one quoted argument a line."""
    return "".join('"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"\n' for item in arguments)


def properties(values: Mapping[str, object]) -> str:
    """Return the text of a Java properties file."""
    return "".join(f"{key}={str(value).replace(chr(92), chr(92) * 2)}\n" for key, value in values.items())


def class_path(entries: Sequence[Path]) -> str:
    """Return a class path."""
    return ":".join(map(str, entries))


def common_jvm_args(run_dir: Path, *, heap_mb: int, is_short_lived_code: bool) -> list[str]:
    """Return the JVM options of every server.

    Args:
        is_short_lived_code: only the quick compiler: starts faster and stays smaller, at the cost of peak speed.
    """
    options = [
        f"-Xmx{heap_mb}m",
        "-Xms16m",
        "-Xss512k",
        # Nothing of ours in the system's folder of temporary files: native libraries, performance counters.
        f"-Djava.io.tmpdir={run_dir / 'tmp'}",
        "-XX:-UsePerfData",
        f"-XX:ErrorFile={run_dir / 'hs_err_%p.log'}",
        "-XX:+ExitOnOutOfMemoryError",
        # Compression buffers come from malloc, which keeps what is freed: 340 MiB in a TaskManager after one month.
        "-XX:+UnlockExperimentalVMOptions",
        "-XX:TrimNativeHeapInterval=10000",
        "-Djava.net.preferIPv4Stack=true",
        "-Dfile.encoding=UTF-8",
        "-Duser.timezone=UTC",
    ]
    return [*options, "-XX:TieredStopAtLevel=1"] if is_short_lived_code else options
