"""One look at all persistent queries: from records and jobs to verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from orchestration.errors import UnreachableError
from orchestration.flink.client.models import TERMINAL, JobOverview
from orchestration.flink.jobs.wait import LOST
from orchestration.flink.monitoring.health import Reading, read_job
from orchestration.flink.monitoring.metrics import ClusterFigures
from orchestration.flink.monitoring.rounds import Memory, Round, Watched, go_round
from orchestration.flink.provider import FlinkBacked, StreamEngine
from orchestration.flink.queries.names import parse_job_name
from orchestration.flink.queries.states import LIVE, Desired, QueryState

if TYPE_CHECKING:
    from orchestration.flink.client.rest import FlinkRest
    from orchestration.flink.queries.listing import QueryView


def look(engine: StreamEngine, memory: Memory, now: datetime) -> Round:
    """Read all queries that should run, and judge them; streams of the lakehouse are left to those who know them.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    if not isinstance(engine, FlinkBacked):
        return go_round([job for view in engine.list() if (job := watch(view, now)) is not None], memory, now)
    silent = silent_gateway(engine)
    # Before the list: the record of a job is there before the job.
    jobs = engine.rest.jobs_overview()
    views = engine.list()
    active = engine.registry.active()
    restartable = {one.id for one in active if one.spec and one.spec.restart_policy.kind == "on_failure"}
    watched = [job for view in views if (job := watch(view, now, engine, view.id in restartable)) is not None]
    known = {view.id for view in views if view.id}
    return go_round(watched, memory, now, silent=silent, strays=strays(jobs, engine.registry.namespace, known))


def watch(
    view: QueryView, now: datetime, engine: FlinkBacked | None = None, may_restart: bool = False
) -> Watched | None:
    """Return what is to be judged of a query, or None: it should not run, is over, or somebody is at work on it.

    Args:
        engine: asked about a live job; None: an engine without a cluster, whose word is taken.
    """
    if view.desired != Desired.RUNNING:
        return None
    job = Watched(view.name, view.job_id, view.url, may_restart=may_restart)
    match view.state:
        case QueryState.LOST:
            return replace(job, reading=Reading(now, LOST))
        case QueryState.FAILED:
            code = "job_failed" if view.started_at else "deploy_failed"
            return replace(job, failure=view.error_text or _cause(view, engine), failure_code=code)
        case QueryState.STOPPED:
            return replace(job, failure="somebody canceled the job", failure_code="job_canceled")
        case state if state in LIVE and engine is not None and view.job_id is not None:
            return replace(job, reading=read_job(engine.rest, view.job_id, now))
        case state if state in LIVE:
            return job
        case _:
            return None


def _cause(view: QueryView, engine: FlinkBacked | None) -> str:
    """Return what the cluster says of a failure that no reconcile has written down yet."""
    cause = read_job(engine.rest, view.job_id).cause if engine is not None and view.job_id is not None else ""
    return f"the job failed: {cause}" if cause else "the job failed"


def silent_gateway(engine: FlinkBacked) -> dict[str, str]:
    """Return why the gateway does not answer, by the name `gateway`; empty: it does.

    Raises:
        UnreachableError: it is the cluster that does not answer.
    """
    try:
        engine.probe()
    except UnreachableError as error:
        if error.code != "gateway_unreachable":
            raise
        return {"gateway": str(error)}
    return {}


def read_cluster(rest: FlinkRest, views: Iterable[QueryView]) -> ClusterFigures:
    """Return what a scrape of the metrics shows of slots, queries and their jobs.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    overview = rest.overview()
    known = list(views)
    return ClusterFigures(
        slots_total=overview.slots_total,
        slots_free=overview.slots_available,
        queries=Counter(view.state.value for view in known),
        jobs={view.name: read_job(rest, view.job_id) for view in known if view.job_id and view.state in LIVE},
    )


def strays(jobs: Iterable[JobOverview], namespace: str, known: Set[str]) -> list[str]:
    """Return the names of live jobs of a namespace that belong to none of the known queries."""
    live = [(job.name, parse_job_name(job.name)) for job in jobs if job.state not in TERMINAL]
    return sorted(name for name, said in live if said and said.namespace == namespace and said.query_id not in known)
