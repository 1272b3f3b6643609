"""Running one batch job of the lakehouse on Flink: session, catalog, namespaces, and at most one job of its name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count, islice

from orchestration.catalog.client import access_of
from orchestration.catalog_refusals import explain_flink
from orchestration.contracts import DatasetContract
from orchestration.errors import FlinkError, JobFailedError
from orchestration.flink.client.connection import http_options
from orchestration.flink.client.failures import DuplicateJobError, JobNotFoundError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.models import LIVE, JobDetail
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.submit import JobResult, run_job
from orchestration.flink.jobs.wait import find_live_jobs, wait_for_end
from orchestration.flink.sessions.session import open_session
from orchestration.flink.text.catalog_sql import create_catalog, create_namespace
from orchestration.flink.text.render import write_rendered
from orchestration.locking import hold
from orchestration.settings import Settings
from orchestration.sql import split_table
from orchestration.storage import flink_catalog_options

Say = Callable[[str], None]

_MOST_REFUSALS = 20
"""Forgotten attempts at the same work; so many failed runs in a row have another cause."""


def be_silent(_: str) -> None:
    """Take a progress sentence and drop it."""


@contextmanager
def only_writer(settings: Settings, table: str, job: str, say: Say) -> Iterator[FlinkRest]:
    """Be the one that writes `table` for the block, once a job that an earlier run left is over; gives the cluster.

    Raises:
        BusyError: another run holds the table.
        UnreachableError, JobTimeoutError: the cluster does not answer, or the job left behind does not end.
    """
    with (
        hold(settings.instance_dir / "locks", table, wait_s=settings.lock_timeout_s, on_wait=say),
        FlinkRest(settings.flink_rest_url, options=http_options(settings)) as rest,
    ):
        for live in find_live_jobs(rest, job):
            say(f"waiting for job {live.id}, which an earlier run left behind")
            wait_for_end(rest, live.id, timeout_s=settings.job_timeout_s)
        yield rest


def run_insert(
    settings: Settings,
    contract: DatasetContract,
    rest: FlinkRest,
    *,
    name: str,
    tables: Mapping[str, str],
    insert: str,
    state: str,
    on_progress: Callable[[JobDetail], None] | None = None,
) -> JobResult:
    """Run `insert` as the batch job `name` and return when it is FINISHED.

    Args:
        tables: title to DDL, run in order in the session before the insert.
        state: text that identifies the state of the tables that this insert builds on. It decides the job's id, so
            Flink itself refuses a second job that would do the same work, also from another machine.

    Raises:
        JobFailedError: with the root cause; nothing was committed by the job.
        StatementError, UnreachableError, JobTimeoutError: as `run_job`.
        CatalogError: the catalog refused Flink.
    """
    namespaces = sorted({split_table(table)[0] for table in contract.tables.model_dump().values()})
    ddl = {
        "catalog": create_catalog(flink_catalog_options(settings)),
        **{f"namespace {namespace}": create_namespace(namespace) for namespace in namespaces},
        **tables,
    }
    rendered = settings.instance_dir / "rendered" / contract.name
    write_rendered(rendered, name.split(".")[1], {**ddl, "job": insert})
    properties = {
        "parallelism.default": str(settings.flink_parallelism),
        "table.local-time-zone": "UTC",
        "table.dml-sync": "false",
        # Iceberg's committer keeps no state in batch: restarted after its commit it would commit again. We repeat the
        # run instead, from where the table stands.
        "restart-strategy.type": "none",
    }
    with (
        _catalog_refusals(settings, name),
        GatewayClient(settings.flink_sql_gateway_url, options=http_options(settings)) as gateway,
        open_session(gateway, mode="batch", properties=properties, init=list(ddl.values()), name=name) as session,
    ):
        # The catalog is part of the work: two of them may share a cluster, and both begin with empty tables.
        seed = f"{settings.catalog_uri}|{settings.catalog_warehouse}|{settings.warehouse}|{name}|{state}"
        refusals: list[DuplicateJobError] = []
        for job_id in islice(_free_job_ids(rest, seed), _MOST_REFUSALS):
            try:
                return run_job(
                    session,
                    rest,
                    insert,
                    name=name,
                    job_id=job_id,
                    timeout_s=settings.job_timeout_s,
                    on_progress=on_progress,
                )
            except DuplicateJobError as error:
                # Flink refuses the id of a job that it no longer shows. That one committed nothing: else the state of
                # the tables, and with it the id, would be another.
                refusals.append(error)
    raise refusals[-1]


@contextmanager
def _catalog_refusals(settings: Settings, job: str) -> Iterator[None]:
    """Say what the catalog refused in the catalog's words, not as a fault of the statement."""
    try:
        yield
    except FlinkError as error:
        # The job's own process of getting tokens began before: a refusal in a running job is about its token.
        is_running = isinstance(error, JobFailedError)
        said = f"{error.message}\n{error.root_cause}" if isinstance(error, JobFailedError) else error.message
        found = explain_flink(said, access_of(settings), is_attached=is_running, doing=f"job {job}")
        if found is None:
            raise
        raise found from error


def _free_job_ids(rest: FlinkRest, seed: str) -> Iterator[str]:
    """Yield ids derived from `seed` under which no job is known to have ended.

    A failed attempt keeps its id for ever in Flink's job store, so the next attempt gets the next id; two processes
    that see the same state derive the same one.
    """
    for attempt in count():
        job_id = hashlib.md5(f"{seed}|{attempt}".encode(), usedforsecurity=False).hexdigest()
        try:
            state = rest.job(job_id).state
        except JobNotFoundError:
            yield job_id
            continue
        if state in LIVE:
            yield job_id
