"""A session as callers see it: it has both runtime modes, survives the loss of its gateway sessions, and can be shared.

Behind it stand gateway sessions of one mode each. Whatever changes one of them (CREATE, USE, SET, …) goes into a
journal, and every other one follows the journal before its next statement.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from orchestration.errors import FlinkError, MillraceError, SessionLostError, StatementError
from orchestration.flink.client.failures import OverloadedError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.reading.pages import NORMAL_TIMING, Timing, shorten_sql
from orchestration.flink.reading.result import Result
from orchestration.flink.reading.stream import QUERY_DEFAULTS
from orchestration.flink.sessions.journal import Entry, Journal
from orchestration.flink.sessions.pool import DISCARD_S, is_uncertain
from orchestration.flink.sessions.session import Session, SessionSpec, close_sessions, open_spec
from orchestration.flink.text.ddl import Head, read_head
from orchestration.flink.text.kinds import StatementKind, classify
from orchestration.flink.text.mode import RUNTIME_MODE, Mode, check_mode
from orchestration.sql import quote_flink, quote_literal

_log = logging.getLogger(__name__)

MAX_SESSIONS = 4
"""Gateway sessions of one mode: as many statements of one logical session run at the same time."""

_CHANGES = frozenset(
    {
        StatementKind.CREATE_AS,
        StatementKind.DDL,
        StatementKind.SET,
        StatementKind.RESET,
        StatementKind.USE,
        StatementKind.LOAD,
    }
)


@dataclass(eq=False)
class _Member:
    """One gateway session, how far it has followed the journal, and what it could not take over."""

    session: Session
    position: int = 0
    is_busy: bool = True
    missing: list[tuple[Entry, StatementError]] = field(default_factory=list[tuple[Entry, StatementError]])


class LogicalSession:
    """Runs statements in both runtime modes over one set of tables, views and settings. Context manager.

    Opens its gateway sessions when they are needed: one a mode, more only while several threads run statements at once.
    A lost session is replaced, and the statement repeated if Flink cannot have run it or it only reads.

    Args:
        spec: of the sessions behind it; its mode is the one of statements that name none. `SET
            'execution.runtime-mode'` changes that mode, by going over to sessions of the other mode.
        on_replay: called each time a lost session is replaced.
        make_room: called when the gateway takes no further session, before one more try.
    """

    def __init__(
        self,
        gateway: GatewayClient,
        spec: SessionSpec,
        *,
        timing: Timing = NORMAL_TIMING,
        on_replay: Callable[[], object] | None = None,
        make_room: Callable[[], object] | None = None,
    ) -> None:
        self.spec = spec
        self._gateway, self._timing, self._on_replay, self._make_room = gateway, timing, on_replay, make_room
        self._journal = Journal(spec.statements())
        self._mode: Mode = spec.mode
        self._is_closed = False
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._members: list[_Member] = []
        self._opening = dict[Mode, int]()
        self._changed = threading.Condition()
        self._one_change = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def mode(self) -> Mode:
        """The mode of statements that name none."""
        return self._mode

    @property
    def handles(self) -> tuple[tuple[Mode, str], ...]:
        """Mode and handle of each gateway session behind this one, oldest first."""
        with self._changed:
            return tuple((member.session.mode, member.session.handle) for member in self._members)

    @property
    def settings(self) -> frozenset[str]:
        """Keys of the Flink settings that the specification or a SET gave."""
        with self._one_change:
            return frozenset(self.spec.settings) | self._journal.settings

    def execute(self, sql: str, config: Mapping[str, str] | None = None, *, mode: Mode | None = None) -> Result:
        """Run one statement and wait until Flink accepted or refused it.

        A query runs with QUERY_DEFAULTS where neither `config` nor the session says something else.

        Args:
            config: settings for this statement only. A runtime mode among them has the effect of `mode`.
            mode: None means the session's current one.

        Raises:
            StatementError: the parser, planner or connector refused it.
            SessionLostError: the session went away under a statement that may have had an effect.
            OutcomeUnknownError: the gateway did not answer the submit; it may have been taken.
            OverloadedError: all sessions of the mode are busy with other threads' statements.
        """
        return self._run(sql, config, mode, waits=True)

    def submit(self, sql: str, config: Mapping[str, str] | None = None, *, mode: Mode | None = None) -> Result:
        """Send one statement and return at once: errors and the job id come with `Result.wait_ready`.

        A statement that changes the session is waited for all the same, since the next one builds on it.

        Raises: as `execute`.
        """
        return self._run(sql, config, mode, waits=False)

    def declare(self, statements: Iterable[str]) -> None:
        """Make tables known to the sessions of the current mode, once. They may look different in the other mode.

        Args:
            statements: CREATE … IF NOT EXISTS, so that the session's own tables win.

        Raises: as `execute`.
        """
        with self._one_change:
            for sql in statements:
                if not self._journal.has_declared(sql, self._mode):
                    kind = classify(sql)
                    self._attempt(sql, {}, self._mode, kind, waits=True, for_mode_only=True).close()

    def close(self) -> None:
        """Close the gateway sessions, and with them the queries that still run; INSERT jobs go on. Idempotent."""
        with self._changed:
            self._is_closed = True
            members, self._members = self._members, []
            self._changed.notify_all()
        close_sessions(member.session for member in members)

    # --- one statement ------------------------------------------------------------------------------------------------

    def _run(self, sql: str, config: Mapping[str, str] | None, mode: Mode | None, *, waits: bool) -> Result:
        if self._pid != os.getpid():  # the sessions and the locks are the parent's
            self._start()
        kind = classify(sql)
        config = dict(config or {})
        if RUNTIME_MODE in config:
            mode = check_mode(config.pop(RUNTIME_MODE))
        if kind is StatementKind.QUERY:
            given = self.settings
            config = {key: value for key, value in QUERY_DEFAULTS.items() if key not in given} | config
        changes = kind in _CHANGES
        with self._one_change if changes else nullcontext():
            wanted = self._wanted_mode(sql) if kind in (StatementKind.SET, StatementKind.RESET) else None
            if wanted is None:
                return self._attempt(sql, config, mode or self._mode, kind, waits=waits or changes)
            # The other mode is another session; there, the statement only says what is the case already.
            result = self._attempt(_set(RUNTIME_MODE, wanted), {}, wanted, StatementKind.INFO, waits=True)
            self._mode = wanted
            return result

    def _wanted_mode(self, sql: str) -> Mode | None:
        """Return the runtime mode that SET or RESET asks for; None when it is about another setting."""
        head = read_head(sql)
        if head is None or head.path != (RUNTIME_MODE,):
            return None
        return check_mode(head.value) if head.action == "SET" else self.spec.mode

    def _attempt(
        self,
        sql: str,
        config: dict[str, str],
        mode: Mode,
        kind: StatementKind,
        *,
        waits: bool,
        for_mode_only: bool = False,
    ) -> Result:
        for is_repeat in (False, True):
            result: Result | None = None
            member = self._take(mode)
            try:
                self._follow(member)
                result = member.session.submit(sql, config or None)
                if waits:
                    result.wait_ready()
                if kind in _CHANGES:
                    self._remember(sql, kind, member, for_mode_only=for_mode_only)
            except SessionLostError as error:
                self._drop(member)
                if is_repeat or not (result is None or kind.only_reads):
                    raise _lost(error, sql, result) from error
                _log.info("session %s was lost: opening another one", member.session.handle)
                if self._on_replay is not None:
                    self._on_replay()
                continue
            except BaseException as error:
                self._drop(member) if is_uncertain(error) else self._give_back(member)
                if isinstance(error, StatementError) and member.missing:
                    raise _with_missing(error, member) from error
                raise
            self._give_back(member)
            return result
        raise AssertionError("the second attempt returns or raises")

    def _remember(self, sql: str, kind: StatementKind, member: _Member, *, for_mode_only: bool) -> None:
        """Write a statement that succeeded into the journal; the session it ran in is up to date."""
        head = read_head(sql)
        if head is not None and head.action == "RESET":
            member.session.restore_settings()
        if kind is StatementKind.CREATE_AS:
            # Repeating it would start its job once more. What it leaves behind is a table.
            if head is None or not self._journal.keeps(sql):
                return
            sql = _read_ddl(member.session, head)
        self._journal.record(sql, member.session.mode, for_mode_only=for_mode_only)
        member.position = self._journal.position
        with self._changed:
            self._journal.compact(min((other.position for other in self._members), default=0))

    def _follow(self, member: _Member) -> None:
        """Bring a session up to the journal's end.

        A view over an unbounded table cannot exist in batch mode: what another mode refuses is left out there, and
        named when a statement misses it.
        """
        for entry in self._journal.since(member.position, member.session.mode):
            try:
                member.session.configure(entry.sql)
            except StatementError as error:
                if entry.mode == member.session.mode:
                    raise _not_repeated(entry, error) from error
                _log.debug("mode %s does not take: %s", member.session.mode, error)
                member.missing.append((entry, error))
            else:
                if entry.head.action == "RESET":
                    member.session.restore_settings()
            member.position = entry.number
        member.position = max(member.position, self._journal.position)

    # --- gateway sessions ---------------------------------------------------------------------------------------------

    def _take(self, mode: Mode) -> _Member:
        """Return a session of the mode that nobody uses, an open one if there is one."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._is_closed or self._can_take(mode), self._timing.ready_timeout_s
            ):
                raise OverloadedError(
                    f"all {MAX_SESSIONS} sessions of mode {mode} are busy with statements of other threads",
                    hint="use a session of your own",
                )
            if self._is_closed:
                raise FlinkError("the Flink session is closed", context={"session": self.spec.name})
            for member in self._members:
                if member.session.mode == mode and not member.is_busy:
                    member.is_busy = True
                    return member
            self._opening[mode] = self._opening.get(mode, 0) + 1
        try:
            member = _Member(self._open(self.spec.in_mode(mode)))
        except BaseException:
            with self._changed:
                self._opening[mode] -= 1
                self._changed.notify_all()
            raise
        with self._changed:
            self._opening[mode] -= 1
            if not self._is_closed:
                self._members.append(member)
                return member
        member.session.close()
        raise FlinkError("the Flink session is closed", context={"session": self.spec.name})

    def _open(self, spec: SessionSpec) -> Session:
        try:
            return open_spec(self._gateway, spec, self._timing)
        except FlinkError as error:
            if error.code != "session_limit" or self._make_room is None:
                raise
        self._make_room()
        return open_spec(self._gateway, spec, self._timing)

    def _can_take(self, mode: Mode) -> bool:
        ours = [member for member in self._members if member.session.mode == mode]
        return any(not member.is_busy for member in ours) or len(ours) + self._opening.get(mode, 0) < MAX_SESSIONS

    def _give_back(self, member: _Member) -> None:
        with self._changed:
            member.is_busy = False
            self._changed.notify_all()

    def _drop(self, member: _Member) -> None:
        with self._changed:
            if member in self._members:
                self._members.remove(member)
            self._changed.notify_all()
        member.session.close(once_within_s=DISCARD_S)


