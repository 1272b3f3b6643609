"""The SQL engine: the one object through which commands, services, dbt and Dagster run Flink SQL."""

from __future__ import annotations

import asyncio
import atexit
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence, Set
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

import httpx

from orchestration.broker_security import write_login
from orchestration.errors import FlinkError, InputError, MillraceError
from orchestration.flink.client.connection import http_options
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.models import ClusterOverview, GatewayInfo
from orchestration.flink.client.probe import Probe
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.monitoring.logs import configure_logs
from orchestration.flink.monitoring.metrics import ClusterFigures, EngineMetrics
from orchestration.flink.operations import QueryOperations
from orchestration.flink.reading.feed import Limits
from orchestration.flink.reading.pages import Timing
from orchestration.flink.reading.row_limit import with_row_limit
from orchestration.flink.reading.stream import QUERY_DEFAULTS, RowStream
from orchestration.flink.runner import Runner
from orchestration.flink.script_run import StatementOutcome, run_statements
from orchestration.flink.sessions.logical import LogicalSession
from orchestration.flink.sessions.pool import SessionPool
from orchestration.flink.sessions.session import EXIT_S, SessionSpec
from orchestration.flink.text.catalog_sql import SESSION_CATALOG
from orchestration.flink.text.ddl import Path, read_head
from orchestration.flink.text.kinds import StatementKind, classify
from orchestration.flink.text.mode import Mode, check_mode
from orchestration.flink.text.script import Statement, split_script
from orchestration.flink.text.validate import (
    NO_PERMISSION,
    Permission,
    Problem,
    Purpose,
    check_deep,
    check_properties,
    check_sql,
    require_valid,
)
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.flink.queries.registry import Registry
    from orchestration.flink.reading.async_results import AsyncRowStream
    from orchestration.flink.tables.directory import TableDirectory
    from orchestration.flink.tables.profiles import Profiles
    from orchestration.flink.tables.schema import QuerySchema

__all__ = ["EXPLAIN_DETAILS", "SqlEngine", "StatementOutcome", "open_engine"]

_log = logging.getLogger(__name__)

EXPLAIN_DETAILS = ("estimated_cost", "changelog_mode", "json_execution_plan", "plan_advice")
_NO_LIMITS = Limits()
_EXPLAINED = frozenset(
    {StatementKind.QUERY, StatementKind.INSERT, StatementKind.STATEMENT_SET, StatementKind.CREATE_AS, StatementKind.DML}
)


