"""Time landing, bronze and silver on one month of trips, on an embedded stack of its own.

    .venv/bin/python benchmarks/full_month.py [--rows 2964624] [--runs 2] [--keep]

Prints one JSON object: for each stage the seconds and rows a second of every run, warm, and the best of them. Each run
lands the month (again, as a new attempt) and loads it into bronze; silver is rebuilt as often from the first month. The
stack is purged afterwards unless --keep is given.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from orchestration.contracts.resolve import active_contract
from orchestration.embedded.purge import purge_instance
from orchestration.embedded.stack import Stack
from orchestration.generator.land import land
from orchestration.generator.sample import write_sample
from orchestration.lakehouse.bronze import load_bronze_table
from orchestration.lakehouse.silver import refresh_silver_table
from orchestration.settings import load_settings


def timed(rows: int, work: Callable[[], object]) -> dict[str, float]:
    """Return seconds and rows a second of `work`."""
    start = time.monotonic()
    work()
    seconds = time.monotonic() - start
    return {"seconds": round(seconds, 2), "rows_per_s": round(rows / seconds)}


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_964_624, help="rows of the month (default: January 2024)")
    parser.add_argument("--runs", type=int, default=2, help="timed runs (default: 2)")
    parser.add_argument("--keep", action="store_true", help="leave the stack and its data")
    options = parser.parse_args()

    settings = load_settings(instance="bench")
    contract = active_contract(settings)
    stack = Stack(settings)
    stack.up()
    settings = load_settings(instance="bench")
    try:
        data = Path(settings.instance_dir, "data")
        data.mkdir(parents=True, exist_ok=True)
        small, month = data / "small_2024-02.parquet", data / "yellow_tripdata_2024-02.parquet"
        write_sample(small, rows=20_000, seed=1)
        write_sample(month, rows=options.rows, seed=2)

        def say(text: str) -> None:
            print(text, file=sys.stderr)

        land(settings, contract, str(small))
        load_bronze_table(settings, contract, say)
        refresh_silver_table(settings, contract, say=say)
        stages: dict[str, list[dict[str, float]]] = {"landing": [], "bronze": [], "silver": []}
        rows = options.rows + 20_000
        for run in range(options.runs):
            landed = partial(land, settings, contract, str(month), again=run > 0)
            stages["landing"].append(timed(options.rows, landed))
            stages["bronze"].append(timed(options.rows, partial(load_bronze_table, settings, contract, say)))
            if run == 0:
                rebuild = partial(refresh_silver_table, settings, contract, full_refresh=True, say=say)
                stages["silver"] = [timed(rows, rebuild) for _ in range(options.runs)]
        best = {name: max(run["rows_per_s"] for run in runs) for name, runs in stages.items()}
        load = os.getloadavg()[0]
        print(
            json.dumps({"rows": options.rows, "cores": os.cpu_count(), "load_1m": load, "best": best, "runs": stages})
        )
    finally:
        if not options.keep:
            stack.down()
            purge_instance(settings)


if __name__ == "__main__":
    main()
