"""Starts the job of a query whose record says DEPLOYING: sinks, dry run, submit, watch. Or undoes all of it.

The record with the job's fixed id is stored before the first of these steps. So whoever finds it after a crash can ask
the cluster for that very job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestration.errors import ConflictError, JobTimeoutError, MillraceError
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.models import TERMINAL
from orchestration.flink.jobs.submission import CANCEL_S, submit_job
from orchestration.flink.jobs.wait import cancel_job
from orchestration.flink.queries.names import fixed_job_id
from orchestration.flink.queries.outcome import DeployResult, Steps
from orchestration.flink.queries.plan import JobPlan, explain, restore_settings
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.registry import describe_error
from orchestration.flink.queries.remove import drop_tables
from orchestration.flink.queries.restore import RestorePoint
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import LIVE, Desired, QueryState
from orchestration.flink.queries.topics import create_topic, delete_topic
from orchestration.flink.queries.watch import Look, StartRules, watch_start

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine
    from orchestration.flink.sessions.logical import LogicalSession


@dataclass(frozen=True)
class StartOptions:
    """How a start is judged.

    Args:
        keep_on_timeout: leave a job that is not up in time, to be looked at.
        needs_checkpoint: it counts only when the job has made a checkpoint.
    """

    rules: StartRules = field(default_factory=StartRules)
    keep_on_timeout: bool = False
    needs_checkpoint: bool = False
    allow_non_restored_state: bool = False


def next_submission(record: QueryRecord, spec: QuerySpec, restore: RestorePoint | None) -> dict[str, Any]:
    """Return the fields of a record that is to be started (again), with a job id that was never used.

    `savepoint_path` and `checkpoint_path` become what the job starts from: should it be cut off, it is from there that
    it is started again. What they were is in the events.
    """
    is_same = spec.spec_hash == record.spec_hash
    generation = record.generation if is_same else record.generation + 1
    attempt = record.attempt + 1 if is_same else 1
    return {
        "spec": spec,
        "spec_hash": spec.spec_hash,
        "generation": generation,
        "attempt": attempt,
        "job_id": fixed_job_id(record.id, generation, attempt),
        "state": QueryState.DEPLOYING,
        "desired": Desired.RUNNING,
        "stop_mode": None,
        "savepoint_request": None,
        "savepoint_path": restore.path if restore is not None and restore.kind == "savepoint" else None,
        "checkpoint_path": restore.path if restore is not None and restore.kind == "checkpoint" else None,
        "error_code": None,
        "error_text": None,
    }


def start_job(
    engine: SqlEngine,
    session: LogicalSession,
    record: QueryRecord,
    plan: JobPlan,
    restore: RestorePoint | None,
    options: StartOptions,
    steps: Steps,
) -> QueryRecord:
    """Start the job of a record that is DEPLOYING, and return the record as RUNNING or FINISHED.

    After an error, or an interrupt, no job runs, what this start created is dropped, and the record is FAILED.

    Raises:
        StatementError: Flink refuses the statement.
        JobFailedError: code `no_slots` or `job_failed`.
        JobTimeoutError: code `job_start_timeout`.
        ConflictError: somebody else changed the record.
    """
    start = _Start(engine, session, plan, restore, options, steps, record)
    try:
        start.create_sinks()
        start.submit()
        state = start.watch()
        return start.finish(state)
    except BaseException as error:
        start.undo(error)
        raise


class _Start:
    """One start, with what it has created so far."""

    def __init__(
        self,
        engine: SqlEngine,
        session: LogicalSession,
        plan: JobPlan,
        restore: RestorePoint | None,
        options: StartOptions,
        steps: Steps,
        record: QueryRecord,
    ) -> None:
        self.record = record
        self._engine, self._session, self._plan = engine, session, plan
        self._restore, self._options, self._steps = restore, options, steps
        self._job_id = record.job_id or ""
        self._new_topics: list[tuple[str, str]] = []
        steps.job_id = record.job_id

    def create_sinks(self) -> None:
        """CREATE TABLE IF NOT EXISTS for each sink, and EXPLAIN of the whole statement: a true dry run."""
        with self._steps.step("create", "creating the sink"):
            for branch in self._plan.branches:
                for statement in branch.statements():
                    self._session.execute(statement).close()
                sink = branch.sink
                if sink is not None and sink.topic and create_topic(self._engine.settings, sink, self._steps):
                    self._new_topics.append((sink.topic, sink.ddl))
        with self._steps.step("dry_run", "dry run of the statement"):
            self._session.execute(explain(self._plan.statement)).close()

    def submit(self) -> None:
        """Submit the job under its fixed id."""
        path = self._restore.path if self._restore is not None else None
        config = restore_settings(path, allow_non_restored_state=self._options.allow_non_restored_state)
        where = f" from {path}" if path else ""
        with self._steps.step("submit", f"submitting job {self.record.job_name}{where}"):
            submit_job(
                self._session,
                self._engine.rest,
                self._plan.statement,
                name=self.record.job_name,
                job_id=self._job_id,
                config=config,
            )
        self.record = self._engine.registry.claim(
            self.record, event="submitted", state=QueryState.STARTING, started_at=datetime.now(UTC)
        )

    def watch(self) -> str:
        """Wait until the job runs steadily, and has a checkpoint if one is asked for; returns its state."""
        is_streaming = self._plan.spec.mode == "streaming"
        rest, rules = self._engine.rest, replace(self._options.rules, all_vertices=is_streaming)
        said: set[str] = set()

        def tell(look: Look) -> None:
            if str(look) not in said:
                said.add(str(look))
                self._steps.say(f"job {self._job_id} is {look}")

        with self._steps.step("watch", f"waiting until job {self._job_id} runs steadily"):
            detail = watch_start(rest, self._job_id, rules, on_look=tell)
        if self._options.needs_checkpoint and detail.state not in TERMINAL:
            with self._steps.step("checkpoint", "waiting for its first checkpoint"):
                rest.trigger_checkpoint(self._job_id, timeout_s=rules.timeout_s)
        return detail.state

    def finish(self, job_state: str) -> QueryRecord:
        """Write that the query runs."""
        state = QueryState.FINISHED if job_state == "FINISHED" else QueryState.RUNNING
        registry = self._engine.registry
        try:
            return registry.update(self.record, event="running", state=state)
        except ConflictError:
            current = registry.get(self.record.id)
            if current is None or current.job_id != self._job_id or current.state not in {*LIVE, state}:
                raise
            return current  # a repair saw the job run and wrote it first

    def undo(self, error: BaseException) -> None:
        """Leave nothing of this start behind, and note why; what cannot be undone is added to `error`."""
        if isinstance(error, JobTimeoutError) and error.code == "job_start_timeout" and self._options.keep_on_timeout:
            self._note(error, {"state": QueryState.STARTING})
            return
        with self._steps.step("undo", "it failed: taking everything back"):
            try:
                _cancel_if_live(self._engine, self._job_id)
                drop_tables(self._engine, self._plan.new_tables)
                for topic, ddl in self._new_topics:
                    delete_topic(self._engine.settings, topic, ddl)
            except MillraceError as problem:
                error.add_note(f"not everything could be taken back: {problem}")
                # Let go as it is: a repair finds the job by its id when the cluster answers again.
                self._note(error, {}, is_over=False)
                return
            self._note(error, {"state": QueryState.FAILED, **self._without_new_sinks()})

    def _without_new_sinks(self) -> dict[str, Any]:
        """A sink that was dropped binds no later deploy to its columns."""
        new = self._plan.new_tables
        if not new:
            return {}
        sinks = tuple(table for table in self.record.sinks if table not in new)
        own = tuple(table for table in self.record.own_sinks if table not in new)
        return {"sinks": sinks, "own_sinks": own, "ddl": None, "topic": None, "path": None}

    def _note(self, error: BaseException, changes: Mapping[str, Any], *, is_over: bool = True) -> None:
        cause = error if isinstance(error, MillraceError) else MillraceError(f"interrupted by {type(error).__name__}")
        registry = self._engine.registry
        write = registry.update if is_over else registry.release
        try:
            self.record = write(self.record, event="start failed", **(describe_error(cause) | dict(changes)))
        except MillraceError as problem:
            error.add_note(f"the registry does not know of this failure: {problem}")


def _cancel_if_live(engine: SqlEngine, job_id: str) -> None:
    try:
        if engine.rest.job(job_id).state not in TERMINAL:
            cancel_job(engine.rest, job_id, CANCEL_S)
    except JobNotFoundError:
        return


def deploy_result(
    engine: SqlEngine,
    record: QueryRecord,
    steps: Steps,
    *,
    restore: RestorePoint | None = None,
    unchanged: bool = False,
) -> DeployResult:
    """Return the result for a query as it is recorded."""
    return DeployResult(
        query_id=record.id,
        name=record.name,
        state=record.state.value,
        generation=record.generation,
        job_id=record.job_id or "",
        job_name=record.job_name,
        url=engine.rest.job_url(record.job_id or ""),
        sink_table=record.sink,
        connector=record.connector or "",
        topic=record.topic,
        path=record.path,
        changelog=",".join(record.changelog),
        key_columns=record.key_columns,
        ddl=record.ddl or "",
        unchanged=unchanged,
        restored_from=restore.path if restore is not None else None,
        warnings=tuple(steps.warnings),
        timings=dict(steps.timings),
    )
