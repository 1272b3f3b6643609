"""Keeps one gateway session alive from a daemon thread."""

from __future__ import annotations

import logging
import os
import threading

from orchestration.errors import MillraceError, SessionLostError
from orchestration.flink.gateway import GatewayClient

_log = logging.getLogger(__name__)


class Heartbeat:
    """Sends a heartbeat every `interval_s` seconds until stopped or until the gateway forgets the session.

    A daemon thread, so that a forgotten session never keeps the process alive. Threads do not survive a fork:
    `ensure` starts a new one in the child.
    """

    def __init__(self, gateway: GatewayClient, session: str, interval_s: float) -> None:
        self._gateway, self._session, self._interval_s = gateway, session, interval_s
        self._is_lost = False
        self._start()

    @property
    def is_lost(self) -> bool:
        """Whether the gateway said that the session does not exist."""
        return self._is_lost

    def ensure(self) -> None:
        """Start the thread again if the process was forked."""
        if self._pid != os.getpid():
            self._start()

    def stop(self) -> None:
        """End the thread; a heartbeat under way is not waited for."""
        self._stopped.set()

    def _start(self) -> None:
        self._pid, self._stopped = os.getpid(), threading.Event()
        name = f"flink-heartbeat-{self._session[:8]}"
        threading.Thread(target=self._run, args=(self._stopped,), name=name, daemon=True).start()

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._interval_s):
            try:
                self._gateway.heartbeat(self._session)
            except SessionLostError:
                self._is_lost = True
                return
            except (MillraceError, RuntimeError) as error:
                # RuntimeError: the client was closed before the session. A missed beat is no loss: the idle timeout is
                # many intervals long, and the next statement tells if the session is gone.
                _log.debug("heartbeat of session %s failed: %s", self._session, error)
