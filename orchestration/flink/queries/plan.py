"""What a deploy would do: the sinks it makes and the statement it submits. Looks, and changes nothing that lasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from orchestration.errors import SqlRefusedError
from orchestration.flink.queries.inserts import Insert, job_statement, parse_inserts
from orchestration.flink.queries.names import sink_table_name
from orchestration.flink.queries.outcome import Steps
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.sessions.session import SessionSpec
from orchestration.flink.tables.schema import QuerySchema, describe_query
from orchestration.flink.tables.sinks import SinkPlan, compare_columns, plan_sink, table_exists
from orchestration.flink.text.ddl import read_head
from orchestration.flink.text.durations import format_duration
from orchestration.flink.text.references import resolve_ddl
from orchestration.flink.text.script import split_script
from orchestration.flink.text.tokens import tokenize

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine
    from orchestration.flink.sessions.logical import LogicalSession

_MEMORY = ("default_catalog", "default_database")
"""Where Flink puts a table that is named without a catalog: in the session's memory, gone with the session."""

_RETENTION = "execution.checkpointing.externalized-checkpoint-retention"


@dataclass(frozen=True)
class Branch:
    """One INSERT with its sink.

    Attributes:
        table: full path of the table that it writes, unquoted.
        target: the same as it goes into SQL; None: the INSERT goes where it says.
        sink: how the table is made; None: it is there, and not ours.
        is_new: no earlier deploy of the query made it.
        is_remade: an earlier one did, and the table holds nothing itself: it is declared anew, with today's options.
    """

    insert: Insert
    schema: QuerySchema
    table: tuple[str, ...]
    target: str | None = None
    sink: SinkPlan | None = None
    is_new: bool = False
    is_remade: bool = False

    @property
    def is_lasting(self) -> bool:
        """Whether the table outlives the session."""
        return self.sink is not None and not self.sink.is_in_session

    def statements(self) -> list[str]:
        """Return what makes the sink, with secrets: never log it. Empty when there is nothing to make."""
        if self.sink is None:
            return []
        remove = [f"DROP TABLE IF EXISTS {self.sink.table}"] if self.is_remade else []
        return [*self.sink.setup, *remove, self.sink.ddl]