def _set(key: str, value: str) -> str:
    return f"SET {quote_literal(key)} = {quote_literal(value)}"


def _read_ddl(session: Session, head: Head) -> str:
    path = ".".join(quote_flink(part) for part in head.path)
    [(ddl,)] = session.execute(f"SHOW CREATE TABLE {path}").fetch_all()
    return str(ddl)


def _lost(error: SessionLostError, sql: str, result: Result | None) -> SessionLostError:
    if result is None:
        return error
    return SessionLostError(
        f"the gateway lost the session while this statement ran: {shorten_sql(sql)}",
        hint="it may have had its effect: look before you run it again",
        context={**error.context, "operation": result.operation, "statement": shorten_sql(sql)},
    )


def _not_repeated(entry: Entry, error: StatementError) -> MillraceError:
    return FlinkError(
        f"the session was opened anew, and this statement of it can no longer be run: {shorten_sql(entry.sql)}: "
        f"{error.message}",
        hint="what it needs may be gone; open another session",
        context={**error.context, "statement": shorten_sql(entry.sql)},
    )


def _with_missing(error: StatementError, member: _Member) -> StatementError:
    entry, reason = member.missing[-1]
    hint = f"mode {member.session.mode} does not take '{shorten_sql(entry.sql)}': {reason.message}"
    return StatementError(error.message, hint=hint, context=error.context)
