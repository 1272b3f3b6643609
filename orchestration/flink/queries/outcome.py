"""What the operations on deployed queries return, and how they report their steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)

OnProgress = Callable[[str], None]
"""Called with one sentence at the start of each step."""


@dataclass(frozen=True)
class DeployResult:
    """A query that runs, or ran to its end.

    Args:
        state: value of `QueryState`: RUNNING, or FINISHED when the query was bounded.
        unchanged: the same spec ran already; nothing was done.
        topic, path: where the rows go, for sinks of Kafka and of files; else None.
        changelog: what the query sends, such as "I" or "I,UB,UA".
        ddl: of the sinks, secrets masked.
        timings: seconds by step, in the order of the steps.
        restored_from: savepoint or checkpoint that the job started from, or None.
    """

    query_id: str
    name: str
    state: str
    generation: int
    job_id: str
    job_name: str
    url: str
    sink_table: str
    connector: str
    topic: str | None
    path: str | None
    changelog: str
    key_columns: tuple[str, ...]
    ddl: str
    unchanged: bool = False
    restored_from: str | None = None
    warnings: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class StopResult:
    """A query that no longer runs.

    Args:
        state: value of `QueryState`: SUSPENDED after a savepoint; STOPPED, FINISHED or FAILED else.
        changed: False when there was nothing left to stop.
        savepoint_path: of the savepoint that this stop or an earlier one made, or None.
    """

    query_id: str
    name: str
    job_id: str | None
    state: str
    changed: bool
    savepoint_path: str | None = None
    warnings: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class DeleteResult:
    """A query that is gone.

    Args:
        changed: False when it was deleted before.
        dropped: what was dropped with it: tables, topics, folders.
    """

    query_id: str
    name: str
    changed: bool
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class SavepointResult:
    """A savepoint of a query that goes on running."""

    query_id: str
    name: str
    job_id: str
    path: str
    elapsed_s: float


class Steps:
    """Tells the caller each step, keeps how long it took, and logs it.

    Attributes:
        query_id, job_id: for the log; set when they are known.
    """

    def __init__(self, on_progress: OnProgress | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.query_id: str | None = None
        self.job_id: str | None = None
        self.timings: dict[str, float] = {}
        self.warnings: list[str] = []
        self._on_progress, self._clock = on_progress, clock

    @contextmanager
    def step(self, name: str, sentence: str) -> Generator[None]:
        """Say `sentence`, run the block, and add its seconds to `timings[name]`."""
        self.say(sentence)
        started, outcome = self._clock(), "failed"
        try:
            yield
            outcome = "ok"
        finally:
            seconds = round(self._clock() - started, 3)
            self.timings[name] = round(self.timings.get(name, 0.0) + seconds, 3)
            known = {"query_id": self.query_id, "job_id": self.job_id, "phase": name, "duration_s": seconds}
            fields = {key: value for key, value in known.items() if value is not None}
            _log.info("%s: %s", sentence, outcome, extra=fields)

    def say(self, sentence: str) -> None:
        """Report one sentence without timing it."""
        if self._on_progress is not None:
            self._on_progress(sentence)

    def warn(self, sentence: str) -> None:
        """Keep a warning for the result, and say it."""
        self.warnings.append(sentence)
        self.say(f"warning: {sentence}")
