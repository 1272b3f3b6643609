"""Finds the query that somebody means, and what its job does now."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestration.errors import ConflictError, InputError, NotFoundError
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.models import TERMINAL, check_job_state
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.queries.holder import is_at_work, this_process
from orchestration.flink.queries.names import parse_job_name
from orchestration.flink.queries.record import QueryRecord

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine

_JOB_ID = re.compile(r"[0-9a-f]{32}")
_QUERY_ID = re.compile(r"[0-9a-f]{8}")


def find_query(engine: SqlEngine, ref: str, *, include_deleted: bool = False) -> QueryRecord:
    """Return the query with this id, name, job id or job name.

    Raises:
        NotFoundError: it has the form of an id or of a job's name, and nothing has it.
        InputError: code `validation_failed`; it is no such id, and no query's name.
    """
    try:
        return engine.registry.require(ref, include_deleted=include_deleted)
    except NotFoundError as error:
        if is_job_id(ref) or _QUERY_ID.fullmatch(ref) or parse_job_name(ref) is not None:
            raise
        raise InputError(
            f"{ref!r} is no query's name, and has not the form of a query id (8 hexadecimal digits) or job id (32)",
            hint=error.hint,
            context={"ref": ref},
        ) from error


def is_job_id(ref: str) -> bool:
    """Whether this can be the id of a Flink job."""
    return _JOB_ID.fullmatch(ref) is not None


def job_state(rest: FlinkRest, job_id: str | None) -> str | None:
    """Return the state of a job, or None: the cluster does not know it.

    Raises:
        FlinkError: Flink sent a state that we do not know.
    """
    if job_id is None:
        return None
    try:
        return check_job_state(rest.job(job_id).state, job_id)
    except JobNotFoundError:
        return None


def is_live(state: str | None) -> bool:
    """Whether a job in this state runs, or may run again by itself."""
    return state is not None and state not in TERMINAL


def require_free(record: QueryRecord, what: str) -> None:
    """Refuse to touch a query that another living process is at work on.

    Raises:
        ConflictError: names that process.
    """
    if record.holder == this_process() or not is_at_work(record.holder, record.held_until, datetime.now(UTC)):
        return
    raise ConflictError(
        f"query {record.name} is {record.state.value}: process {record.holder} is at work on it",
        hint=f"{what} it when that is done",
        context={"query_id": record.id, "job_id": record.job_id or "", "holder": record.holder or ""},
    )
