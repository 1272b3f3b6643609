"""Keeps gateway sessions alive: one daemon thread a process, for all of them."""

from __future__ import annotations

import logging
import os
import threading
import time
from weakref import WeakKeyDictionary

from orchestration.errors import MillraceError, SessionLostError
from orchestration.flink.client.gateway import GatewayClient

_log = logging.getLogger(__name__)

MISSES_UNTIL_LOST = 3
_PATIENCE_S = 10.0
"""A gateway that hangs must not hold up the beats of other sessions for longer."""


class Heartbeat:
    """Beats for one session until stopped, lost or garbage; a forgotten session never keeps the process alive.

    Lost means that the gateway said so, or that three beats in a row were not answered.
    """

    def __init__(self, gateway: GatewayClient, session: str, interval_s: float) -> None:
        self.interval_s = interval_s
        self._gateway, self._session = gateway, session
        self._misses, self._is_lost, self._is_stopped = 0, False, False
        self.ensure()

    @property
    def is_lost(self) -> bool:
        """Whether the session is to be taken for gone."""
        return self._is_lost

    def ensure(self) -> None:
        """Beat again if this is the child of a fork, which has no threads."""
        if not self._is_stopped and not self._is_lost:
            _rounds.add(self)

    def stop(self) -> None:
        """End the beats; one under way is not waited for."""
        self._is_stopped = True
        _rounds.remove(self)

    def beat(self) -> bool:
        """Send one beat; return whether another one shall follow."""
        try:
            self._gateway.heartbeat(self._session, once_within_s=min(_PATIENCE_S, max(self.interval_s, 1.0)))
        except SessionLostError:
            self._is_lost = True
        except (MillraceError, RuntimeError) as error:
            # RuntimeError: the client was closed before the session.
            self._misses += 1
            self._is_lost = self._misses >= MISSES_UNTIL_LOST
            _log.debug("heartbeat %d of session %s missed: %s", self._misses, self._session, error)
        else:
            self._misses = 0
        if self._is_lost:
            _log.info("session %s is lost", self._session)
        return not self._is_lost and not self._is_stopped


class _Rounds:
    """When each heartbeat is due, and the thread that sends them. It ends when there is none left."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: WeakKeyDictionary[Heartbeat, float] = WeakKeyDictionary()
        self._thread: threading.Thread | None = None

    def __contains__(self, heartbeat: Heartbeat) -> bool:
        return heartbeat in self._due

    def __len__(self) -> int:
        return len(self._due)

    def add(self, heartbeat: Heartbeat) -> None:
        if heartbeat in self._due:
            return
        with self._changed:
            self._due[heartbeat] = time.monotonic() + heartbeat.interval_s
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flink-heartbeat", daemon=True)
                self._thread.start()
            self._changed.notify()

    def remove(self, heartbeat: Heartbeat) -> None:
        with self._changed:
            self._due.pop(heartbeat, None)
            self._changed.notify()

    def _run(self) -> None:
        while late := self._next():
            while late:  # emptied: references of the thread's own would keep forgotten sessions alive
                self._send(late.pop())

    def _send(self, heartbeat: Heartbeat) -> None:
        goes_on = heartbeat.beat()
        with self._changed:
            if not goes_on:
                self._due.pop(heartbeat, None)
            elif heartbeat in self._due:
                self._due[heartbeat] = time.monotonic() + heartbeat.interval_s

    def _next(self) -> list[Heartbeat]:
        """Wait until beats are due and return them; none when there is nothing left to wait for."""
        with self._changed:
            while True:
                now = time.monotonic()
                late = [heartbeat for heartbeat, when in self._due.items() if when <= now]
                next_at = min(self._due.values(), default=None)
                if late:
                    return late
                if next_at is None:
                    self._thread = None
                    return []
                self._changed.wait(next_at - now)


_rounds = _Rounds()


def _start_anew() -> None:
    """In a forked child the thread is gone, and the lock may be held by a thread that is gone too."""
    global _rounds
    _rounds = _Rounds()


os.register_at_fork(after_in_child=_start_anew)
