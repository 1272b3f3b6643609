"""Plans the table that the rows of a query go to: its connector, columns, key and options, as one CREATE TABLE.

Everything is decided, and everything wrong is refused, before a statement is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestration.broker_security import flink_broker_options
from orchestration.errors import ConfigError, StatementError
from orchestration.flink.tables.columns import SinkColumn, find_differences, sink_columns
from orchestration.flink.tables.connectors import CONNECTORS, Connector
from orchestration.flink.tables.profiles import AUTO, Profiles
from orchestration.flink.tables.schema import Executes, QuerySchema, describe_table
from orchestration.flink.tables.sink_paths import sink_path
from orchestration.flink.tables.sink_request import SinkRequest
from orchestration.flink.tables.sink_rules import check_changes, check_names, choose_key, merge_options
from orchestration.flink.text.catalog_sql import create_namespace, quote_path, session_table
from orchestration.flink.text.references import resolve_ddl
from orchestration.naming import CATALOG
from orchestration.settings import Settings
from orchestration.sql import check_identifier, options_clause, quote_flink

_LONGEST_TRANSACTION_MS = "900000"
"""Kafka's default for `transaction.max.timeout.ms`; Flink would ask for an hour, which the broker refuses."""
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True)
class SinkPlan:
    """A sink before it exists.

    Attributes:
        profile, connector: `auto` is resolved.
        table: quoted path, for INSERT INTO.
        shown_ddl: CREATE TABLE with secrets as references: what is shown and stored. It can be sent again later,
            through `resolve_ddl`, so it must not be masked when it is stored.
        setup: statements to run before it, such as CREATE DATABASE IF NOT EXISTS.
        key_columns: columns of PRIMARY KEY, empty if it has none.
        is_in_session: the table is in the session's own catalog in memory, and gone with it.
        topic: Kafka topic that must exist before the job starts, or None. The embedded broker creates none by itself.
        compacted: the topic is to keep the latest record of each key only.
        path: folder that files are written to, or None.
    """

    profile: str
    connector: str
    table: str
    shown_ddl: str
    setup: tuple[str, ...] = ()
    key_columns: tuple[str, ...] = ()
    is_in_session: bool = True
    topic: str | None = None
    compacted: bool = False
    path: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def ddl(self) -> str:
        """CREATE TABLE as it is sent, secrets filled in; never log it.

        Raises:
            ConfigError: a secret cannot be read.
        """
        return resolve_ddl(self.shown_ddl)


def plan_sink(
    request: SinkRequest,
    schema: QuerySchema,
    *,
    table: str,
    job_name: str,
    profiles: Profiles,
    settings: Settings,
    checkpoint_interval_ms: int | None = None,
) -> SinkPlan:
    """Return the plan of a query's sink. Sends nothing and resolves no secret.

    Args:
        table: name of the table, `namespace.name` for Iceberg too.
        job_name: prefix of Kafka's transactions when delivery is exactly once.
        checkpoint_interval_ms: how often files are finished; None: the cluster's setting.

    Raises:
        SqlRefusedError: the columns cannot go into a table (code validation_failed, rule V15), the connector cannot
            take the query's changes (sink_incompatible), or there is no key (key_required).
        ConfigError: the profile does not exist, or an option is unknown or not allowed.
    """
    name = request.profile
    if name == AUTO:
        name = "kafka" if schema.is_append_only else "upsert-kafka"
    profile = profiles.get(name)
    connector = CONNECTORS[profile.connector]
    columns = sink_columns(schema.columns, keep_char=request.keep_char, auto_alias=request.auto_alias)
    options = merge_options(name, profile, request.options, connector)
    check_changes(name, connector, options, schema)
    key = choose_key(name, connector, options, schema, request.key_columns)
    check_names(key, request.partitioned_by, [column.name for column in columns], connector)
    draft = _Draft(name, connector, columns, key, request.partitioned_by, options)
    match connector.name:
        case "kafka" | "upsert-kafka":
            return _kafka(draft, table, job_name, flink_broker_options(settings, is_stored=True))
        case "filesystem":
            root = profile.root or str(settings.instance_dir / "sinks")
            return _filesystem(draft, table, root, checkpoint_interval_ms or settings.checkpoint_interval_ms)
        case "iceberg":
            return _iceberg(draft, table, profile.namespace)
        case "jdbc":
            return draft.plan(table, {"table-name": table})
        case _:
            return draft.plan(table, {})


def table_exists(session: Executes, table: str) -> bool:
    """Whether the session knows a table or view of this quoted path."""
    try:
        describe_table(session, table)
    except StatementError as error:
        if "doesn't exist" in error.message:
            return False
        raise
    return True


