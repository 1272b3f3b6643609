"""Brings the registry and the cluster together again after a kill, a restart or a change from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestration.flink.queries.states import QueryState

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine


@dataclass(frozen=True)
class Repair:
    """One thing that `reconcile` did, or could not do.

    Args:
        action: `state`, `adopt`, `restart`, `finish_stop`, `finish_delete`, `undo_deploy`, `warning`.
        before, after: states of the query.
        error: why it failed; None: it is done.
    """

    query_id: str
    name: str
    action: str
    before: QueryState | None
    after: QueryState | None
    reason: str
    error: str | None = None


def reconcile(engine: SqlEngine, *, recover: bool = False) -> list[Repair]:
    """Repair the records of this namespace and return what was done; nothing to do gives an empty list."""
    raise NotImplementedError


def recover(engine: SqlEngine) -> list[Repair]:
    """Give every live job whose name is one of ours a record again; a lost registry is rebuilt so."""
    raise NotImplementedError
