"""What a stream engine does, and which one runs: `flink`, `fake`, or another package's by an entry point.

Code that only runs queries and deploys them asks `open_stream_engine`, so that STREAM_ENGINE_PROVIDER decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from orchestration.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

    from orchestration.flink.client.rest import FlinkRest
    from orchestration.flink.queries.lifecycle import StopMode
    from orchestration.flink.queries.listing import QueryView
    from orchestration.flink.queries.outcome import DeleteResult, DeployResult, StopResult
    from orchestration.flink.queries.reconcile import Repair
    from orchestration.flink.queries.registry import Registry
    from orchestration.flink.queries.spec import QuerySpec
    from orchestration.flink.reading.feed import Limits
    from orchestration.flink.reading.rows import Change, Column
    from orchestration.flink.reading.stream import End
    from orchestration.flink.text.mode import Mode
    from orchestration.settings import Settings

GROUP = "millrace.stream_engines"
"""Entry points of this group are functions that take `Settings` and return a `StreamEngine`."""


class Changes(Protocol):
    """The changes of a query, as they come. Leaving the block stops the query."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns in order."""
        ...

    @property
    def end(self) -> End | None:
        """How it ended; None while it goes on."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def __iter__(self) -> Iterator[Change]: ...

    def cancel(self) -> None:
        """Stop, from any thread."""
        ...


class StreamEngine(Protocol):
    """The five operations. `ref` is a query's id, name, job id or job name."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None, /
    ) -> None: ...

    def execute(
        self, sql: str, *, mode: Mode = "streaming", properties: Mapping[str, str] | None = None, limits: Limits = ...
    ) -> Changes:
        """Run an ad-hoc query and return its changes.

        Raises:
            SqlRefusedError: the SQL breaks a rule; nothing was sent.
        """
        ...

    def deploy(self, spec: QuerySpec, *, replace: bool = False) -> DeployResult:
        """Start a persistent query; the same definition again changes nothing.

        Raises:
            SqlRefusedError: the SQL breaks a rule; nothing was sent.
            ConflictError: another definition of that name runs, and `replace` is False.
        """
        ...

    def stop(self, ref: str, mode: StopMode | None = None) -> StopResult:
        """Stop a query; one that is over stays as it is.

        Raises:
            NotFoundError: there is none.
        """
        ...

    def delete(self, ref: str) -> DeleteResult:
        """Stop a query, drop its sink and forget it; a second time changes nothing.

        Raises:
            NotFoundError: there never was one.
        """
        ...

    def list(self) -> Sequence[QueryView]:
        """Return the queries that are not deleted, by name."""
        ...


@runtime_checkable
class FlinkBacked(StreamEngine, Protocol):
    """What an engine on a Flink cluster can do besides; who watches jobs asks for it."""

    @property
    def rest(self) -> FlinkRest:
        """Client of the cluster."""
        ...

    @property
    def registry(self) -> Registry:
        """The records of the queries."""
        ...

    def probe(self) -> object:
        """Ask both services for a sign of life.

        Raises:
            UnreachableError: code `cluster_unreachable` or `gateway_unreachable`.
        """
        ...

    def reconcile(self, *, recover: bool = False) -> Sequence[Repair]:
        """Bring records and cluster together again, and say what was done."""
        ...


OpenEngine = Callable[["Settings"], StreamEngine]


def open_stream_engine(settings: Settings) -> StreamEngine:
    """Return the engine that STREAM_ENGINE_PROVIDER names; the caller closes it by leaving its block.

    Raises:
        ConfigError: nobody provides that name.
    """
    name = settings.stream_engine_provider
    own = {"flink": _open_flink, "fake": _open_fake}
    if name in own:
        return own[name](settings)
    foreign = entry_points(group=GROUP)
    if name not in foreign.names:
        known = ", ".join([*own, *sorted(foreign.names)])
        raise ConfigError(
            f"STREAM_ENGINE_PROVIDER={name}: nobody provides this stream engine",
            hint=f"known are {known}; a package adds one by an entry point of group {GROUP}",
        )
    open_engine: OpenEngine = foreign[name].load()
    return open_engine(settings)


def _open_flink(settings: Settings) -> StreamEngine:
    from orchestration.flink.engine import open_engine

    return open_engine(settings)


def _open_fake(settings: Settings) -> StreamEngine:
    from orchestration.flink.fake_engine import FakeEngine

    return FakeEngine(settings.sql_engine_namespace)
