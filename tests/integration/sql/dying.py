"""A process that kills itself in the middle of an operation: python -m tests.integration.sql.dying WHAT NAME AT

WHAT is deploy, stop, upgrade or delete. It dies by SIGKILL right after effect number AT: a write of the registry, the
submit of the job, or a request to the cluster that changes a job. The environment says which stack and registry.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

from orchestration.flink.client.http import JsonHttp
from orchestration.flink.engine import open_engine
from orchestration.flink.queries.registry import Registry
from orchestration.flink.queries.spec import QuerySpec
from orchestration.settings import load_settings
from tests.integration.sql.queries import numbers_query

SINK = {"profile": "iceberg"}


def old_query(name: str) -> QuerySpec:
    """The query that is deployed first."""
    return numbers_query(name, "SELECT n * 2 AS n FROM numbers", sink=SINK)


def new_query(name: str) -> QuerySpec:
    """What it is upgraded to: the same operators, so that the state fits."""
    return numbers_query(name, "SELECT n * 3 AS n FROM numbers", sink=SINK)


def die_after(effect: int) -> None:
    """Wrap everything that changes the world; the process ends after the effect of that number, counted from 1."""
    numbers = count(1)

    def counted(function: Callable[..., Any], changes: Callable[..., bool]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if changes(*args, **kwargs) and next(numbers) == effect:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    def changes_a_job(http: JsonHttp, method: str, path: str, **kwargs: Any) -> bool:
        statement = str((kwargs.get("json_body") or {}).get("statement", ""))
        return method != "GET" and (path.startswith("/jobs/") or statement.startswith("INSERT"))

    Registry.insert = counted(Registry.insert, lambda *_, **__: True)  # type: ignore[method-assign]
    Registry._write = counted(Registry._write, lambda *_, **__: True)  # type: ignore[method-assign]
    JsonHttp.call = counted(JsonHttp.call, changes_a_job)  # type: ignore[method-assign]


def act(what: str, name: str) -> None:
    """Do it."""
    with open_engine(load_settings()) as engine:
        match what:
            case "deploy":
                engine.deploy(old_query(name), stable_for_s=0)
            case "stop":
                engine.stop(name)
            case "upgrade":
                engine.upgrade(new_query(name), stable_for_s=0)
            case "delete":
                engine.delete(name, drop_data=True)
            case other:
                raise SystemExit(f"what is {other}?")


if __name__ == "__main__":
    die_after(int(sys.argv[3]))
    act(sys.argv[1], sys.argv[2])
