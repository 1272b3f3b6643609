"""The registry of persistent queries: one row a query, one row an event, changed by compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from orchestration.errors import ConflictError, InputError, MillraceError, NotFoundError
from orchestration.flink.queries import names
from orchestration.flink.queries.database import EVENTS, GENERATIONS, QUERIES, Database
from orchestration.flink.queries.holder import default_who, this_process
from orchestration.flink.queries.record import FIELDS, QueryEvent, QueryRecord
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import BUSY, LIVE, OVER, QueryState
from orchestration.flink.text.references import mask_secrets
from orchestration.redaction import redact

_KEPT_BY_REGISTRY = frozenset({"version", "updated_at", "holder", "held_until", "has_run"})
_HAS_RUN = frozenset({QueryState.RUNNING, QueryState.DEGRADED, QueryState.FINISHED})
_FIXED = frozenset({"id", "namespace", "name", "created_at"})


class Registry:
    """The queries of one namespace. Opens its database at the first use; usable from several threads and processes.

    Args:
        url: SQLAlchemy URL, `sqlite:///path` or `postgresql://…`.
        lease_s: how long a record in state DEPLOYING, STOPPING or DELETING belongs to the process that wrote it.
        who: written into events; None: user@host.
        clock: replaced in tests.

    Attributes:
        writes: how many changes this object made; what was read before the last one may be out of date.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        *,
        lease_s: float = 600.0,
        who: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.namespace, self.lease_s = namespace, lease_s
        self.who = who or default_who()
        self._now = clock
        self._database = Database(url)
        self.writes = 0

    # --- reading ------------------------------------------------------------------------------------------------------

    def get(self, ref: str, *, include_deleted: bool = False) -> QueryRecord | None:
        """Return the query with this id, name, job id or job name, in this order, or None.

        Args:
            include_deleted: a deleted query is found too if no other one matches, the newest first.
        """
        columns = (QUERIES.c.id, QUERIES.c.name, QUERIES.c.job_id, QUERIES.c.job_name)
        found = self._select(sa.or_(*(column == ref for column in columns)))

        def rank(record: QueryRecord) -> tuple[bool, int]:
            keys = (record.id, record.name, record.job_id, record.job_name)
            return record.state is QueryState.DELETED, keys.index(ref)

        found = [record for record in found if include_deleted or record.state is not QueryState.DELETED]
        found.sort(key=lambda record: _time(record.created_at), reverse=True)
        return min(found, key=rank, default=None)

    def require(self, ref: str, *, include_deleted: bool = False) -> QueryRecord:
        """Return the query that `get` finds.

        Raises:
            NotFoundError: there is none.
        """
        record = self.get(ref, include_deleted=include_deleted)
        if record is None:
            known = ", ".join(sorted(record.name for record in self.active())[:10]) or "none"
            raise NotFoundError(
                f"no persistent query has the name or id {ref!r} (registry {self._database.shown_url})",
                hint=f"queries of namespace {self.namespace}: {known}",
                context={"ref": ref},
            )
        return record

    def active(self) -> list[QueryRecord]:
        """Return the queries that are not deleted, by name."""
        return self._select(QUERIES.c.state != QueryState.DELETED.value)

    def all(self) -> list[QueryRecord]:
        """Return all queries, deleted ones too, by name."""
        return self._select(sa.true())

    def events(self, query_id: str) -> list[QueryEvent]:
        """Return the changes of a query, oldest first."""
        wanted = [column for column in EVENTS.c if column.name != "seq"]
        statement = sa.select(*wanted).where(EVENTS.c.query_id == query_id).order_by(EVENTS.c.seq)
        with self._database.begin() as connection:
            return [QueryEvent(**row) for row in connection.execute(statement).mappings()]

    def generations(self, query_id: str) -> list[QueryRecord]:
        """Return the query as it was before each new generation, oldest first."""
        statement = (
            sa.select(GENERATIONS.c.record).where(GENERATIONS.c.query_id == query_id).order_by(GENERATIONS.c.generation)
        )
        with self._database.begin() as connection:
            return [QueryRecord.from_row(row) for row in connection.execute(statement).scalars()]

    # --- writing ------------------------------------------------------------------------------------------------------

    def new_record(self, spec: QuerySpec) -> QueryRecord:
        """Return a record for a first deploy, with a new id; `insert` stores it."""
        query_id = names.new_query_id()
        return QueryRecord(
            id=query_id,
            namespace=self.namespace,
            name=spec.name,
            owner=spec.labels.get("owner", self.who),
            spec=spec,
            spec_hash=spec.spec_hash,
            job_id=names.fixed_job_id(query_id, 1, 1),
            job_name=names.job_name(self.namespace, spec.name, query_id),
        )

    def insert(self, record: QueryRecord, who: str | None = None, *, event: str = "deploy") -> QueryRecord:
        """Store a new query and return it as stored.

        Raises:
            ConflictError: another query has the name.
        """
        now = self._now()
        has_run = record.state in _HAS_RUN
        stored = replace(record, version=1, created_at=now, updated_at=now, has_run=has_run)
        stored = self._cleaned(stored, now)
        try:
            with self._database.begin() as connection:
                connection.execute(QUERIES.insert().values(stored.to_row()))
                self._add_event(connection, None, stored, event, who)
        except IntegrityError as error:
            other = self.get(record.name)
            state = f" ({other.id}, {other.state})" if other else ""
            raise ConflictError(
                f"there is a query {record.name!r} already{state}",
                hint="deploy it with replace, or choose another name",
                context={"name": record.name, "query_id": other.id if other else record.id},
            ) from error
        self.writes += 1
        return stored

    def update(self, record: QueryRecord, *, event: str, who: str | None = None, **changes: Any) -> QueryRecord:
        """Change fields of a query, add an event, and return the query as stored.

        The states DEPLOYING, STOPPING and DELETING make this process the holder, all others let the query go. A higher
        `generation` keeps the record as it was. A new `savepoint_path` takes the place of an older checkpoint.
        Secrets in `ddl` and `error_text` are masked; references stay in `ddl`: other sessions declare the sink by it.

        Args:
            record: as it was read: a newer one in the registry is not overwritten.
            changes: fields of QueryRecord.

        Raises:
            ConflictError: somebody changed the query in the meantime.
        """
        return self._write(record, changes, event, who, is_held=None)

    def claim(self, record: QueryRecord, *, event: str, **changes: Any) -> QueryRecord:
        """Become the holder of a query whatever its state, so that no other process repairs it at the same time.

        Raises:
            ConflictError: somebody changed the query in the meantime.
        """
        return self._write(record, changes, event, None, is_held=True)

    def release(self, record: QueryRecord, *, event: str, **changes: Any) -> QueryRecord:
        """Let a query go whatever its state: work on it failed, and the next `reconcile` of any process takes it up.

        Raises:
            ConflictError: somebody changed the query in the meantime.
        """
        return self._write(record, changes, event, None, is_held=False)

    def note_checkpoint(self, record: QueryRecord, path: str) -> None:
        """Remember the newest checkpoint of the record's job. No event, and no conflict with those at work on it."""
        statement = (
            QUERIES.update()
            .where(QUERIES.c.id == record.id, QUERIES.c.job_id == record.job_id)
            .values(checkpoint_path=path)
        )
        with self._database.begin() as connection:
            connection.execute(statement)

    def forget_deleted(self, before: datetime) -> int:
        """Remove queries that were deleted before a time, with their events; returns how many."""
        old = sa.select(QUERIES.c.id).where(
            QUERIES.c.namespace == self.namespace,
            QUERIES.c.state == QueryState.DELETED.value,
            QUERIES.c.updated_at < before,
        )
        with self._database.begin() as connection:
            ids = list(connection.execute(old).scalars())
            for table, column in ((EVENTS, "query_id"), (GENERATIONS, "query_id"), (QUERIES, "id")):
                connection.execute(table.delete().where(table.c[column].in_(ids)))
        return len(ids)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _select(self, condition: sa.ColumnElement[bool]) -> list[QueryRecord]:
        statement = sa.select(QUERIES).where(QUERIES.c.namespace == self.namespace, condition).order_by(QUERIES.c.name)
        with self._database.begin() as connection:
            return [QueryRecord.from_row({**row}) for row in connection.execute(statement).mappings()]

    def _write(
        self, record: QueryRecord, changes: Mapping[str, Any], event: str, who: str | None, *, is_held: bool | None
    ) -> QueryRecord:
        refused = sorted(changes.keys() & (_KEPT_BY_REGISTRY | _FIXED))
        if refused:
            raise InputError(f"{refused[0]} of a query is not changed by its users")
        now = self._now()
        changed = replace(record, **changes, version=record.version + 1, updated_at=now).validated()
        has_run = changed.state in _HAS_RUN or (record.has_run and changed.generation == record.generation)
        stored = self._cleaned(replace(changed, has_run=has_run), now, is_held=is_held)
        row = stored.to_row()
        if "checkpoint_path" not in changes:
            if stored.savepoint_path not in (None, record.savepoint_path):
                stored = replace(stored, checkpoint_path=None)
                row["checkpoint_path"] = None
            else:
                del row["checkpoint_path"]  # note_checkpoint may have written a newer one
        statement = QUERIES.update().where(QUERIES.c.id == record.id, QUERIES.c.version == record.version).values(row)
        with self._database.begin() as connection:
            if connection.execute(statement).rowcount != 1:
                raise ConflictError(
                    f"query {record.name!r} ({record.id}) was changed by somebody else; nothing was written by this"
                    f" {event}",
                    hint="look at it with 'millrace sql status', then run again",
                    context={"query_id": record.id, "version": record.version, "event": event},
                )
            if stored.generation > record.generation:
                connection.execute(
                    GENERATIONS.insert().values(
                        query_id=record.id, generation=record.generation, record=record.to_json()
                    )
                )
            self._add_event(connection, record, stored, event, who)
        self.writes += 1
        return stored

    def _cleaned(self, record: QueryRecord, now: datetime, *, is_held: bool | None = None) -> QueryRecord:
        """Return the record as it is stored; `is_held` None: as its state says."""
        is_held = record.state in BUSY if is_held is None else is_held
        is_up = record.state in LIVE or record.state is QueryState.DEPLOYING
        return replace(
            record,
            stop_mode=None if is_up else record.stop_mode,
            savepoint_request=record.savepoint_request if record.state is QueryState.STOPPING else None,
            stopped_at=None if is_up else (record.stopped_at or now) if record.state in OVER else record.stopped_at,
            holder=this_process() if is_held else None,
            held_until=now + timedelta(seconds=self.lease_s) if is_held else None,
            ddl=mask_secrets(record.ddl) if record.ddl else record.ddl,
            error_text=redact(record.error_text) if record.error_text else record.error_text,
        )

    def _add_event(
        self, connection: sa.Connection, before: QueryRecord | None, after: QueryRecord, event: str, who: str | None
    ) -> None:
        old, new = (before.to_json() if before else {}), after.to_json()
        changed = [name for name in FIELDS if name not in _KEPT_BY_REGISTRY and old.get(name) != new[name]]
        connection.execute(
            EVENTS.insert().values(
                query_id=after.id,
                generation=after.generation,
                at=after.updated_at,
                who=who or self.who,
                event=event,
                before={name: old[name] for name in changed if name in old},
                after={name: new[name] for name in changed},
                error=after.error_text if "error_text" in changed else None,
            )
        )


def _time(value: datetime | None) -> float:
    return value.timestamp() if value else 0.0


def describe_error(error: MillraceError) -> dict[str, str]:
    """Return the fields of a record that hold its last error."""
    return {"error_code": error.code, "error_text": str(error)}
