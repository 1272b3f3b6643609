"""Who writes the tables of a dataset: its stream, or batch runs; never both."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.contracts import DatasetContract
from orchestration.errors import ConflictError
from orchestration.flink.client.models import TERMINAL, JobOverview
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.engine import open_engine
from orchestration.flink.queries.names import parse_job_name
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.registry import Registry
from orchestration.flink.queries.states import Desired, QueryState
from orchestration.lakehouse.streams.definition import safe_stream_name, stream_name
from orchestration.settings import Settings


@dataclass(frozen=True)
class StreamPresence:
    """What there is of a dataset's stream.

    Attributes:
        record: None: it was never deployed, or it was deleted.
        jobs: its jobs that are not over, whether the registry knows them or not.
    """

    name: str
    record: QueryRecord | None
    jobs: tuple[JobOverview, ...]

    @property
    def owns_tables(self) -> bool:
        """Whether no other job may write the tables: a job lives, or is going to be started again."""
        wanted = self.record is not None and self.record.desired is Desired.RUNNING
        return bool(self.jobs) or (wanted and self.record is not None and self.record.state is not QueryState.DELETED)

    @property
    def job(self) -> JobOverview | None:
        """Its job that is not over.

        Raises:
            ConflictError: there are two.
        """
        if len(self.jobs) > 1:
            ids = ", ".join(job.id for job in self.jobs)
            raise ConflictError(
                f"stream {self.name} has {len(self.jobs)} jobs that are not over: {ids}",
                hint="cancel the one that `millrace stream status` does not name: `millrace jobs cancel ID`",
            )
        return self.jobs[0] if self.jobs else None

    def require_job(self) -> JobOverview:
        """Return its job that is not over.

        Raises:
            ConflictError: there is none, or there are two.
        """
        job = self.job
        if job is None:
            raise ConflictError(
                f"stream {self.name} is meant to run and has no job",
                hint="bring it back with `millrace stream deploy`, or take its tables from it with `millrace stream "
                "stop`",
                context={"stream": self.name},
            )
        return job


def find_stream(settings: Settings, contract: DatasetContract, registry: Registry, rest: FlinkRest) -> StreamPresence:
    """Return what there is of the stream, from the registry and from the cluster.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    name, safe = stream_name(contract.name), safe_stream_name(contract.name)
    record = registry.get(name)
    jobs: list[JobOverview] = []
    for job in rest.jobs_overview():
        parsed = parse_job_name(job.name)
        is_ours = parsed is not None and (parsed.namespace, parsed.safe) == (settings.sql_engine_namespace, safe)
        if is_ours and job.state not in TERMINAL:
            jobs.append(job)
    return StreamPresence(name, record if record is not None and record.name == name else None, tuple(jobs))


def require_no_stream(settings: Settings, contract: DatasetContract, step: str) -> None:
    """Refuse a batch step whose tables a stream writes. The caller holds the lock that a deploy takes as well.

    Raises:
        ConflictError: the stream runs, or is meant to run and may come back at any moment.
    """
    with open_engine(settings) as engine:
        presence = find_stream(settings, contract, engine.registry, engine.rest)
    if not presence.owns_tables:
        return
    job = presence.jobs[0].id if presence.jobs else None
    how = f"runs as job {job}" if job is not None else "is meant to run"
    raise ConflictError(
        f"{step} of {contract.name} was refused: stream {presence.name} {how} and writes the same tables",
        hint="stop it with `millrace stream stop`, then run again; or leave the tables to the stream",
        context={"stream": presence.name, "job_id": job or ""},
    )
