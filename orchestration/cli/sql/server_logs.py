"""What the local servers' logs say about a job, and about the gateway's sessions."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SERVERS = ("jobmanager", "taskmanager", "gateway")
_TAIL_BYTES = 20_000_000
"""Of each log; the files are rotated before they are much longer."""

_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[,.]\d{3}")
_OPENED = re.compile(r"Session ([0-9a-f-]{36}) is opened, and the number of current sessions is (\d+)")
_CLOSED = re.compile(r"Session: ([0-9a-f-]{36}) is closed")


@dataclass(frozen=True)
class LogLine:
    """One line; `at` is the time of the entry that it belongs to, as the log writes it."""

    server: str
    at: str
    text: str


def lines_about(folder: Path, words: Sequence[str], count: int) -> list[LogLine]:
    """Return the last lines of the servers' logs that hold one of the words, by time; stack traces go with their entry.

    Secrets are removed. A log that is not there holds nothing.
    """
    from orchestration.redaction import redact

    if not words or not count:
        return []
    found = [line for server in SERVERS for line in deque(_entries(folder, server, words), maxlen=count)]
    found.sort(key=lambda line: line.at)  # stable: lines of one entry stay together
    return [LogLine(line.server, line.at, redact(line.text)) for line in found[-count:]]


def _entries(folder: Path, server: str, words: Sequence[str]) -> Iterator[LogLine]:
    is_wanted, at = False, ""
    for text in _last_lines(folder / f"{server}.log"):
        stamp = _STAMP.match(text)
        if stamp:
            at, is_wanted = stamp[0], any(word in text for word in words)
        if is_wanted:
            yield LogLine(server, at, text)


def open_sessions(log: Path) -> dict[str, str]:
    """Return the gateway's open sessions with the time at which each was opened, oldest first.

    The count in each line tells which of them a restart of the gateway ended.
    """
    found: dict[str, str] = {}
    for text in _last_lines(log):
        opened, closed = _OPENED.search(text), _CLOSED.search(text)
        if opened:
            stamp = _STAMP.match(text)
            found[opened[1]] = stamp[0].replace(",", ".") if stamp else ""
            for lost in list(found)[: -int(opened[2])]:
                del found[lost]
        elif closed:
            found.pop(closed[1], None)
    return found


def _last_lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
        for line in file:
            yield line.decode("utf-8", errors="replace").rstrip("\n")
