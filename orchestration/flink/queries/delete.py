"""Deletes a query: its job, its sink if nobody reads it, and on request its data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.errors import ConflictError, FlinkError, MillraceError, NotFoundError
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.jobs.submission import CANCEL_S
from orchestration.flink.jobs.wait import cancel_job
from orchestration.flink.queries import names
from orchestration.flink.queries.find import find_query, is_job_id, is_live, job_state, require_free
from orchestration.flink.queries.outcome import DeleteResult, Steps
from orchestration.flink.queries.plan import is_in_memory
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.registry import describe_error
from orchestration.flink.queries.remove import drop_data, drop_tables
from orchestration.flink.queries.states import Desired, QueryState, actual_state
from orchestration.flink.text.tokens import significant, tokenize

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine

_WITH_DATA = "delete with data"
"""An event: should the delete be cut off, who finishes it knows from there what it was to drop."""


def delete_query(
    engine: SqlEngine, ref: str, steps: Steps, *, with_sink: bool, with_data: bool, force: bool
) -> DeleteResult:
    """Cancel the query's job, wait for its end, drop what it made, and mark it DELETED.

    Args:
        ref: as `find_query`; with `force` also the id of a live job that no query has: it is adopted first.

    Raises:
        ConflictError: another query reads the sink (code `table_in_use`), or another process is at work on the query.
        NotFoundError, InputError: as `find_query`.
        FlinkError: its job cannot be stopped; nothing was dropped, and the query stays DELETING.
    """
    record = _find_or_adopt(engine, ref, steps, force=force)
    if record.state is QueryState.DELETED:
        return DeleteResult(record.id, record.name, changed=False)
    steps.query_id, steps.job_id = record.id, record.job_id
    if not force:
        require_free(record, "delete")
        if with_sink or with_data:
            _refuse_if_read(engine, record)
    with_data = with_data or _was_to_drop_data(engine, record)
    event = _WITH_DATA if with_data else "delete"
    record = engine.registry.update(record, event=event, state=QueryState.DELETING, desired=Desired.DELETED)
    _end_job(engine, record, steps, force=force)
    dropped: list[str] = []
    lasting = [table for table in record.own_sinks if not is_in_memory(table)]
    if with_data:
        with steps.step("drop", "dropping its tables and data"):
            dropped += drop_tables(engine, lasting)
            dropped += drop_data(engine, record, steps)
    elif with_sink:
        dropped += [table for table in record.own_sinks if is_in_memory(table)]
        for table in lasting:
            steps.warn(f"table {table} was kept: dropping it deletes its rows; delete with drop_data to do that")
    record = engine.registry.update(record, event="deleted", state=QueryState.DELETED)
    engine.forget_sinks()
    return DeleteResult(record.id, record.name, True, tuple(dropped), tuple(steps.warnings), dict(steps.timings))


def _was_to_drop_data(engine: SqlEngine, record: QueryRecord) -> bool:
    """Whether this finishes a delete that was cut off and had been asked to drop the data."""
    is_cut_off = record.state is QueryState.DELETING
    return is_cut_off and any(event.event == _WITH_DATA for event in engine.registry.events(record.id))


def readers_of(engine: SqlEngine, record: QueryRecord) -> list[QueryRecord]:
    """Return the other queries that are to run and whose text mentions a table that this one writes.

    A table is mentioned by its last name: nothing else of ours is called like a generated sink.
    """
    tables = {table.split(".")[-1] for table in record.own_sinks}
    return [
        other
        for other in engine.registry.active()
        if other.id != record.id
        and other.desired is Desired.RUNNING
        and other.spec is not None
        and tables & _names_in("\n".join([other.spec.query, *other.spec.inputs]))
    ]


def _names_in(sql: str) -> set[str]:
    return {token.name for token in significant(tokenize(sql)) if token.name}


def _refuse_if_read(engine: SqlEngine, record: QueryRecord) -> None:
    readers = readers_of(engine, record)
    if readers:
        found = ", ".join(f"{other.name} ({other.id})" for other in readers)
        raise ConflictError(
            f"the sink {record.sink} of query {record.name} is read by {found}",
            hint="delete those first, keep the sink (drop_sink=False), or use force",
            context={"code": "table_in_use", "query_id": record.id, "readers": ", ".join(one.id for one in readers)},
        )


def _find_or_adopt(engine: SqlEngine, ref: str, steps: Steps, *, force: bool) -> QueryRecord:
    try:
        return find_query(engine, ref, include_deleted=True)
    except NotFoundError as error:
        state = job_state(engine.rest, ref) if is_job_id(ref) else None
        if not is_live(state):
            raise
        job_name = engine.rest.job(ref).name
        if not force:
            raise ConflictError(
                f"job {ref} ({job_name}) is {state}, and no query has it",
                hint="delete it with force, or cancel it with './millrace jobs cancel ID'",
                context={"job_id": ref, "job_name": job_name},
            ) from error
        steps.say(f"adopting job {ref} ({job_name})")
        return _adopt(engine, ref, job_name, state or "")


def _adopt(engine: SqlEngine, job_id: str, job_name: str, state: str) -> QueryRecord:
    """Give a job that is not ours a record, so that its end is on file."""
    registry = engine.registry
    record = QueryRecord(
        id=names.new_query_id(),
        namespace=registry.namespace,
        name=f"job {job_id}",
        owner=registry.who,
        spec=None,
        job_name=job_name,
        job_id=job_id,
    )
    stored = registry.insert(record, event="adopt")
    return registry.update(stored, event="adopt", state=actual_state(state, stored))


def _end_job(engine: SqlEngine, record: QueryRecord, steps: Steps, *, force: bool) -> None:
    if record.job_id is None:
        return
    with steps.step("cancel", f"canceling job {record.job_id}"):
        try:
            if is_live(job_state(engine.rest, record.job_id)):
                cancel_job(engine.rest, record.job_id, CANCEL_S)
        except JobNotFoundError:
            return
        except MillraceError as error:
            if force and isinstance(error, FlinkError):
                steps.warn(f"job {record.job_id} could not be stopped: {error.message}")
                return
            engine.registry.release(record, event="delete failed", **describe_error(error))
            raise
