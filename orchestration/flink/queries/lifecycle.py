"""The operations on a deployed query: stop, restart, upgrade, delete, savepoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from orchestration.flink.queries.outcome import DeleteResult, DeployResult, OnProgress, SavepointResult, StopResult

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine
    from orchestration.flink.queries.spec import QuerySpec

StopMode = Literal["savepoint", "cancel", "drain"]
RestartFrom = Literal["savepoint", "latest_checkpoint", "fresh"]


def stop(
    engine: SqlEngine,
    ref: str,
    mode: StopMode | None = None,
    *,
    savepoint_dir: str | None = None,
    timeout_s: float | None = None,
    on_failure: Literal["raise", "cancel"] = "raise",
    on_progress: OnProgress | None = None,
) -> StopResult:
    """Stop a query."""
    raise NotImplementedError


def restart(
    engine: SqlEngine,
    ref: str,
    from_: RestartFrom = "savepoint",
    *,
    allow_non_restored_state: bool = False,
    on_progress: OnProgress | None = None,
) -> DeployResult:
    """Start a query again."""
    raise NotImplementedError


def upgrade(
    engine: SqlEngine,
    spec: QuerySpec,
    *,
    allow_non_restored_state: bool = False,
    require_slots: bool = False,
    on_progress: OnProgress | None = None,
) -> DeployResult:
    """Replace the SQL of a running query."""
    raise NotImplementedError


def delete(
    engine: SqlEngine,
    ref: str,
    *,
    drop_sink: bool = True,
    drop_data: bool = False,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> DeleteResult:
    """Stop a query and remove it."""
    raise NotImplementedError


def savepoint(
    engine: SqlEngine, ref: str, *, savepoint_dir: str | None = None, timeout_s: float | None = None
) -> SavepointResult:
    """Make a savepoint of a query that goes on."""
    raise NotImplementedError
