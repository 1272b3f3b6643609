"""Queries for the tests of deploy and life cycle: small, slow, at parallelism 1."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestration.flink.client.models import TERMINAL
from orchestration.flink.engine import SqlEngine
from orchestration.flink.queries.spec import QuerySpec
from orchestration.waiting import Backoff, wait_for

NUMBERS = (
    "CREATE TEMPORARY TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '20', "
    "'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '100000')"
)
STEADY_S = 1.0


def numbers_query(name: str, query: str = "SELECT n FROM numbers", **fields: Any) -> QuerySpec:
    """Return a query over 1, 2, 3, … with a checkpoint each 2 s."""
    defaults: Mapping[str, Any] = {
        "inputs": (NUMBERS,),
        "sink": {"profile": "blackhole"},
        "parallelism": 1,
        "checkpoint_interval": "2 s",
    }
    return QuerySpec.model_validate({"name": name, "query": query} | dict(defaults) | fields)


def written(path: str | None) -> list[int]:
    """Return the numbers in the finished files of a filesystem sink, sorted; each line is {"n": …}."""
    folder = Path((path or "").removeprefix("file://"))
    files = [file for file in folder.rglob("part-*") if not file.name.startswith((".", "_"))]
    return sorted(json.loads(line)["n"] for file in files for line in file.read_text().splitlines())


def wait_written(path: str | None, least: int, timeout_s: float = 30.0) -> list[int]:
    """Wait until at least so many rows are in finished files, and return them."""

    def look() -> tuple[list[int] | None, object]:
        rows = written(path)
        return (rows if len(rows) >= least else None), f"{len(rows)} rows"

    return wait_for(look, what=f"{least} rows in {path}", timeout_s=timeout_s, backoff=Backoff(0.2, 0.5))


def live_jobs(engine: SqlEngine) -> dict[str, str]:
    """Return the id and name of each live job of the engine's namespace."""
    prefix = f"{engine.registry.namespace}."
    jobs = engine.rest.jobs_overview()
    return {job.id: job.name for job in jobs if job.name.startswith(prefix) and job.state not in TERMINAL}


@contextmanager
def cleaned_up(engine: SqlEngine) -> Generator[None]:
    """Delete all queries of the engine's namespace afterwards, with their data, and cancel what still runs."""
    try:
        yield
        for record in engine.registry.active():
            engine.delete(record.id, drop_data=True, force=True)
    finally:
        for job_id in live_jobs(engine):
            engine.rest.cancel(job_id)
