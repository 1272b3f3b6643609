"""Prometheus metrics of one SQL engine, in a registry of their own.

The engine reports what it did (`statement`, `phase`, `rows`, `replay`, `http_retry`). What the cluster does is asked
when somebody scrapes, so an engine that nobody watches costs no request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from orchestration.errors import MillraceError
from orchestration.flink.monitoring.health import Reading

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_ID = re.compile(r"/(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+)(?=/|$)")
"""Job ids, session and operation handles, and result tokens: a label for each would never end."""


@dataclass(frozen=True)
class ClusterFigures:
    """What a scrape learned about the cluster.

    Args:
        queries: state of persistent queries to their number.
        jobs: query name to the reading of its job.
    """

    slots_total: int
    slots_free: int
    queries: Mapping[str, int]
    jobs: Mapping[str, Reading]


Sessions = Mapping[tuple[str, str], int]
"""(mode, state) to the number of gateway sessions; state is `busy` or `idle`."""


class EngineMetrics:
    """Counters of one engine. Methods are cheap and safe to call from any thread; no label ever holds SQL text."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._statements = Counter(
            "sql_engine_statements",
            "Statements by class, outcome and error code",
            ("class", "outcome", "code"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sql_engine_statement_seconds",
            "Duration of a statement's phases: open, ready, first_row, total",
            ("phase",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._rows = Counter("sql_engine_rows", "Rows handed to callers", registry=self.registry)
        self._replays = Counter("sql_engine_session_replays", "Sessions that were replaced", registry=self.registry)
        self._retries = Counter(
            "sql_engine_http_retries", "Repeated requests by endpoint", ("endpoint",), registry=self.registry
        )

    def statement(self, kind: str, outcome: str, code: str = "") -> None:
        """Count a statement that is over.

        Args:
            kind: its class: query, dml, ddl, session, info, job.
            outcome: ok, error or cancelled.
            code: the error's code; empty without an error.
        """
        self._statements.labels(kind, outcome, code).inc()

    def phase(self, phase: str, seconds: float) -> None:
        """Record how long a phase took: open, ready, first_row or total."""
        self._seconds.labels(phase).observe(seconds)

    def rows(self, count: int) -> None:
        """Count rows that a caller got."""
        self._rows.inc(count)

    def replay(self) -> None:
        """Count a session that was lost and opened anew."""
        self._replays.inc()

    def http_retry(self, endpoint: str) -> None:
        """Count a request that is sent once more; ids in the path become `{id}`."""
        self._retries.labels(_ID.sub("/{id}", endpoint.partition("?")[0])).inc()

    def watch_sessions(self, read: Callable[[], Sessions]) -> None:
        """Have each scrape ask `read` for the open sessions."""
        self.registry.register(_Asked(lambda: _session_metrics(read())))

    def watch_cluster(self, read: Callable[[], ClusterFigures]) -> None:
        """Have each scrape ask `read` for slots, queries and jobs.

        A cluster that does not answer takes nothing from the scrape but its own numbers: `sql_engine_cluster_up` is 0.
        """
        self.registry.register(_Asked(lambda: _cluster_metrics(read)))

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _Asked(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not ask the cluster."""
        return ()


def _session_metrics(sessions: Sessions) -> Iterator[Metric]:
    family = GaugeMetricFamily("sql_engine_sessions", "Open gateway sessions", labels=("mode", "state"))
    for (mode, state), count in sorted(sessions.items()):
        family.add_metric((mode, state), count)
    yield family


def _cluster_metrics(read: Callable[[], ClusterFigures]) -> Iterator[Metric]:
    try:
        figures = read()
    except MillraceError:
        yield GaugeMetricFamily("sql_engine_cluster_up", "Whether the Flink cluster answers", value=0)
        return
    yield GaugeMetricFamily("sql_engine_cluster_up", "Whether the Flink cluster answers", value=1)
    yield _family(
        "sql_engine_slots",
        "Task slots of the cluster",
        ("state",),
        {("free",): figures.slots_free, ("used",): figures.slots_total - figures.slots_free},
    )
    yield _family(
        "sql_engine_persistent_queries",
        "Persistent queries by state",
        ("state",),
        {(state,): count for state, count in figures.queries.items()},
    )
    yield from _job_metrics(figures.jobs)


def _job_metrics(jobs: Mapping[str, Reading]) -> Iterator[Metric]:
    per_query: tuple[tuple[str, str, Callable[[Reading], float | None]], ...] = (
        ("restarts", "Restarts since the job was submitted", lambda job: job.restarts),
        ("checkpoint_age_seconds", "Since the last completed checkpoint", lambda job: job.checkpoint_age_s),
        ("failed_checkpoints", "Failed checkpoints since the job was submitted", lambda job: job.failed_checkpoints),
        ("uptime_seconds", "Since the job's last start", lambda job: job.uptime_s),
        ("read_records", "Records that the sources read", lambda job: job.read_records),
        ("write_records", "Records that vertices passed on", lambda job: job.write_records),
    )
    for name, text, value_of in per_query:
        values = {(query,): value for query, job in jobs.items() if (value := value_of(job)) is not None}
        yield _family(f"sql_engine_job_{name}", text, ("query",), values)
    spent = {
        (query, kind): milliseconds / 1000 for query, job in jobs.items() for kind, milliseconds in job.spent_ms.items()
    }
    yield _family("sql_engine_job_task_seconds", "What the tasks spent their time on", ("query", "kind"), spent)


def _family(name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family
