"""A stream engine without Flink: it checks SQL by the same rules, gives the rows it was told, and remembers queries."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from orchestration.errors import ConflictError, NotFoundError
from orchestration.flink.queries import names
from orchestration.flink.queries.listing import QueryView
from orchestration.flink.queries.outcome import DeleteResult, DeployResult, StopResult
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import LIVE, Desired, QueryState
from orchestration.flink.reading.feed import EndReason, Limits
from orchestration.flink.reading.rows import Change, Column
from orchestration.flink.reading.stream import End
from orchestration.flink.text.validate import check_properties, require_valid

if TYPE_CHECKING:
    from orchestration.flink.queries.lifecycle import StopMode
    from orchestration.flink.text.mode import Mode


@dataclass(frozen=True)
class Answer:
    """What an ad-hoc query gives."""

    columns: tuple[Column, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class _Query:
    id: str
    spec: QuerySpec
    generation: int = 1
    attempt: int = 1
    state: QueryState = QueryState.RUNNING

    @property
    def job_id(self) -> str:
        return names.fixed_job_id(self.id, self.generation, self.attempt)


class FakeChanges:
    """Given changes, with limits and `cancel` as a real stream has them."""

    def __init__(self, answer: Answer, limits: Limits) -> None:
        self.columns: tuple[Column, ...] = answer.columns
        self.end: End | None = None
        self._answer, self._limits, self._is_cancelled = answer, limits, False
        self._changes = self._give()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        next(self._changes, None)

    def __iter__(self) -> Iterator[Change]:
        return self._changes

    def cancel(self) -> None:
        """End with reason `cancelled` before the next change."""
        self._is_cancelled = True

    def _give(self) -> Iterator[Change]:
        started, rows, text = time.monotonic(), 0, "the result is complete"
        reason: EndReason = "eos"
        for change in self._answer.changes:
            if self._is_cancelled:
                reason, text = "cancelled", f"cancelled after {rows} rows"
                break
            rows += 1
            yield change
            if rows == self._limits.max_rows:
                reason, text = "max_rows", f"stopped after {rows} rows"
                break
        self.end = End(reason, rows, time.monotonic() - started, text)


class FakeEngine:
    """Keeps all in memory; a query runs from `deploy` until it is stopped or `set_state` says otherwise.

    Args:
        answers: SQL text to what it gives; a query that is not listed gives nothing.
    """

    def __init__(self, namespace: str = "default", answers: Mapping[str, Answer] | None = None) -> None:
        self.namespace, self.answers = namespace, dict(answers or {})
        self._queries: dict[str, _Query] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Keep everything: the same engine may be entered again."""

    def execute(
        self,
        sql: str,
        *,
        mode: Mode = "streaming",
        properties: Mapping[str, str] | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> FakeChanges:
        """Check the SQL and the properties, and give the answer that was set for the text."""
        require_valid(sql, purpose="adhoc", mode=mode)
        check_properties(properties or {})
        return FakeChanges(self.answers.get(sql, Answer()), limits)

    def deploy(self, spec: QuerySpec, *, replace: bool = False) -> DeployResult:
        """Check the SQL and remember the query as running."""
        warnings = require_valid(spec.query, purpose="persistent", mode=spec.mode)
        check_properties(spec.execution)
        query = self._find(spec.name)
        if query is not None and query.state in LIVE:
            if query.spec.spec_hash == spec.spec_hash:
                return self._deployed(query, unchanged=True)
            if not replace:
                raise ConflictError(f"query {spec.name} runs already", context={"job_id": query.job_id})
        self._queries[spec.name] = query = _next(query, spec)
        return self._deployed(query, warnings=tuple(problem.message for problem in warnings))

    def stop(self, ref: str, mode: StopMode | None = None) -> StopResult:
        """Leave the query SUSPENDED, or STOPPED after a cancel."""
        query = self._require(ref)
        if query.state not in LIVE:
            return StopResult(query.id, query.spec.name, query.job_id, query.state, changed=False)
        state = QueryState.STOPPED if mode == "cancel" else QueryState.SUSPENDED
        self._queries[query.spec.name] = replace(query, state=state)
        return StopResult(query.id, query.spec.name, query.job_id, state, changed=True)

    def delete(self, ref: str) -> DeleteResult:
        """Mark the query as deleted; its name is free again."""
        query = self._require(ref)
        self._queries[query.spec.name] = replace(query, state=QueryState.DELETED)
        changed = query.state is not QueryState.DELETED
        dropped = (self._sink(query),) if changed else ()
        return DeleteResult(query.id, query.spec.name, changed=changed, dropped=dropped)

    def list(self) -> Sequence[QueryView]:
        """Return the queries that are not deleted, by name."""
        found = sorted(self._queries.values(), key=lambda query: query.spec.name)
        return [self._view(query) for query in found if query.state is not QueryState.DELETED]

    def set_state(self, ref: str, state: QueryState) -> None:
        """Let something happen to a query's job."""
        query = self._require(ref)
        self._queries[query.spec.name] = replace(query, state=state)

    def _find(self, ref: str) -> _Query | None:
        return next(
            (
                query
                for query in self._queries.values()
                if ref in (query.id, query.spec.name, query.job_id, self._job_name(query))
            ),
            None,
        )

    def _require(self, ref: str) -> _Query:
        query = self._find(ref)
        if query is None:
            known = ", ".join(sorted(self._queries)) or "none"
            raise NotFoundError(f"no persistent query has the name or id {ref!r}", hint=f"known: {known}")
        return query

    def _job_name(self, query: _Query) -> str:
        return names.job_name(self.namespace, query.spec.name, query.id)

    def _sink(self, query: _Query) -> str:
        return query.spec.sink.table or names.sink_table_name(query.spec.name, query.id)

    def _deployed(self, query: _Query, *, unchanged: bool = False, warnings: tuple[str, ...] = ()) -> DeployResult:
        return DeployResult(
            query_id=query.id,
            name=query.spec.name,
            state=query.state.value,
            generation=query.generation,
            job_id=query.job_id,
            job_name=self._job_name(query),
            url=f"fake:{query.job_id}",
            sink_table=self._sink(query),
            connector="fake",
            topic=None,
            path=None,
            changelog="I",
            key_columns=query.spec.sink.key_columns,
            ddl="",
            unchanged=unchanged,
            warnings=warnings,
        )

    def _view(self, query: _Query) -> QueryView:
        is_live = query.state in LIVE
        return QueryView(
            id=query.id,
            name=query.spec.name,
            namespace=self.namespace,
            owner=query.spec.labels.get("owner"),
            state=query.state,
            recorded=query.state,
            desired=(Desired.STOPPED if query.state in _STOPPED else Desired.RUNNING).value,
            generation=query.generation,
            job_id=query.job_id,
            job_name=self._job_name(query),
            job_state="RUNNING" if is_live else None,
            url=f"fake:{query.job_id}",
            started_at=datetime.now(UTC) if is_live else None,
            uptime_s=0.0 if is_live else None,
            restarts=0 if is_live else None,
            last_checkpoint_at=None,
            checkpoint_path=None,
            savepoint_path=None,
            lag_records=None,
            sink=self._sink(query),
            connector="fake",
            topic=None,
            path=None,
            error_code=None,
            error_text=None,
            updated_at=None,
        )


_STOPPED = frozenset({QueryState.STOPPED, QueryState.SUSPENDED})


def _next(query: _Query | None, spec: QuerySpec) -> _Query:
    """Return a first query, the next generation of a changed one, or the next attempt of the same one."""
    if query is None or query.state is QueryState.DELETED:
        return _Query(names.new_query_id(), spec)
    if query.spec.spec_hash == spec.spec_hash:
        return replace(query, spec=spec, attempt=query.attempt + 1, state=QueryState.RUNNING)
    return replace(query, spec=spec, generation=query.generation + 1, attempt=1, state=QueryState.RUNNING)
