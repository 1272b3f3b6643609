"""One writer a table: an advisory file lock that the kernel releases when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.errors import BusyError
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for


@contextmanager
def hold(folder: Path, name: str, *, wait_s: float, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock `name` for the block; wait up to `wait_s` for another holder.

    Args:
        folder: where lock files live; processes that share it exclude each other.
        on_wait: called once with a sentence if the lock is not free at once.

    Raises:
        BusyError: another process still holds it after `wait_s`; names its pid.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.lock"
    with path.open("a+", encoding="utf-8") as file:

        def take() -> tuple[bool | None, str]:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None, _holder(path)
            return True, ""

        taken, holder = take()
        if taken is None:
            if on_wait is not None:
                on_wait(f"waiting for {name}: held by {holder}")
            try:
                wait_for(take, what=f"lock {name}", timeout_s=wait_s, backoff=Backoff(0.1, 1.0))
            except WaitTimeoutError as error:
                raise BusyError(
                    f"{name} is in use by {error.last_seen} (waited {wait_s:g} s)",
                    hint="let the other run finish, or cancel it, then run again",
                ) from error
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid()}))
        file.flush()
        yield


def _holder(path: Path) -> str:
    try:
        return f"process {json.loads(path.read_text(encoding='utf-8'))['pid']}"
    except (ValueError, KeyError, OSError):
        return "another process"
