"""What a repair of the registry reports."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.flink.queries.states import QueryState


@dataclass(frozen=True)
class Repair:
    """One thing that `reconcile` did, or could not do.

    Args:
        action: value of `Action`, or `adopt` for a job that got a record.
        before, after: states of the query; `before` is None for an adopted job.
        error: why it failed; None: it is done.
    """

    query_id: str
    name: str
    action: str
    before: QueryState | None
    after: QueryState | None
    reason: str
    error: str | None = None
