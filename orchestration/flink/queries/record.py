"""What the registry knows about one query, and about each change of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter

from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import Desired, QueryState
from orchestration.flink.tables.stored_options import FROM_STORE

StopMode = Literal["savepoint", "cancel", "drain"]


@dataclass(frozen=True)
class QueryRecord:
    """One query. All times are aware UTC.

    Args:
        id: 8 hexadecimal digits, for good.
        owner: the label `owner` of its definition, else who deployed it first.
        spec: None after `recover`: only the job was found.
        spec_hash: of the definition that the job runs; empty when that is not known.
        generation: counts the definitions that were deployed under this name, from 1.
        attempt: counts the submissions of this generation, from 1. Both make the job id (names.fixed_job_id).
        job_id: of the latest submission, or the one about to be made; None before the first.
        sinks: paths of the tables that the job writes, unquoted, as Flink resolves them; empty before they are planned.
        own_sinks: those of them that a deploy of the query made, so a failed deploy or a delete may drop them.
        topic, path: where the sink's rows lie, for sinks of Kafka and files.
        ddl: CREATE TABLE of the sinks with secrets masked.
        changelog: kinds of changes that the query makes: I, UB, UA, D.
        stop_mode: how it was last stopped, or is being stopped; None while it is to run.
        savepoint_path: newest savepoint. savepoint_request: id of the one that a stop waits for.
        checkpoint_path: newest completed checkpoint that was seen, or the savepoint or checkpoint that the job was
            started from.
        has_run: a job of this generation has run; kept by the registry.
        restarts: when the restart policy started it again, the last hour's.
        holder, held_until: the process at work on it (holder.py).
        version: counts changes; a change of an older version is refused.
        started_at: when the latest job was submitted.
    """

    id: str
    namespace: str
    name: str
    owner: str
    spec: QuerySpec | None
    job_name: str
    spec_hash: str = ""
    generation: int = 1
    attempt: int = 1
    job_id: str | None = None
    connector: str | None = None
    sinks: tuple[str, ...] = ()
    own_sinks: tuple[str, ...] = ()
    topic: str | None = None
    path: str | None = None
    ddl: str | None = None
    changelog: tuple[str, ...] = ()
    key_columns: tuple[str, ...] = ()
    state: QueryState = QueryState.DEPLOYING
    desired: Desired = Desired.RUNNING
    stop_mode: StopMode | None = None
    savepoint_path: str | None = None
    savepoint_request: str | None = None
    checkpoint_path: str | None = None
    error_code: str | None = None
    error_text: str | None = None
    has_run: bool = False
    restarts: tuple[datetime, ...] = ()
    holder: str | None = None
    held_until: datetime | None = None
    version: int = 1
    created_at: datetime | None = None
    updated_at: datetime | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None

    @property
    def sink(self) -> str:
        """The tables that the job writes, for people."""
        return ", ".join(self.sinks)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return _ADAPTER.dump_python(self, mode="json")

    def to_row(self) -> dict[str, Any]:
        """Return the values of the columns: JSON, but times as they are."""
        times = {name: value for name in FIELDS if isinstance(value := getattr(self, name), datetime)}
        return self.to_json() | times

    def validated(self) -> QueryRecord:
        """Return the record with every field of its declared type, such as an enumeration for its text."""
        return self.from_row({name: getattr(self, name) for name in FIELDS})

    @staticmethod
    def from_row(row: Mapping[str, Any]) -> QueryRecord:
        """Return what `to_row` or `to_json` gave."""
        return _ADAPTER.validate_python(dict(row), context=FROM_STORE)


FIELDS = tuple(field.name for field in fields(QueryRecord))
_ADAPTER = TypeAdapter(QueryRecord)


@dataclass(frozen=True)
class QueryEvent:
    """One change of a query: who did what, the fields it changed as JSON values, and the error that it recorded."""

    query_id: str
    generation: int
    at: datetime
    who: str
    event: str
    before: dict[str, object]
    after: dict[str, object]
    error: str | None
