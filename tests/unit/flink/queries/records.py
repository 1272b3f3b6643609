"""Records of queries for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from orchestration.flink.queries.names import fixed_job_id
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import QueryState

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ID = "abc12345"
JOB = fixed_job_id(ID, 1, 1)
JOB_NAME = f"test.orders.{ID}"


def spec(**fields: Any) -> QuerySpec:
    return QuerySpec.model_validate({"name": "orders", "query": "SELECT 1 AS a"} | fields)


def record(state: QueryState = QueryState.RUNNING, **fields: Any) -> QueryRecord:
    """Return a query that has run, in a state."""
    defaults: dict[str, Any] = {
        "id": ID,
        "namespace": "test",
        "name": "orders",
        "owner": "ann",
        "spec": spec(),
        "job_name": JOB_NAME,
        "job_id": JOB,
        "has_run": True,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return QueryRecord(**(defaults | fields), state=state)