def compare_columns(session: Executes, table: str, schema: QuerySchema, *, keep_char: bool = False) -> list[str]:
    """Return how an existing table differs from what a query gives, one sentence each; empty if the query fits.

    Columns count in their order. A table may allow NULL where the query has none, and may have a wider type.

    Raises:
        StatementError: there is no such table.
        SqlRefusedError: a column of the query is of a type that no table holds.
    """
    return find_differences(
        describe_table(session, table), sink_columns(schema.columns, keep_char=keep_char, auto_alias=True)
    )


@dataclass(frozen=True)
class _Draft:
    """What is decided for every connector alike; `options` are those of profile and query."""

    profile: str
    connector: Connector
    columns: Sequence[SinkColumn]
    key: tuple[str, ...]
    partitions: tuple[str, ...]
    options: Mapping[str, str]

    def plan(self, table: str, generated: Mapping[str, str]) -> SinkPlan:
        """Return the plan of a connector table; the given options win over generated ones."""
        path = session_table(check_identifier(table, "sink table"))
        return self.plan_at(path, {"connector": self.connector.name, **generated, **self.options})

    def plan_at(self, path: str, options: Mapping[str, str]) -> SinkPlan:
        return SinkPlan(
            profile=self.profile,
            connector=self.connector.name,
            table=path,
            shown_ddl=self._create(path, options),
            key_columns=self.key,
            warnings=tuple(
                f"key column {column.name!r} can be NULL in the query, and a key cannot: such a row fails the job, or "
                "is dropped with table.exec.sink.not-null-enforcer=DROP"
                for column in self.columns
                if column.name in self.key and column.is_nullable
            ),
        )

    def _create(self, path: str, options: Mapping[str, str]) -> str:
        lines = [
            f"    {quote_flink(column.name)} {column.type}"
            + ("" if column.is_nullable and column.name not in self.key else " NOT NULL")
            for column in self.columns
        ]
        if self.key:
            lines.append(f"    PRIMARY KEY ({_names(self.key)}) NOT ENFORCED")
        body = ",\n".join(lines)
        partitioned = f" PARTITIONED BY ({_names(self.partitions)})" if self.partitions else ""
        clause = f" WITH (\n{options_clause(options)}\n)" if options else ""
        return f"CREATE TABLE IF NOT EXISTS {path} (\n{body}\n){partitioned}{clause}"


def _names(columns: Sequence[str]) -> str:
    return ", ".join(quote_flink(column) for column in columns)


def _kafka(draft: _Draft, table: str, job_name: str, broker: Mapping[str, str]) -> SinkPlan:
    is_upsert = draft.connector.name == "upsert-kafka"
    generated = {"topic": table, **broker, "sink.delivery-guarantee": "at-least-once"}
    if not is_upsert:
        generated["scan.startup.mode"] = "earliest-offset"
        if draft.key:
            generated |= {"key.format": "json", "key.fields": ";".join(draft.key)}
    if draft.options.get("sink.delivery-guarantee") == "exactly-once":
        generated |= {
            "sink.transactional-id-prefix": job_name,
            "properties.transaction.timeout.ms": _LONGEST_TRANSACTION_MS,
        }
    topic = draft.options.get("topic", table)
    if not _TOPIC.fullmatch(topic):
        raise ConfigError(
            f"{topic!r} is no name of a Kafka topic", hint="letters, digits, dot, underscore and hyphen; at most 249"
        )
    # A table of connector `kafka` has no primary key: there it is the key of the records.
    table_key = draft if is_upsert else replace(draft, key=())
    return replace(table_key.plan(table, generated), topic=topic, compacted=is_upsert)


def _filesystem(draft: _Draft, table: str, root: str, checkpoint_interval_ms: int) -> SinkPlan:
    """Files become visible at a checkpoint; the format is asked so that a file does not stay open for half an hour."""
    path = sink_path(root, table, draft.options.get("path"))
    every = f"{checkpoint_interval_ms} ms"
    generated = {
        "sink.rolling-policy.rollover-interval": every,
        "sink.rolling-policy.check-interval": every,
    }
    placed = replace(draft, options={**draft.options, "path": path})
    return replace(placed.plan(table, generated), path=path)


def _iceberg(draft: _Draft, table: str, namespace: str) -> SinkPlan:
    """A table in the catalog: it outlives the session, and its options are table properties."""
    given, dot, name = table.rpartition(".")
    if dot:
        namespace = given.removeprefix(f"{CATALOG}.")
    check_identifier(namespace, "namespace of the sink")
    path = quote_path(CATALOG, namespace, check_identifier(name, "sink table"))
    plan = draft.plan_at(path, {"format-version": "2", **draft.options})
    return replace(plan, setup=(create_namespace(namespace),), is_in_session=False)
