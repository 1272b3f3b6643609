"""Deploys a query: from its SQL to a job that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.flink.queries.outcome import DeployResult, OnProgress

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine
    from orchestration.flink.queries.spec import QuerySpec


def deploy(
    engine: SqlEngine,
    spec: QuerySpec,
    *,
    replace: bool = False,
    require_slots: bool = False,
    keep_on_timeout: bool = False,
    tolerate_restarts: int = 0,
    stable_for_s: float = 3.0,
    on_progress: OnProgress | None = None,
) -> DeployResult:
    """Start a query and return once its job runs steadily, or raise and leave nothing behind."""
    raise NotImplementedError
