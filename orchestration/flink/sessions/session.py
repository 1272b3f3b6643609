"""A gateway session of one runtime mode, with heartbeat: the way to run statements."""

from __future__ import annotations

import atexit
import logging
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self
from weakref import WeakSet

from orchestration.errors import ConfigError, FlinkError, MillraceError, SessionLostError, UnreachableError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.reading.pages import NORMAL_TIMING, Timing, shorten_sql
from orchestration.flink.reading.result import Result
from orchestration.flink.sessions.heartbeat import Heartbeat
from orchestration.flink.sessions.session_spec import SessionSpec, setting_text
from orchestration.flink.text.durations import parse_duration
from orchestration.flink.text.mode import RUNTIME_MODE, Mode, check_mode
from orchestration.sql import quote_literal

__all__ = [
    "EXIT_S",
    "RUNTIME_MODE",
    "Mode",
    "Session",
    "SessionSpec",
    "check_mode",
    "close_sessions",
    "open_session",
    "open_spec",
]

_log = logging.getLogger(__name__)

IDLE_TIMEOUT = "sql-gateway.session.idle-timeout"
MAX_SESSIONS = "sql-gateway.session.max-num"
EXIT_S = 5.0
"""How long the end of the process may take for closing sessions; the gateway expires what is left."""


class Session:
    """An open session. Context manager; one statement at a time, so one session a thread.

    Args:
        settings: what it was opened with.
        effective: its whole configuration, as the gateway tells it.

    Attributes:
        max_sessions: how many sessions the gateway takes; None when it does not say.
    """

    def __init__(
        self,
        gateway: GatewayClient,
        handle: str,
        mode: Mode,
        timing: Timing,
        *,
        settings: Mapping[str, str] | None = None,
        effective: Mapping[str, str] | None = None,
    ) -> None:
        self.handle = handle
        self.mode: Mode = mode
        self.max_sessions = _number((effective or {}).get(MAX_SESSIONS, ""))
        self._gateway, self._timing, self._settings = gateway, timing, {**(settings or {}), RUNTIME_MODE: mode}
        self._pid, self._is_closed = os.getpid(), False
        self._heartbeat = Heartbeat(gateway, handle, _heartbeat_s(timing, effective or {}))
        _open_sessions.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def is_lost(self) -> bool:
        """Whether the heartbeat found the session gone."""
        return self._heartbeat.is_lost

    @property
    def is_own(self) -> bool:
        """Whether this process opened it; a forked child must not share it with its parent."""
        return self._pid == os.getpid()

    def execute(self, sql: str, config: Mapping[str, str] | None = None) -> Result:
        """Run one statement and wait until Flink accepted or refused it.

        Args:
            config: settings for this statement only, such as `pipeline.name`.

        Raises:
            StatementError: the parser, planner or connector refused it.
            SessionLostError: the gateway forgot the session (restart, expiry).
            ConfigError: `config` holds a runtime mode.
            OutcomeUnknownError: the gateway did not answer the submit; it may have been taken.
        """
        result = self.submit(sql, config)
        result.wait_ready()
        return result

    def submit(self, sql: str, config: Mapping[str, str] | None = None) -> Result:
        """Send one statement and return at once: errors and the job id come with `Result.wait_ready`.

        Raises: as `execute`.
        """
        if config and RUNTIME_MODE in config:
            # After planning in one mode, the other fails inside Flink with an AssertionError.
            raise ConfigError(
                f"{RUNTIME_MODE} is fixed when a session opens ({self.mode})", hint="open another session"
            )
        self._check_usable()
        operation = self._gateway.submit_statement(self.handle, sql, config)
        return Result(self._gateway, self.handle, operation, sql, self._timing)

    def configure(self, sql: str) -> None:
        """Run one SET, RESET, CREATE, ALTER, DROP, USE, LOAD or ADD JAR and wait for it.

        Raises:
            StatementError, FlinkError, SessionLostError, UnreachableError: it was not done.
        """
        self._check_usable()
        self._gateway.configure_session(self.handle, sql)

    def restore_settings(self) -> None:
        """Set again what the session was opened with, runtime mode included: a RESET takes that too."""
        for key, value in self._settings.items():
            self.configure(f"SET {quote_literal(key)} = {quote_literal(value)}")

    def close(self, *, once_within_s: float | None = None) -> bool:
        """Close the session. Idempotent; jobs started by INSERT go on. A forked child leaves it to its parent.

        Args:
            once_within_s: for a process that ends: one attempt, and this long.

        Returns:
            False when the gateway did not answer.
        """
        if self._is_closed:
            return True
        self._is_closed = True
        self._heartbeat.stop()
        _open_sessions.discard(self)
        if not self.is_own:
            return True
        try:
            self._gateway.close_session(self.handle, once_within_s=once_within_s)
        except (UnreachableError, RuntimeError) as error:
            # The work is done; the gateway drops idle sessions by itself, and one that is gone has none.
            # RuntimeError: the client was closed first.
            _log.warning("session %s was not closed: %s", self.handle, error)
            return False
        return True

    def _check_usable(self) -> None:
        if self._is_closed:
            raise FlinkError("the Flink session is closed", context={"session": self.handle})
        self._heartbeat.ensure()
        if self._heartbeat.is_lost:
            raise SessionLostError(
                "the gateway no longer knows the session", hint="run again", context={"session": self.handle}
            )


