"""Keeping Dagster's SQLite engines for the length of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def kept_engines() -> Iterator[None]:
    """Let Dagster's event log use one SQLAlchemy engine a database in the block instead of one an event.

    `SqliteEventLogStorage._connect` (Dagster 1.13) makes an engine for each of the 1,000 statements of a run, and each
    compiles its SQL anew: 2 s of a run of 12 s. The engines have no pool, so connections still are opened and closed
    one by one, as SQLite wants it between threads.
    """
    from dagster._core.storage.event_log.sqlite import sqlite_event_log

    module: Any = sqlite_event_log
    make = module.create_engine
    engines: dict[str, Any] = {}

    def create(url: str, **options: Any) -> Any:
        if url not in engines:
            engines[url] = make(url, **options)
        return engines[url]

    module.create_engine = create
    try:
        yield
    finally:
        module.create_engine = make