@dataclass(frozen=True)
class JobPlan:
    """A job that can be started."""

    spec: QuerySpec
    statement: str
    branches: tuple[Branch, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def new_tables(self) -> tuple[str, ...]:
        """Full paths of the tables that this deploy makes for the first time."""
        return tuple(".".join(branch.table) for branch in self.branches if branch.is_new)

    def record_fields(self, own_sinks: Sequence[str]) -> dict[str, Any]:
        """Return the fields of the query's record that say where it writes.

        Args:
            own_sinks: tables that earlier deploys of the query made.
        """
        planned = [branch.sink for branch in self.branches if branch.sink is not None]
        kinds = {kind for branch in self.branches for kind in branch.schema.changelog}
        return {
            "sinks": tuple(".".join(branch.table) for branch in self.branches),
            "own_sinks": tuple(dict.fromkeys([*own_sinks, *self.new_tables])),
            "connector": ", ".join(dict.fromkeys(sink.connector for sink in planned)) or None,
            "topic": ", ".join(sink.topic for sink in planned if sink.topic) or None,
            "path": ", ".join(sink.path for sink in planned if sink.path) or None,
            "ddl": ";\n".join(sink.shown_ddl for sink in planned) or None,
            "changelog": tuple(kind for kind in ("I", "UB", "UA", "D") if kind in kinds),
            "key_columns": tuple(dict.fromkeys(column for sink in planned for column in sink.key_columns)),
        }


def session_spec(spec: QuerySpec, *, default_parallelism: int) -> SessionSpec:
    """Return the session that a query is planned and submitted in."""
    return SessionSpec(name="deploy", mode=spec.mode, properties=session_settings(spec, default_parallelism))


def session_settings(spec: QuerySpec, default_parallelism: int) -> dict[str, str]:
    """Return the Flink settings of a query's job, without its name, its id and where it starts from.

    Its last checkpoint is kept when it is canceled, so that it can be started again from there. A batch job is not
    restarted by Flink: what it committed would be committed again.
    """
    settings = {
        "parallelism.default": str(spec.parallelism or default_parallelism),
        "table.local-time-zone": "UTC",
    }
    if spec.mode == "batch":
        settings["restart-strategy.type"] = "none"
    if spec.checkpoint_interval is not None:
        settings["execution.checkpointing.interval"] = format_duration(spec.checkpoint_interval)
        settings[_RETENTION] = "RETAIN_ON_CANCELLATION"
    if spec.state_ttl is not None:
        settings["table.exec.state.ttl"] = format_duration(spec.state_ttl)
    return settings | spec.execution


def restore_settings(path: str | None, *, allow_non_restored_state: bool) -> dict[str, str]:
    """Return the settings that let a job start from a savepoint or checkpoint; None: from nothing."""
    if path is None:
        return {}
    ignore = "true" if allow_non_restored_state else "false"
    return {
        "execution.state-recovery.path": path,
        "execution.state-recovery.ignore-unclaimed-state": ignore,
    }


def plan_job(engine: SqlEngine, session: LogicalSession, spec: QuerySpec, record: QueryRecord, steps: Steps) -> JobPlan:
    """Return the plan of a query's job. Declares its inputs in the session; creates no sink and starts no job.

    Raises:
        SqlRefusedError: a branch has no alias for a column, no key, or its sink is there with other columns.
        StatementError: Flink refuses an input or a query.
        ConfigError: the sink's profile or options are wrong.
    """
    inserts = parse_inserts(spec.query)
    with steps.step("inputs", "declaring the tables that the query reads"):
        declare_inputs(engine, session, spec)
    branches: list[Branch] = []
    for number, insert in enumerate(inserts, start=1):
        which = f" of INSERT {number}" if len(inserts) > 1 else ""
        with steps.step("schema", f"reading the columns and changes{which} from Flink's plan"):
            schema = describe_query(session, insert.query)
        with steps.step("sink", f"planning the sink{which}"):
            branches.append(_plan_branch(engine, session, spec, record, insert, schema))
    generated = {branch.insert: branch.target for branch in branches if branch.target is not None}
    warnings = tuple(warning for branch in branches if branch.sink is not None for warning in branch.sink.warnings)
    return JobPlan(spec, job_statement(inserts, generated), tuple(branches), warnings)


def declare_inputs(engine: SqlEngine, session: LogicalSession, spec: QuerySpec) -> None:
    """Create in the session what the query reads: declared sources, sinks of other queries, and its own inputs.

    An input is a statement, or the name of a declared source that the query's text does not mention by itself. A
    statement's references are resolved here: whoever may deploy may read what the process's environment holds.

    Raises:
        ConfigError: a reference stands for nothing.
    """
    own = [text for text in spec.inputs if _is_statement(text)]
    for ddl in engine.tables.statements_for("\n".join([spec.query, *spec.inputs]), mode=spec.mode):
        session.execute(ddl.ddl).close()
    for statement in own:
        session.execute(resolve_ddl(statement)).close()


def _plan_branch(
    engine: SqlEngine,
    session: LogicalSession,
    spec: QuerySpec,
    record: QueryRecord,
    insert: Insert,
    schema: QuerySchema,
) -> Branch:
    if insert.table and (not insert.is_plain or _is_foreign(session, insert.quoted_table, insert.table, record)):
        return Branch(insert, schema, full_path(insert.table))
    interval = spec.checkpoint_interval
    sink = plan_sink(
        spec.sink,
        schema,
        table=".".join(insert.table) or spec.sink.table or sink_table_name(spec.name, record.id),
        job_name=record.job_name,
        profiles=engine.profiles,
        settings=engine.settings,
        checkpoint_interval_ms=None if interval is None else round(interval / timedelta(milliseconds=1)),
    )
    table = full_path(_parts(sink.table))
    is_ours = ".".join(table) in record.own_sinks
    for ddl in engine.tables.statements_for(sink.table, mode=spec.mode):
        session.execute(ddl.ddl).close()
    if is_ours and record.started_at is None:
        # Its job never ran, so the table holds nothing, whatever its columns are.
        return Branch(insert, schema, table, sink.table, sink, is_remade=True)
    if is_ours and sink.is_in_session:
        _declare_as_it_was(session, record, table)
    if not table_exists(session, sink.table):
        return Branch(insert, schema, table, sink.table, sink, is_new=True)
    _refuse_differences(session, sink, schema, spec)
    if not is_ours:
        return Branch(insert, schema, table, sink.table)
    return Branch(insert, schema, table, sink.table, sink, is_remade=sink.is_in_session)


def _declare_as_it_was(session: LogicalSession, record: QueryRecord, table: tuple[str, ...]) -> None:
    """Declare a sink as the query's last deploy did, to compare its columns; masked secrets do not matter for that."""
    for statement in split_script(record.ddl or ""):
        head = read_head(statement.text)
        if head is not None and full_path(head.path) == table:
            session.execute(statement.text).close()


def _is_foreign(session: LogicalSession, quoted: str, table: tuple[str, ...], record: QueryRecord) -> bool:
    """Whether the table is there and was not made by a deploy of this query."""
    return ".".join(full_path(table)) not in record.own_sinks and table_exists(session, quoted)


def _refuse_differences(session: LogicalSession, sink: SinkPlan, schema: QuerySchema, spec: QuerySpec) -> None:
    differences = compare_columns(session, sink.table, schema, keep_char=spec.sink.keep_char)
    if differences:
        raise SqlRefusedError(
            f"table {sink.table} is there and does not fit the query: {'; '.join(differences)}",
            hint="change the query, name another table with sink.table, or delete the old query with its sink",
            context={"code": "sink_incompatible", "table": sink.table},
        )


def explain(statement: str) -> str:
    """Return the EXPLAIN of an INSERT or of a statement set: Flink's own dry run."""
    return f"EXPLAIN {statement.removeprefix('EXECUTE ')}"


def full_path(table: Sequence[str]) -> tuple[str, ...]:
    """Return a table's path with catalog and database, as Flink resolves it in a new session."""
    return (*_MEMORY[: max(3 - len(table), 0)], *table)


def is_in_memory(table: str) -> bool:
    """Whether a table, given by its unquoted full path, exists in sessions only."""
    return table.startswith(f"{_MEMORY[0]}.")


def _parts(quoted: str) -> tuple[str, ...]:
    return tuple(token.name for token in tokenize(quoted) if token.name)


def _is_statement(text: str) -> bool:
    return len(text.split()) > 1