_open_sessions: WeakSet[Session] = WeakSet()


def close_sessions(sessions: Iterable[Session], within_s: float = EXIT_S) -> None:
    """Close sessions one after the other, within a time; those of a gateway that does not answer are left to it."""
    deadline = time.monotonic() + within_s
    for session in sessions:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not session.close(once_within_s=min(left_s, 2.0)):
            return


@atexit.register
def _close_all() -> None:
    """End of the interpreter: no session of this process stays open, and the jobs of its SELECTs end with them."""
    close_sessions([session for session in _open_sessions if session.is_own])


def open_session(
    gateway: GatewayClient,
    *,
    mode: Mode,
    properties: Mapping[str, str] | None = None,
    init: Sequence[str] = (),
    name: str = "millrace",
    timing: Timing = NORMAL_TIMING,
) -> Session:
    """Open a session in `mode` and run the `init` statements (CREATE CATALOG, USE, SET…) in order.

    Args:
        mode: fixed for the life of the session.
        properties: Flink settings for all its statements.
        name: for people who look at the gateway's log; no identity.

    Raises:
        ConfigError: `properties` names another runtime mode or holds a value that is not text.
        UnreachableError: the gateway does not answer.
        FlinkError, StatementError: an init statement was refused; names its number. The session is closed.
    """
    settings = _check_properties(mode, properties or {})
    handle = gateway.open_session(name, settings)
    try:
        effective = gateway.session_config(handle)
    except BaseException:
        gateway.close_session(handle)
        raise
    session = Session(gateway, handle, mode, timing, settings=settings, effective=effective)
    try:
        actual = effective.get(RUNTIME_MODE, "").lower()
        if actual != mode:
            raise FlinkError(f"the gateway opened the session in mode {actual!r} instead of {mode!r}")
        for number, statement in enumerate(init, start=1):
            try:
                gateway.configure_session(handle, statement)
            except MillraceError as error:
                where = f"statement {number} of {len(init)} that open the session failed: {error.message}"
                error_type = FlinkError if type(error) is MillraceError else type(error)
                context = {**error.context, "statement": shorten_sql(statement), "index": number}
                raise error_type(where, hint=error.hint, context=context) from error
    except BaseException:
        session.close()
        raise
    return session


def open_spec(gateway: GatewayClient, spec: SessionSpec, timing: Timing = NORMAL_TIMING) -> Session:
    """Open a session as `spec` says. Raises: as `open_session`."""
    name = f"millrace-{spec.name}-{uuid.uuid4().hex[:8]}"
    return open_session(
        gateway, mode=spec.mode, properties=spec.settings, init=spec.statements(), name=name, timing=timing
    )


def _heartbeat_s(timing: Timing, effective: Mapping[str, str]) -> float:
    """Three beats fit into the gateway's idle timeout, so that one may get lost."""
    try:
        idle_s = parse_duration(effective.get(IDLE_TIMEOUT, "")).total_seconds()
    except ValueError:  # not told, or in a form of a newer Flink
        return timing.heartbeat_s
    return min(timing.heartbeat_s, idle_s / 3) if idle_s else timing.heartbeat_s  # 0: sessions never expire


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _check_properties(mode: Mode, properties: Mapping[str, object]) -> dict[str, str]:
    texts = {key: setting_text(key, value) for key, value in properties.items()}
    if texts.get(RUNTIME_MODE, mode) != mode:
        raise ConfigError(f"{RUNTIME_MODE}={texts[RUNTIME_MODE]} contradicts the session's mode {mode}")
    return {RUNTIME_MODE: mode, **texts}
