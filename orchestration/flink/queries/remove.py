"""Removes what deploys of a query made: tables in lasting catalogs, topics, folders of files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestration.flink.queries.plan import is_in_memory
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.restore import local_path
from orchestration.flink.queries.topics import delete_topic
from orchestration.flink.sessions.session import SessionSpec
from orchestration.sql import quote_flink

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine
    from orchestration.flink.queries.outcome import Steps


def drop_tables(engine: SqlEngine, tables: Iterable[str]) -> list[str]:
    """DROP TABLE IF EXISTS for tables in lasting catalogs, with their data; returns the ones that it was done for.

    A table in a session's memory went with its session.

    Args:
        tables: unquoted full paths.
    """
    lasting = [table for table in tables if not is_in_memory(table)]
    if not lasting:
        return []
    with engine.session(SessionSpec(name="drop")) as session:
        for table in lasting:
            path = ".".join(quote_flink(part) for part in table.split("."))
            for needed in engine.tables.statements_for(path):
                session.execute(needed.ddl).close()
            session.execute(f"DROP TABLE IF EXISTS {path}").close()
    return lasting


def drop_data(engine: SqlEngine, record: QueryRecord, steps: Steps) -> list[str]:
    """Delete topics and folders that the query wrote; returns their names. What cannot be deleted gives a warning."""
    dropped: list[str] = []
    for topic in _split(record.topic):
        problem = delete_topic(engine.settings, topic, record.ddl or "")
        if problem is None:
            dropped.append(f"topic {topic}")
        else:
            steps.warn(f"topic {topic} is still there: {problem}")
    for address in _split(record.path):
        folder = local_path(address)
        if folder is None:
            steps.warn(f"the files under {address} are still there: delete them with the tools of that storage")
        elif folder.is_dir():
            shutil.rmtree(folder)
            dropped.append(str(folder))
    return dropped


def kept_tables(record: QueryRecord) -> Sequence[str]:
    """Return the tables of a query in lasting catalogs: dropping one deletes its rows."""
    return [table for table in record.own_sinks if not is_in_memory(table)]


def _split(names: str | None) -> list[str]:
    return names.split(", ") if names else []
