"""Time `SELECT 1` through the SQL engine on a warm pool, against the gateway's own time for the same statement.

    .venv/bin/python benchmarks/sql_overhead.py [--queries 40]

The gateway's own time is that of the plain calls: submit, then fetch until the end without pauses, on a session that is
open, with the settings that the engine sends. The two take turns, so that both see the same load. Prints one JSON
object: median and 95th percentile of each in ms, and the differences of the medians. The stack must be running.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.reading.results import QUERY_DEFAULTS
from orchestration.settings import load_settings

SQL = "SELECT 1"


def time_plainly(gateway: GatewayClient, session: str) -> float:
    """Return the seconds that the gateway itself needs from the submit to the end of the result."""
    start = time.perf_counter()
    operation = gateway.submit_statement(session, SQL, QUERY_DEFAULTS)
    page, rows = gateway.fetch_result(session, operation), 0
    while True:
        rows += len(page.results.data)
        if page.result_type == "EOS":
            break
        page = gateway.fetch_next(page.next_uri) if page.next_uri else gateway.fetch_result(session, operation)
    took = time.perf_counter() - start
    gateway.close_operation(session, operation)
    assert rows == 1
    return took


def time_engine(engine: SqlEngine) -> float:
    """Return the seconds from `execute` to the end of the stream."""
    start = time.perf_counter()
    assert len(engine.execute(SQL).to_list()) == 1
    return time.perf_counter() - start


def summary(seconds: list[float]) -> dict[str, float]:
    """Return median and 95th percentile in ms."""
    cuts = statistics.quantiles(seconds, n=20)
    return {"p50_ms": round(statistics.median(seconds) * 1000, 1), "p95_ms": round(cuts[18] * 1000, 1)}


def measure(queries: int, plainly: Callable[[], float], through: Callable[[], float]) -> dict[str, object]:
    """Return the figures of both ways, after a few unmeasured runs."""
    for _ in range(5):
        plainly()
        through()
    own, engine = list[float](), list[float]()
    for _ in range(queries):
        own.append(plainly())
        engine.append(through())
    figures = {"gateway": summary(own), "engine": summary(engine)}
    over = round(figures["engine"]["p50_ms"] - figures["gateway"]["p50_ms"], 1)
    return {"queries": queries, **figures, "overhead_p50_ms": over, "load_1m": os.getloadavg()[0]}


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=40, help="timed queries of each kind (default: 40)")
    options = parser.parse_args()
    with open_engine(load_settings()) as engine:
        session = engine.gateway.open_session("sql-overhead", {"execution.runtime-mode": "streaming"})
        try:
            figures = measure(
                options.queries, lambda: time_plainly(engine.gateway, session), lambda: time_engine(engine)
            )
        finally:
            engine.gateway.close_session(session)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
