"""Sessions for queries that leave nothing behind: opened when needed, for one caller at a time, kept for a while."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass, field

from orchestration.errors import FlinkError, JobTimeoutError, MillraceError, SessionLostError, UnreachableError
from orchestration.flink.client.failures import OverloadedError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.reading.pages import NORMAL_TIMING, Timing
from orchestration.flink.sessions.session import Session, SessionSpec, close_sessions, open_spec

DISCARD_S = 5.0
"""A session that is thrown away is closed in one attempt: its caller has waited for the gateway already."""

_LOOK_S = 0.5
"""How often to try again when the gateway has no room: its sessions also end without our doing."""


@dataclass(eq=False)
class Lease:
    """A session that one caller has for himself until `release` or `discard`; both are idempotent."""

    session: Session
    _pool: SessionPool = field(repr=False)
    _key: Hashable = field(repr=False)
    _is_over: bool = False

    def release(self, error: BaseException | None = None) -> None:
        """Give the session back.

        Args:
            error: what went wrong while it was used, or None. After an error that leaves the state of the session
                uncertain it is closed instead.
        """
        if error is not None and is_uncertain(error):
            self.discard()
        elif self._end():
            self._pool._take_back(self.session, self._key)  # pyright: ignore[reportPrivateUsage]

    def discard(self) -> None:
        """Close the session instead of giving it back."""
        if self._end():
            self._pool._drop(self.session, self._key)  # pyright: ignore[reportPrivateUsage]

    def _end(self) -> bool:
        was_over, self._is_over = self._is_over, True
        return not was_over


def is_uncertain(error: BaseException) -> bool:
    """Whether a session may still be busy, or gone, after this error: no answer, no result in time, an interrupt."""
    return isinstance(error, (UnreachableError, JobTimeoutError, SessionLostError)) or not isinstance(
        error, MillraceError
    )


class SessionPool:
    """Sessions by what they are like. Usable from several threads; a forked child starts with an empty pool.

    Args:
        max_sessions: of one kind (specification and mode) at a time.
        wait_s: for a session to become free.
        idle_s: until an idle session is closed.
    """

    def __init__(
        self,
        gateway: GatewayClient,
        *,
        max_sessions: int = 4,
        wait_s: float = 30.0,
        idle_s: float = 300.0,
        timing: Timing = NORMAL_TIMING,
        on_opened: Callable[[float], object] | None = None,
    ) -> None:
        self._gateway, self._timing, self._on_opened = gateway, timing, on_opened
        self._max_sessions, self._wait_s, self._idle_s = max_sessions, wait_s, idle_s
        self._is_closed = False
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._idle: list[tuple[Hashable, Session, float]] = []  # oldest first
        self._open: Counter[Hashable] = Counter()
        self._busy: dict[Session, Hashable] = {}
        # How many sessions the gateway takes; None: not known yet. It lets more in when they come at the same moment,
        # so the first one is opened alone.
        self._room: float | None = None
        self._is_first = True
        self._sweeper: threading.Timer | None = None

    @contextmanager
    def session(self, spec: SessionSpec) -> Generator[Session]:
        """Lend a session for the block.

        Raises:
            OverloadedError: none became free in time.
            MillraceError: as `open_session`.
        """
        lease = self.lease(spec)
        try:
            yield lease.session
        except BaseException as error:
            lease.release(error)
            raise
        lease.release()

    def lease(self, spec: SessionSpec) -> Lease:
        """Lend a session until the lease is released. Raises: as `session`."""
        if self._pid != os.getpid():  # the sessions are the parent's
            self._start()
        key = spec.key()
        deadline = time.monotonic() + self._wait_s
        is_full = False
        while True:
            session, victim = self._reserve(key, deadline, is_full=is_full)
            if session is not None:
                return Lease(session, self, key)
            try:
                return Lease(self._open_one(spec, key, victim), self, key)
            except FlinkError as error:
                if error.code != "session_limit":
                    raise
                is_full = not self._make_room()
                if is_full and time.monotonic() >= deadline:
                    raise self._overloaded(key, "the gateway takes no further session") from error

    def close(self) -> None:
        """Close all sessions, also those that are lent. Idempotent."""
        with self._changed:
            self._is_closed = True
            sessions = [*(session for _, session, _ in self._idle), *self._busy]
            self._idle.clear()
            self._busy.clear()
            self._open.clear()
            if self._sweeper is not None:
                self._sweeper.cancel()
            self._changed.notify_all()
        close_sessions(sessions)

    def stats(self) -> dict[tuple[str, str], int]:
        """Return (mode, `busy` or `idle`) to the number of open sessions."""
        with self._changed:
            found = [(session.mode, "idle") for _, session, _ in self._idle]
            found += [(session.mode, "busy") for session in self._busy]
        return dict(Counter(found))

    # --- taking -------------------------------------------------------------------------------------------------------

    def _reserve(self, key: Hashable, deadline: float, *, is_full: bool) -> tuple[Session | None, Session | None]:
        """Return an idle session; or None when the caller may open one, and the session to close before that.

        Args:
            is_full: the gateway has just refused a session.
        """
        with self._changed:
            while True:
                if self._is_closed:
                    raise FlinkError("the pool of Flink sessions is closed")
                session = self._take_idle(key)
                if session is not None:
                    self._busy[session] = key
                    return session, None
                left_s = deadline - time.monotonic()
                is_known = self._room is not None or self._is_first
                if not is_full and is_known and self._open[key] < self._max_sessions:
                    has_room = self._open.total() < (self._room or 1)
                    victim = None if has_room else self._pop_oldest()
                    if has_room or victim is not None:
                        self._open[key] += 1
                        self._is_first = False
                        return None, victim
                if left_s <= 0:
                    raise self._overloaded(key, f"{self._open[key]} sessions are in use")
                self._changed.wait(min(left_s, _LOOK_S) if is_full else left_s)
                is_full = False

    def _take_idle(self, key: Hashable) -> Session | None:
        """Return the idle session that was used last; the others may grow old enough to be closed."""
        for index in range(len(self._idle) - 1, -1, -1):
            kind, session, _ = self._idle[index]
            if kind == key:
                del self._idle[index]
                return session
        return None

    def _open_one(self, spec: SessionSpec, key: Hashable, victim: Session | None) -> Session:
        if victim is not None:
            victim.close()
        started = time.monotonic()
        try:
            session = open_spec(self._gateway, spec, self._timing)
        except BaseException:
            self._give_up_place(key)
            raise
        with self._changed:
            self._busy[session] = key
            self._room = session.max_sessions or math.inf
            self._changed.notify_all()
        if self._on_opened is not None:
            self._on_opened(time.monotonic() - started)
        return session

    def _make_room(self) -> bool:
        """Close the idle session that was used longest ago; False when there is none."""
        with self._changed:
            session = self._pop_oldest()
            self._changed.notify_all()
        if session is not None:
            session.close()
        return session is not None

    def _pop_oldest(self) -> Session | None:
        """Take the session that idles longest out of the account; the caller closes it."""
        if not self._idle:
            return None
        key, session, _ = self._idle.pop(0)
        self._forget_place(key)
        return session

    def _overloaded(self, key: Hashable, what: str) -> OverloadedError:
        return OverloadedError(
            f"no Flink session became free within {self._wait_s:g} s: {what}",
            hint="try again; SQL_ENGINE_POOL_MAX and sql-gateway.session.max-num are the limits",
            context={"in_use": self._open[key], "max_sessions": self._max_sessions},
        )

    # --- giving back --------------------------------------------------------------------------------------------------

    def _take_back(self, session: Session, key: Hashable) -> None:
        if session.is_lost:
            self._drop(session, key)
            return
        with self._changed:
            if self._busy.pop(session, None) is None:  # the pool was closed meanwhile
                return
            self._idle.append((key, session, time.monotonic()))
            self._sweep_later()
            self._changed.notify_all()

    def _drop(self, session: Session, key: Hashable) -> None:
        with self._changed:
            is_ours = self._busy.pop(session, None) is not None
        session.close(once_within_s=DISCARD_S)
        if is_ours:
            self._give_up_place(key)

    def close_idle(self) -> None:
        """Close all idle sessions: they are lost, or others need their place at the gateway."""
        while self._make_room():
            pass

    def _give_up_place(self, key: Hashable) -> None:
        with self._changed:
            self._forget_place(key)
            self._changed.notify_all()

    def _forget_place(self, key: Hashable) -> None:
        self._open[key] -= 1
        if self._open[key] <= 0:
            del self._open[key]
        self._is_first = self._room is None

    def _sweep_later(self) -> None:
        if self._sweeper is None and self._idle:
            wait_s = max(self._idle[0][2] + self._idle_s - time.monotonic(), 0.0)
            self._sweeper = threading.Timer(wait_s, self._sweep)
            self._sweeper.name, self._sweeper.daemon = "flink-session-pool", True
            self._sweeper.start()

    def _sweep(self) -> None:
        """Close what was idle for too long."""
        with self._changed:
            limit = time.monotonic() - self._idle_s
            old = [entry for entry in self._idle if entry[2] <= limit]
            self._idle = [entry for entry in self._idle if entry[2] > limit]
            self._sweeper = None
            if not self._is_closed:
                self._sweep_later()
        for key, session, _ in old:
            session.close()
            self._give_up_place(key)
