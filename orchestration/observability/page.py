"""The page: every source asked side by side, each with its own time limit, and kept for some seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from orchestration.errors import MillraceError
from orchestration.observability.families import gauge

Collect = Callable[[], Sequence[Metric]]


@dataclass(frozen=True)
class Source:
    """Where some of the metrics come from.

    Attributes:
        timeout_s: how long a scrape waits for it.
        keep_s: for how long an answer, or a failure, serves further scrapes.
    """

    name: str
    collect: Collect
    timeout_s: float = 10.0
    keep_s: float = 5.0


@dataclass(frozen=True)
class _Answer:
    """What a source said; `failure` is the code of an error, None without one."""

    families: tuple[Metric, ...]
    began: float
    ended: float
    failure: str | None = None


class _Asked:
    """One source between scrapes. It never runs twice at once: whoever comes meanwhile waits for the same answer."""

    def __init__(self, source: Source, clock: Callable[[], float]) -> None:
        self.source = source
        self._clock, self._lock = clock, threading.Lock()
        self._answer: _Answer | None = None
        self._running: threading.Event | None = None
        self._began = 0.0

    def ask(self) -> threading.Event | None:
        """Start looking if that is due; return what is set when the answer is there, None: it is there."""
        with self._lock:
            answer = self._answer
            if self._running is None and answer is not None and self._clock() - answer.ended < self.source.keep_s:
                return None
            if self._running is None:
                self._running, self._began = threading.Event(), self._clock()
                # A daemon: a library that hangs must not keep the process from ending.
                threading.Thread(target=self._look, args=(self._running,), daemon=True).start()
            return self._running

    def _look(self, done: threading.Event) -> None:
        families, failure = tuple[Metric, ...](), None
        try:
            families = tuple(self.source.collect())
        except MillraceError as error:
            failure = error.code
        # Whatever a client library raises: the other sources have nothing to do with it.
        except Exception as error:  # noqa: BLE001
            failure = type(error).__name__
        with self._lock:
            self._answer = _Answer(families, self._began, self._clock(), failure)
            self._running = None
        done.set()

    def answer(self, running: threading.Event | None) -> _Answer:
        """Return the answer. One that is overdue counts as a failure: old values are not shown as new.

        A source that hangs is waited for once, by the scrape that asked it.
        """
        if running is not None and not running.wait(max(self._began + self.source.timeout_s - self._clock(), 0.0)):
            return _Answer((), self._began, self._clock(), "timeout")
        assert self._answer is not None
        return self._answer


class Page(Collector):
    """Collects all sources for a scrape. Safe for several scrapes at once."""

    def __init__(self, sources: Sequence[Source], clock: Callable[[], float] = time.monotonic) -> None:
        self._asked = [_Asked(source, clock) for source in sources]
        self._clock = clock

    def describe(self) -> Iterator[Metric]:
        """Return nothing: registering must not ask anybody."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the families of all sources, then how asking each of them went. Raises nothing."""
        running = [(one, one.ask()) for one in self._asked]
        answers = {one.source.name: one.answer(event) for one, event in running}
        for answer in answers.values():
            yield from answer.families
        yield gauge(
            "millrace_scrape_success",
            "Whether the source of these metrics answered in time",
            ("source",),
            {(name,): float(answer.failure is None) for name, answer in answers.items()},
        )
        yield gauge(
            "millrace_scrape_duration_seconds",
            "How long the source took, or was waited for",
            ("source",),
            {(name,): answer.ended - answer.began for name, answer in answers.items()},
        )
        yield gauge(
            "millrace_scrape_failure",
            "Why a source did not answer, by the code of the error",
            ("source", "code"),
            {(name, answer.failure): 1.0 for name, answer in answers.items() if answer.failure is not None},
        )