class SqlEngine(QueryOperations):
    """Runs Flink SQL. Context manager; usable from several threads. See `open_engine`.

    It holds the clients of SQL Gateway and cluster, the pool of sessions for queries, and its counters.
    """

    def __init__(self, settings: Settings, *, transport: httpx.BaseTransport | None = None) -> None:
        self.settings = settings
        write_login(settings)
        self.metrics = EngineMetrics()
        options = http_options(settings, on_retry=self.metrics.http_retry)
        self.gateway = GatewayClient(settings.flink_sql_gateway_url, transport=transport, options=options)
        self.rest = FlinkRest(settings.flink_rest_url, timeout_s=None, transport=transport, options=options)
        self.timing = Timing(
            ready_timeout_s=settings.sql_engine_ready_timeout_s, heartbeat_s=settings.sql_engine_heartbeat_s
        )
        self.pool = SessionPool(
            self.gateway,
            max_sessions=settings.sql_engine_pool_max,
            wait_s=settings.sql_engine_pool_wait_s,
            idle_s=settings.sql_engine_pool_idle_s,
            timing=self.timing,
            on_opened=lambda seconds: self.metrics.phase("open", seconds),
        )
        self._probe = Probe(settings.flink_sql_gateway_url, settings.flink_rest_url, options, transport)
        self._runner = Runner(self.pool, self.rest, self.metrics)
        self._sessions: WeakSet[LogicalSession] = WeakSet()
        self._sinks: tuple[float, dict[str, str]] = (-math.inf, {})
        self._pid, self._is_closed = os.getpid(), False
        self.metrics.watch_sessions(self._count_sessions)
        self.metrics.watch_cluster(self._read_cluster)
        configure_logs(settings)
        _open_engines.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @cached_property
    def registry(self) -> Registry:
        """The persistent queries of this namespace; the database is opened at the first use."""
        from orchestration.flink.queries.registry import Registry

        longest_s = self.settings.sql_engine_start_timeout_s + self.settings.sql_engine_stop_timeout_s
        url, namespace = self.settings.query_registry, self.settings.sql_engine_namespace
        return Registry(url, namespace, lease_s=max(600.0, 2 * longest_s))

    @cached_property
    def profiles(self) -> Profiles:
        """The connector profiles."""
        from orchestration.flink.tables.profiles import load_profiles

        return load_profiles(self.settings.connector_profiles_path)

    @cached_property
    def tables(self) -> TableDirectory:
        """The tables that statements may name without making them."""
        from orchestration.flink.tables.directory import TableDirectory

        return TableDirectory(self.settings, live_sinks=self._live_sinks)

    # --- statements ---------------------------------------------------------------------------------------------------

    def execute(
        self,
        sql: str,
        *,
        mode: Mode = "streaming",
        properties: Mapping[str, object] | None = None,
        limits: Limits = _NO_LIMITS,
        allow: Set[Permission] = NO_PERMISSION,
    ) -> RowStream:
        """Run one statement and return its rows as a stream; errors of Flink come when the stream is read.

        A query runs with QUERY_DEFAULTS where `properties` says nothing else. Tables that the project declares are
        there by their names.

        Args:
            properties: Flink settings for this statement.
            allow: `ddl`, `dml`, `destructive`; without them only queries, SHOW, DESCRIBE and EXPLAIN are taken.

        Raises:
            SqlRefusedError: the SQL breaks a rule; nothing was sent.
            ConfigError: a property that callers may not set.
            UnreachableError: cluster (within 10 s) or gateway do not answer.
            OverloadedError: no session became free in time.
        """
        mode = check_mode(mode)
        config = SessionSpec(properties=properties or {}).settings
        check_properties(config)
        require_valid(sql, purpose="adhoc", mode=mode, allow=allow, properties=config)
        self._require_open()
        self._probe.require_cluster()
        kind = classify(sql)
        if kind is StatementKind.QUERY:
            config, limits = {**QUERY_DEFAULTS, **config}, with_row_limit(sql, limits)
        spec = SessionSpec(mode=mode, init=self._declarations(sql, mode))
        if kind.only_reads:
            return self._runner.in_pool(sql, config, spec, kind, limits)
        return self._runner.in_session(sql, config, self.session(spec), kind, limits)

    async def aexecute(
        self,
        sql: str,
        *,
        mode: Mode = "streaming",
        properties: Mapping[str, object] | None = None,
        limits: Limits = _NO_LIMITS,
        allow: Set[Permission] = NO_PERMISSION,
    ) -> AsyncRowStream:
        """Run one statement and return its rows as an asynchronous stream. Raises: as `execute`."""
        from orchestration.flink.reading.async_results import AsyncRowStream

        stream = await asyncio.to_thread(
            self.execute, sql, mode=mode, properties=properties, limits=limits, allow=allow
        )
        return AsyncRowStream(stream)

    def session(self, spec: SessionSpec | None = None) -> LogicalSession:
        """Return a session of the caller's own, who closes it. Nothing is sent before its first statement."""
        self._require_open()
        session = LogicalSession(
            self.gateway,
            spec or SessionSpec(),
            timing=self.timing,
            on_replay=self.metrics.replay,
            make_room=self.pool.close_idle,
        )
        self._sessions.add(session)
        return session

    def run_script(
        self,
        text: str,
        *,
        session: LogicalSession | None = None,
        mode: Mode = "streaming",
        allow: Set[Permission] = NO_PERMISSION,
        limits: Limits = _NO_LIMITS,
    ) -> Generator[StatementOutcome]:
        """Run the statements of a script one after the other, in one session, each when it is asked for.

        Everything is checked before the first one is sent. The first error ends the script; jobs that it started go on.

        Args:
            session: to run in; None opens one and closes it at the end.
            limits: of each query.

        Raises: as `execute`, and StatementError, JobFailedError of Flink.
        """
        require_valid(text, purpose="script", mode=mode, allow=allow)
        self._require_open()
        self._probe.require_cluster()
        return self._in_session_of(session, mode, split_script(text), limits)

    def _in_session_of(
        self, given: LogicalSession | None, mode: Mode, statements: Sequence[Statement], limits: Limits
    ) -> Generator[StatementOutcome]:
        session = given or self.session(SessionSpec("script", check_mode(mode)))
        try:
            yield from run_statements(self._runner, session, statements, self._declarations, limits)
        finally:
            if given is None:
                session.close()

    # --- looking at statements ----------------------------------------------------------------------------------------

    def describe(self, sql: str, mode: Mode = "streaming") -> QuerySchema:
        """Return columns, kinds of change and keys of a query. Starts no job.

        Raises:
            SqlRefusedError, StatementError, UnreachableError: as `execute`.
        """
        from orchestration.flink.tables.schema import describe_query

        require_valid(sql, mode=mode)
        if classify(sql) is not StatementKind.QUERY:
            raise InputError("only a query can be described", hint="for a table: SELECT * FROM it, or DESCRIBE it")
        with self.session(SessionSpec("describe", check_mode(mode), init=self._declarations(sql, mode))) as session:
            return describe_query(session, sql)

    def validate(
        self, sql: str, *, purpose: Purpose = "adhoc", mode: Mode = "streaming", deep: bool = False
    ) -> list[Problem]:
        """Return what is wrong with a text.

        Args:
            deep: ask Flink's planner too, when the rules find no error. Starts no job.

        Raises:
            UnreachableError, FlinkError: with `deep`, a service failed; that says nothing about the text.
        """
        problems = check_sql(sql, purpose=purpose, mode=mode)
        if not deep or any(problem.severity == "error" for problem in problems):
            return problems
        with self.pool.session(SessionSpec(mode=check_mode(mode), init=self._declarations(sql, mode))) as session:
            return [*problems, *check_deep(session, sql)]

    def explain(self, sql: str, mode: Mode = "streaming", details: Sequence[str] = ()) -> str:
        """Return the plan of a query, an INSERT, a CREATE TABLE AS or a statement set. Starts no job.

        Args:
            details: of EXPLAIN_DETAILS.

        Raises:
            InputError: an unknown detail, or a statement that has no plan.
            SqlRefusedError, StatementError, UnreachableError: as `execute`.
        """
        require_valid(sql, mode=mode, allow={"ddl", "dml"})
        unknown = [detail for detail in details if detail.lower() not in EXPLAIN_DETAILS]
        if unknown:
            raise InputError(f"EXPLAIN has no detail {unknown[0]!r}", hint=f"known are {', '.join(EXPLAIN_DETAILS)}")
        [statement] = split_script(sql)
        if statement.kind not in _EXPLAINED:
            raise InputError("this statement has no plan", hint="EXPLAIN takes queries, INSERT and statement sets")
        head = ", ".join(detail.upper() for detail in details)
        with (
            self.pool.session(SessionSpec(mode=check_mode(mode), init=self._declarations(sql, mode))) as session,
            session.execute(f"EXPLAIN {head} {statement.text}") as result,
        ):
            return "\n".join(str(row[0]) for row in result.rows())

    # --- services -----------------------------------------------------------------------------------------------------

    def probe(self) -> tuple[GatewayInfo, ClusterOverview]:
        """Return what gateway and cluster say about themselves, within 10 s.

        Raises:
            UnreachableError: code `gateway_unreachable` or `cluster_unreachable`.
        """
        return self._probe.both()

    def require_cluster(self) -> None:
        """Return if the cluster answers, or did within the last second. Raises: as `probe`."""
        self._probe.require_cluster()

    def wait_ready(self, timeout_s: float = 90.0) -> tuple[GatewayInfo, ClusterOverview]:
        """Wait until gateway and cluster answer: a stack that was just started needs half a minute.

        Raises:
            UnreachableError: names the one that is missing.
        """
        return self._probe.wait(timeout_s)

    def close(self) -> None:
        """Close streams, so that their jobs end, then sessions, within 5 s. Idempotent; a forked child closes nothing.

        Queries that were deployed go on.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if self._pid != os.getpid():
            return
        deadline = time.monotonic() + EXIT_S
        self._runner.close_streams(EXIT_S)
        for session in list(self._sessions):
            session.close()
        self.pool.close()
        self._runner.wait_settled(max(deadline - time.monotonic(), 0.0))
        self._probe.close()
        self.gateway.close()
        self.rest.close()

    # --- what statements may name -------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._is_closed:
            raise FlinkError("the SQL engine is closed")

    def _declarations(self, sql: str, mode: Mode) -> tuple[str, ...]:
        return tuple(table.ddl for table in self.tables.statements_for(sql, mode=mode))

    def forget_sinks(self) -> None:
        """Have the next statement read anew which tables persistent queries write: one of them was just changed."""
        self._sinks = (-math.inf, {})

    def _live_sinks(self) -> Mapping[str, str]:
        """Return the tables that persistent queries write, by name. Without a registry that answers there are none."""
        read_at, sinks = self._sinks
        if time.monotonic() - read_at >= self.settings.sql_engine_job_cache_ttl_s:
            try:
                ddl = [record.ddl for record in self.registry.active() if record.ddl]
            except MillraceError as error:
                _log.warning("the sinks of persistent queries are not known: %s", error)
                ddl = []
            made = [(read_head(statement.text), statement.text) for text in ddl for statement in split_script(text)]
            sinks = {head.path[-1]: text for head, text in made if head is not None and _is_of_session(head.path)}
            self._sinks = (time.monotonic(), sinks)
        return sinks

    def _read_cluster(self) -> ClusterFigures:
        from orchestration.flink.look import read_cluster

        return read_cluster(self.rest, self.list())

    def _count_sessions(self) -> Mapping[tuple[str, str], int]:
        own = Counter((mode, "busy") for session in list(self._sessions) for mode, _ in session.handles)
        return Counter(self.pool.stats()) + own


def _is_of_session(path: Path) -> bool:
    """Whether a table ends with its session; others are there for all sessions, and may share its last name."""
    return 0 < len(path) < 3 or path[:1] == SESSION_CATALOG[:1]


_open_engines: WeakSet[SqlEngine] = WeakSet()


@atexit.register
def _close_engines() -> None:
    for engine in list(_open_engines):
        engine.close()


def open_engine(settings: Settings, *, transport: httpx.BaseTransport | None = None) -> SqlEngine:
    """Return an engine; nothing is sent before it is used. Leave its block, or call `close`, at the end.

    Args:
        transport: replaces the network in tests.

    Raises:
        ConfigError: an address, a certificate file or the header's file is wrong.
    """
    return SqlEngine(settings, transport=transport)
