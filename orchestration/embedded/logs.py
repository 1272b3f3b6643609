"""The servers' log files: last lines, and following them over rotation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from orchestration.waiting import Backoff, wait_for


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a file, without line ends; none if it does not exist."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []


class Follower:
    """Reads what was appended to a file since the last look; starts over when the file was rotated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._rest = ""

    def new_lines(self) -> list[str]:
        """Return the complete lines that are new."""
        try:
            if self._path.stat().st_size < self._position:
                self._position, self._rest = 0, ""
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return []
        self._position += len(data)
        *lines, self._rest = (self._rest + data.decode("utf-8", errors="replace")).split("\n")
        return lines


def print_logs(
    paths: Mapping[str, Path],
    count: int,
    out: TextIO,
    *,
    follow: bool = False,
    sleep: Callable[[float], None] | None = None,
) -> None:
    """Write the last `count` lines of each log; with `follow`, go on until interrupted. Several logs get a prefix."""
    width = max(map(len, paths)) if len(paths) > 1 else 0
    followers = {name: Follower(path) for name, path in paths.items()} if follow else {}

    def write(name: str, lines: list[str]) -> None:
        prefix = f"{name:<{width}} | " if width else ""
        out.writelines(f"{prefix}{line}\n" for line in lines)
        out.flush()

    for name, path in paths.items():
        write(name, last_lines(path, count))

    def look() -> tuple[None, str]:
        for name, follower in followers.items():
            write(name, follower.new_lines())
        return None, "following"

    if follow:
        wait_for(look, what="an interrupt", timeout_s=float("inf"), backoff=Backoff(0.2, 0.5), sleep=sleep)
