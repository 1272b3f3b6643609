"""The SQL engine as the commands open it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestration.cli.terminal import stdout_reserved

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine
    from orchestration.flink.reading.feed import Limits
    from orchestration.settings import Settings


@contextmanager
def opened_engine() -> Iterator[SqlEngine]:
    """Open the engine of the chosen instance; leaving it closes streams, then sessions."""
    with stdout_reserved():
        from orchestration.flink.engine import open_engine
        from orchestration.settings import load_settings

        settings = load_settings()
    with open_engine(settings) as engine:
        yield engine


@contextmanager
def operating_engine() -> Iterator[SqlEngine]:
    """As `opened_engine`, for operations on deployed queries: after a signal they take back what they began."""
    from orchestration.cli.sql.interrupts import Interrupts

    with Interrupts(), opened_engine() as engine:
        yield engine


def choose_limits(settings: Settings, max_rows: int | None, fetch_timeout_s: float | None) -> Limits:
    """Return the limits of an interactive query: what was asked for, else the settings; 0 means none."""
    from orchestration.flink.reading.feed import Limits

    return Limits(
        max_rows=settings.sql_engine_max_rows if max_rows is None else max_rows,
        fetch_timeout_s=settings.sql_engine_fetch_limit_s if fetch_timeout_s is None else fetch_timeout_s,
    )
