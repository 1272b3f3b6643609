"""Time an incremental build of gold after 1 % new rows against a full refresh, on a month of trips in Iceberg.

    .venv/bin/python benchmarks/gold_incremental.py [--rows 2964624] [--share 0.01]

Prints one JSON object. New rows are 1 % of the month: half on the day after it, half late ones on three of its days.
A full refresh meets the same: a month in gold, and as many new rows in silver. `ratio` is incremental by full refresh,
for `fct_trips` (wall clock) and for all models (wall clock and CPU); `ratio_to_first_build` takes the build of the
whole month into empty gold instead. `worst_case` has its 1 % spread over every day: every date is written again.

CPU seconds are those of this process, user and system: on a busy machine only they can be compared. A catalog of its
own is started and removed; silver is written by DuckDB, partitioned by date as by Flink, without broker and Flink.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestration.dbt_plugin.gold import connect_gold
from orchestration.dbt_plugin.runner import run_dbt
from orchestration.embedded.catalog_server import catalog_server
from orchestration.embedded.plan import jar_paths, make_folders
from orchestration.embedded.readiness import catalog_ready
from orchestration.settings import Settings, load_settings
from orchestration.waiting import wait_for
from tests.integration.lake import closed_port
from tests.integration.silver_rows import SILVER, make_silver

FACT = "model.millrace.fct_trips"


@contextmanager
def own_catalog(folder: Path) -> Iterator[Settings]:
    """Give settings with a catalog server of their own."""
    environ = {"MILLRACE_STATE_DIR": str(folder), "MILLRACE_INSTANCE": "bench", "CATALOG_PORT": str(closed_port())}
    settings = load_settings(environ=environ)
    make_folders(settings.instance_dir)
    server = catalog_server(settings, jar_paths(settings, "catalog"))
    server.write_files(settings.instance_dir)
    with Path(folder, "catalog.log").open("wb") as log:
        command = ["/bin/sh", "-c", f"exec {server.command(settings.instance_dir)}"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: catalog_ready(settings), what="the catalog", timeout_s=60)
        yield settings
    finally:
        process.terminate()
        process.wait(30)


def timed(settings: Settings, *args: str) -> dict[str, float]:
    """Return the seconds of a run of the models: of `fct_trips`, of all, and the CPU's for all."""
    before = cpu_s()
    run = run_dbt(settings, ["run", *args])
    run.require_success()
    used = cpu_s() - before
    fact = next((node.duration_s for node in run.nodes if node.unique_id == FACT), 0.0)
    return {"fct_trips": round(fact, 2), "all_models": round(run.duration_s, 2), "all_models_cpu": round(used, 2)}


def cpu_s() -> float:
    """Return the CPU seconds of this process."""
    used = os.times()
    return used.user + used.system


def news(rows: int, share: float, batch: str, day: str) -> str:
    """Return the statement that adds new rows to silver: copies of old ones under other keys and days.

    Args:
        day: SQL expression of the date of row `n`.
    """
    added = int(rows * share)
    moved = "(select *, row_number() over () as n from " + f"{SILVER} using sample {added} rows)"
    return (
        f"insert into {SILVER} by name select * exclude (n) replace ('{batch}' || n as trip_id, "
        f"({day}) as pickup_date, "
        f"({day}) + pickup_datetime::time as pickup_datetime, "
        f"({day}) + pickup_datetime::time + (dropoff_datetime - pickup_datetime) as dropoff_datetime, "
        f"ingestion_ts + interval 1 day as ingestion_ts) from {moved}"
    )


FEW_DAYS = "case when n % 2 = 0 then date '2024-02-01' else date '2024-01-05' + (n % 3)::int * 7 end"
EVERY_DAY = "date '2024-01-01' + (n % 31)::int"


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_964_624, help="rows of the month (default: January 2024)")
    parser.add_argument("--share", type=float, default=0.01, help="new rows as a share of them (default: 0.01)")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="millrace-bench-") as folder, own_catalog(Path(folder)) as settings:

        def build(*args: str, day: str) -> dict[str, float]:
            batch = f"late{next(batches)}-"
            with connect_gold(settings, read_only=False) as conn:
                conn.execute(news(options.rows, options.share, batch, day))
            return timed(settings, *args)

        batches = count(1)
        with connect_gold(settings, read_only=False) as conn:
            make_silver(conn, Path(folder), options.rows)
        run_dbt(settings, ["seed"]).require_success()
        first = timed(settings)
        incremental = build(day=FEW_DAYS)
        full = build("--full-refresh", day=FEW_DAYS)
        worst = build(day=EVERY_DAY)
        nothing = timed(settings)
        with connect_gold(settings) as conn:
            query = "select (select count(*) from {}), (select count(*) from lakehouse.gold.fct_trips), "
            query += "(select count(*) from lakehouse.gold.fct_trips where trip_id[:4] = 'late')"
            silver, facts, late = conn.execute(query.format(SILVER)).fetchall()[0]
        seconds = {"first_build": first, "incremental": incremental, "full_refresh": full, "worst_case": worst}
        print(
            json.dumps(
                {
                    "rows": {"silver": silver, "fct_trips": facts, "of_them_new": late},
                    "cores": os.cpu_count(),
                    "load_1m": round(os.getloadavg()[0], 1),
                    "seconds": {**seconds, "nothing_new": nothing},
                    "ratio": {name: round(incremental[name] / full[name], 3) for name in full},
                    "ratio_to_first_build": {name: round(incremental[name] / first[name], 3) for name in first},
                }
            )
        )


if __name__ == "__main__":
    main()
