"""What is meant to run and has no job. The cluster forgets its jobs when it ends; the registry does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestration.flink.client.models import TERMINAL, JobOverview
from orchestration.flink.engine import open_engine
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.states import Desired, QueryState, find_job
from orchestration.lakehouse.streams.definition import stream_name
from orchestration.settings import Settings

_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class MissingQuery:
    """A persistent query without a job.

    Attributes:
        dataset: whose stream it is; None: it is another query.
    """

    name: str
    dataset: str | None

    @property
    def command(self) -> str:
        """What brings it back."""
        return f"millrace stream deploy {self.dataset}" if self.dataset else "millrace sql reconcile --recover"


def find_missing_queries(settings: Settings) -> list[MissingQuery]:
    """Return the queries that are meant to run and have no job on the cluster, streams first. Changes nothing.

    Raises:
        UnreachableError: the cluster or the registry's database does not answer.
    """
    if not has_registry(settings):
        return []
    with open_engine(settings) as engine:
        records = engine.registry.active()
        return missing_queries(records, engine.rest.jobs_overview()) if records else []


def has_registry(settings: Settings) -> bool:
    """Whether anything was ever deployed, as far as can be told without making the registry's file."""
    registry = settings.query_registry
    return not registry.startswith(_SQLITE) or Path(registry.removeprefix(_SQLITE)).exists()


def missing_queries(records: Iterable[QueryRecord], jobs: Sequence[JobOverview]) -> list[MissingQuery]:
    """Return which of the queries are meant to run and have no job among `jobs`, streams first."""
    missing: list[MissingQuery] = []
    for record in records:
        job = find_job(record, jobs)
        is_live = job is not None and job.state not in TERMINAL
        if is_live or record.desired is not Desired.RUNNING or record.state is QueryState.FINISHED:
            continue
        dataset = record.spec.labels.get("dataset", "") if record.spec is not None else ""
        missing.append(MissingQuery(record.name, dataset if record.name == stream_name(dataset) else None))
    return sorted(missing, key=lambda one: (one.dataset is None, one.name))
