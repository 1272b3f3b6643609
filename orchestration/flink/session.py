"""A gateway session of one runtime mode, with heartbeat: the way to run statements."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal, Self

from orchestration.errors import ConfigError, FlinkError, MillraceError, SessionLostError, UnreachableError
from orchestration.flink.gateway import GatewayClient
from orchestration.flink.heartbeat import Heartbeat
from orchestration.flink.results import NORMAL_TIMING, Result, Timing, shorten_sql

_log = logging.getLogger(__name__)

Mode = Literal["batch", "streaming"]
RUNTIME_MODE = "execution.runtime-mode"


class Session:
    """An open session. Context manager; one statement at a time, so one session a thread."""

    def __init__(self, gateway: GatewayClient, handle: str, mode: Mode, timing: Timing) -> None:
        self.handle, self.mode = handle, mode
        self._gateway, self._timing = gateway, timing
        self._pid, self._is_closed = os.getpid(), False
        self._heartbeat = Heartbeat(gateway, handle, timing.heartbeat_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

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
        if self._is_closed:
            raise FlinkError("the Flink session is closed", context={"session": self.handle})
        if config and RUNTIME_MODE in config:
            # After planning in one mode, the other fails inside Flink with an AssertionError.
            raise ConfigError(
                f"{RUNTIME_MODE} is fixed when a session opens ({self.mode})", hint="open another session"
            )
        self._heartbeat.ensure()
        if self._heartbeat.is_lost:
            raise SessionLostError(
                "the gateway no longer knows the session", hint="run again", context={"session": self.handle}
            )
        operation = self._gateway.submit_statement(self.handle, sql, config)
        return Result(self._gateway, self.handle, operation, sql, self._timing)

    def close(self) -> None:
        """Close the session. Idempotent; jobs started by INSERT go on. A forked child leaves it to its parent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._heartbeat.stop()
        if self._pid != os.getpid():
            return
        try:
            self._gateway.close_session(self.handle)
        except UnreachableError as error:
            # The work is done; the gateway drops idle sessions by itself, and one that is gone has none.
            _log.warning("session %s was not closed: %s", self.handle, error)


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
    session = Session(gateway, handle, mode, timing)
    try:
        effective = gateway.session_config(handle).get(RUNTIME_MODE, "").lower()
        if effective != mode:
            raise FlinkError(f"the gateway opened the session in mode {effective!r} instead of {mode!r}")
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


def _check_properties(mode: Mode, properties: Mapping[str, str]) -> dict[str, str]:
    for key, value in properties.items():
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance] - comes from files too
            raise ConfigError(f"Flink setting {key} must be text, not {value!r}")
    if properties.get(RUNTIME_MODE, mode) != mode:
        raise ConfigError(f"{RUNTIME_MODE}={properties[RUNTIME_MODE]} contradicts the session's mode {mode}")
    return {RUNTIME_MODE: mode, **properties}
