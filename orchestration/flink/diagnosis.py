"""What the doctor makes of what it read: pure judgements, each a finding with a remedy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

Level = Literal["PASS", "WARN", "FAIL"]

SAVEPOINT_DIR = "execution.checkpointing.savepoint-dir"
TESTED = "2.1"
_NEEDED_API = "V2"
_MOST_SKEW_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        hint: what to do; None after a PASS.
        is_unreachable: a service did not answer, so that nothing behind it could be looked at.
    """

    name: str
    level: Level
    message: str
    hint: str | None = None
    is_unreachable: bool = False


def judge_versions(gateway: str, cluster: str) -> Finding:
    """Return whether gateway and cluster are of one version, and of one that we are tested with."""
    if _minor(gateway) != _minor(cluster):
        return Finding(
            "versions",
            "FAIL",
            f"the gateway is Flink {gateway}, the cluster {cluster}",
            "run both from one release: plans of one version do not run on another",
        )
    if _minor(gateway) != TESTED:
        return Finding("versions", "WARN", f"Flink {gateway}; Millrace is tested with {TESTED}", "watch for changes")
    return Finding("versions", "PASS", f"gateway {gateway}, cluster {cluster}")


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def judge_api(versions: Iterable[str]) -> Finding:
    """Return whether the gateway speaks the REST API that the client needs."""
    known = sorted(versions)
    if _NEEDED_API in known:
        return Finding("api", "PASS", f"REST API {', '.join(known)}")
    return Finding(
        "api", "FAIL", f"the gateway speaks {', '.join(known) or 'nothing'}, not {_NEEDED_API}", "use Flink 2.1"
    )


def judge_slots(free: int, total: int, taskmanagers: int) -> Finding:
    """Return whether a query would find a slot."""
    text = f"{free} of {total} slots free on {taskmanagers} TaskManagers"
    if total == 0:
        return Finding(
            "slots", "FAIL", "no TaskManager is registered", "`millrace status`, `millrace logs taskmanager`"
        )
    if free == 0:
        return Finding("slots", "WARN", text, "stop a query or a job: `millrace sql list --all`")
    return Finding("slots", "PASS", text)


def judge_clock(before: datetime, theirs: datetime, after: datetime) -> Finding:
    """Return whether Flink's clock agrees with ours: it was read between the times `before` and `after`."""
    skew_s = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    if skew_s > _MOST_SKEW_S:
        side = "behind" if theirs < before else "ahead"
        return Finding(
            "clock",
            "WARN",
            f"Flink's clock is {skew_s:.1f} s {side}",
            "keep both machines in time (NTP): windows on processing time and ages of checkpoints depend on it",
        )
    return Finding("clock", "PASS", f"Flink's clock agrees within {_MOST_SKEW_S:.0f} s")


def judge_connectors(found: Mapping[str, bool]) -> Iterator[Finding]:
    """Yield one finding on the connectors that are there, and one on each that is not."""
    present = [name for name, is_there in found.items() if is_there]
    if present:
        yield Finding("connectors", "PASS", ", ".join(present))
    for name in (name for name, is_there in found.items() if not is_there):
        yield Finding(
            "connectors",
            "WARN",
            f"connector {name} is missing",
            "put its jar on the class path of the cluster and of the gateway, and restart both",
        )


def judge_savepoint_dir(folder: str | None, *, is_local: bool) -> Finding:
    """Return whether savepoints have a place; a folder on this machine is looked at.

    Args:
        is_local: Flink runs on this machine, so that `file:` means its disk.
    """
    if not folder:
        return Finding(
            "savepoint folder",
            "WARN",
            "none is set: queries are stopped by cancelling them, and their state is lost",
            f"set SQL_ENGINE_SAVEPOINT_DIR, or {SAVEPOINT_DIR} of the cluster",
        )
    path = local_path(folder)
    if path is None or not is_local:
        return Finding("savepoint folder", "PASS", f"{folder}; --deep makes one there")
    existing = next(one for one in (path, *path.parents) if one.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Finding("savepoint folder", "PASS", f"{folder} is writable")
    return Finding("savepoint folder", "FAIL", f"{folder} is not writable", "change its owner or its permissions")


def local_path(address: str) -> Path | None:
    """Return the path of a `file:` address or of a bare path; None for another file system."""
    parts = urlsplit(address)
    if parts.scheme in ("", "file") and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path) if parts.scheme else address)
    return None
