"""The registry's database: tables, schema version, and what SQLite and PostgreSQL need to be told."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.pool import NullPool

from orchestration.errors import BusyError, ConfigError, UnreachableError
from orchestration.waiting import WaitTimeoutError, wait_for

_BUSY_S = 30.0
_MIGRATION_LOCK = 7_120_114
"""Key of PostgreSQL's advisory lock: two processes that open a new database make its tables once."""


class _UtcTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC in Python; SQLite stores it without its zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


_metadata = sa.MetaData()

SCHEMA_VERSION = sa.Table("schema_version", _metadata, sa.Column("version", sa.Integer, nullable=False))

QUERIES = sa.Table(
    "queries",
    _metadata,
    sa.Column("id", sa.String(8), primary_key=True),
    sa.Column("namespace", sa.String(32), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("spec", sa.JSON),
    sa.Column("spec_hash", sa.String(64), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("job_id", sa.String(32), index=True),
    sa.Column("job_name", sa.Text, nullable=False),
    sa.Column("connector", sa.Text),
    sa.Column("sinks", sa.JSON, nullable=False),
    sa.Column("own_sinks", sa.JSON, nullable=False),
    sa.Column("topic", sa.Text),
    sa.Column("path", sa.Text),
    sa.Column("ddl", sa.Text),
    sa.Column("changelog", sa.JSON, nullable=False),
    sa.Column("key_columns", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("desired", sa.String(16), nullable=False),
    sa.Column("stop_mode", sa.String(16)),
    sa.Column("savepoint_path", sa.Text),
    sa.Column("savepoint_request", sa.Text),
    sa.Column("checkpoint_path", sa.Text),
    sa.Column("error_code", sa.Text),
    sa.Column("error_text", sa.Text),
    sa.Column("has_run", sa.Boolean, nullable=False),
    sa.Column("restarts", sa.JSON, nullable=False),
    sa.Column("holder", sa.Text),
    sa.Column("held_until", _UtcTime),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", _UtcTime, nullable=False),
    sa.Column("updated_at", _UtcTime, nullable=False),
    sa.Column("started_at", _UtcTime),
    sa.Column("stopped_at", _UtcTime),
)

sa.Index(
    "queries_name",
    QUERIES.c.namespace,
    QUERIES.c.name,
    unique=True,
    sqlite_where=QUERIES.c.state != "DELETED",
    postgresql_where=QUERIES.c.state != "DELETED",
)

EVENTS = sa.Table(
    "events",
    _metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("query_id", sa.String(8), nullable=False, index=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("at", _UtcTime, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("before", sa.JSON, nullable=False),
    sa.Column("after", sa.JSON, nullable=False),
    sa.Column("error", sa.Text),
)

GENERATIONS = sa.Table(
    "generations",
    _metadata,
    sa.Column("query_id", sa.String(8), primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True),
    sa.Column("record", sa.JSON, nullable=False),
)

Migration = Callable[[sa.Connection], None]

MIGRATIONS: tuple[Migration, ...] = ()
"""Steps from version n + 1 to n + 2, oldest first. A new database gets the tables above and runs none of them."""


class Database:
    """An open registry database. Makes its tables at the first use; holds no connection between two uses.

    Args:
        url: SQLAlchemy URL, `sqlite:///path` or `postgresql://…`.
    """

    def __init__(self, url: str, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
        try:
            parsed = sa.make_url(url)
        except ArgumentError as error:
            raise ConfigError(
                "the address of the query registry is not a database URL",
                hint="SQL_ENGINE_REGISTRY is a path of a SQLite file, or postgresql://user@host/database",
            ) from error
        kind = parsed.get_backend_name()
        if kind not in ("sqlite", "postgresql", "postgres"):
            raise ConfigError(
                f"the query registry cannot be kept in {kind}", hint="SQL_ENGINE_REGISTRY takes SQLite and PostgreSQL"
            )
        self.is_sqlite = kind == "sqlite"
        if not self.is_sqlite:
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.shown_url = parsed.render_as_string(hide_password=True)
        self._path = Path(parsed.database) if self.is_sqlite and parsed.database else None
        self._migrations = migrations
        self._is_ready = False
        # No pool: a registry is asked seldom, and connections do not survive a fork.
        self._engine = sa.create_engine(parsed, poolclass=NullPool, hide_parameters=True)
        if self.is_sqlite:
            event.listen(self._engine, "connect", _set_up_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)

    @contextmanager
    def begin(self) -> Generator[sa.Connection]:
        """Give a connection in a transaction, which is committed at the end of the block.

        Raises:
            UnreachableError, BusyError, ConfigError: the database does not answer, stays locked, is broken or newer.
        """
        with self._errors():
            if not self._is_ready:
                self._prepare()
            with self._engine.begin() as connection:
                yield connection

    def _prepare(self) -> None:
        if self._path is not None and not self._path.exists():
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                # SQLite gives its side files the mode of the database.
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as error:
                raise ConfigError(
                    f"the query registry {self._path} cannot be made: {error.strerror}",
                    hint="SQL_ENGINE_REGISTRY chooses another place",
                ) from error
        with self._engine.begin() as connection:
            if not self.is_sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            self._migrate(connection)
        self._is_ready = True

    def _migrate(self, connection: sa.Connection) -> None:
        newest = len(self._migrations) + 1
        if not sa.inspect(connection).has_table(SCHEMA_VERSION.name):
            _metadata.create_all(connection)
            connection.execute(SCHEMA_VERSION.insert().values(version=newest))
            return
        version = connection.execute(sa.select(SCHEMA_VERSION.c.version)).scalar_one()
        if version > newest:
            raise ConfigError(
                f"the query registry {self.shown_url} was made by a newer millrace (schema {version}, ours {newest})",
                hint="use that version, or another registry with SQL_ENGINE_REGISTRY",
            )
        for migrate in self._migrations[version - 1 :]:
            migrate(connection)
        connection.execute(SCHEMA_VERSION.update().values(version=newest))

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            reason = " ".join(str(error.orig).split()) or type(error.orig).__name__
            if "locked" in reason:
                raise BusyError(
                    f"the query registry {self.shown_url} is locked by another process (waited {_BUSY_S:.0f} s)",
                    hint="run again when it has finished",
                ) from error
            if self.is_sqlite:
                raise ConfigError(
                    f"the query registry {self.shown_url} cannot be used: {reason}",
                    hint="move the file away and run 'millrace sql reconcile': running jobs get records again",
                ) from error
            raise UnreachableError(
                f"the query registry {self.shown_url} does not answer: {reason}",
                hint="check SQL_ENGINE_REGISTRY and the database",
            ) from error


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Make the file a write-ahead log's. Of two that open a new file at once SQLite refuses one without waiting."""

    def look() -> tuple[bool | None, object]:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            return None, error
        return True, "wal"

    try:
        wait_for(look, what="the registry's file", timeout_s=_BUSY_S)
    except WaitTimeoutError as error:
        raise sqlite3.OperationalError("database is locked") from error


def _set_up_sqlite(connection: Any, _: object) -> None:
    # The driver must not begin transactions by itself: it would take the write lock too late (see _begin_sqlite).
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_S * 1000:.0f}")
    _use_wal(cursor)
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # With a plain BEGIN two readers that both go on to write end in SQLITE_BUSY without waiting.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
