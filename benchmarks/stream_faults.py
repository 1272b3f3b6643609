"""What a stream loses and repeats when servers are killed under it, and how long it takes to come back.

    .venv/bin/python benchmarks/stream_faults.py [--seed 1] [--faults 10] [--operations 6] [--hits 0]

Kills servers of an embedded stack of its own with SIGKILL, each kind at least once, and in between stops and upgrades
the stream and cuts the power of the whole stack, while a producer sends new trips, late duplicates, trips that break a
rule and records that are none. Then every layer is compared with what the topic says. Prints a table; exits with 1 on
a violation: a row that is missing, stands twice or was not expected, or a first commit that came later than --limit
seconds after a fault was over.

MILLRACE_TEST_STACK=<state_dir>:<instance> uses a stack that runs already, and leaves it running.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent.parent))

from orchestration.embedded.purge import purge_instance
from orchestration.embedded.stack import Stack
from tests.integration.conftest import make_stack
from tests.integration.lake import make_lake
from tests.integration.stream_faults import FaultRun, Report, plan, streamed


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Give the stack of MILLRACE_TEST_STACK, or one of its own for the block."""
    given = os.environ.get("MILLRACE_TEST_STACK")
    if given:
        folder, _, instance = given.rpartition(":")
        yield make_stack(Path(folder), instance)
        return
    with TemporaryDirectory(prefix="millrace-faults-") as folder:
        stack = make_stack(Path(folder), "faults")
        try:
            stack.up()
            yield stack
        finally:
            stack.down()
            purge_instance(stack.settings)


def print_table(report: Report, limit_s: float) -> int:
    """Print what each fault cost and what is wrong, and return the exit code."""
    slow = [one for one in report.outcomes if one.commit_s > limit_s]
    print(f"{'fault':<34} {'ready after':>12} {'first commit':>13}  note")
    for one in report.outcomes:
        mark = f"  more than {limit_s:g} s" if one in slow else ""
        print(f"{one.fault!s:<34} {one.ready_s:>10.1f} s {one.commit_s:>11.1f} s  {one.note}{mark}")
    for problem in report.violations:
        print(problem)
    print(f"{report.records:,} records, {len(report.violations)} violations, {len(slow)} slow recoveries")
    return 1 if report.violations or slow else 0


def main() -> int:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the faults and of the events (default: 1)")
    parser.add_argument("--faults", type=int, default=10, help="servers to kill (default: 10)")
    parser.add_argument("--operations", type=int, default=6, help="of the stream and the stack, in turn (default: 6)")
    parser.add_argument("--hits", type=int, default=0, help="stops, upgrades that a kill disturbs (default: 0)")
    parser.add_argument("--rate", type=int, default=300, help="events a second (default: 300)")
    parser.add_argument("--checkpoint-ms", type=int, default=2000, help="checkpoint interval (default: 2000)")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds for the first commit (default: 30)")
    options = parser.parse_args()
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:7.1f} s  load {os.getloadavg()[0]:4.1f}  {text}", file=sys.stderr, flush=True)

    with running_stack() as stack, TemporaryDirectory() as folder:
        lake = make_lake(
            stack.settings,
            Path(folder),
            checkpoint_interval_ms=options.checkpoint_ms,
            sql_engine_namespace=f"f{os.getpid()}",
        )
        faults = plan(options.seed, options.faults, options.operations, options.hits)
        with streamed(lake):
            report = FaultRun(stack, lake, say).run(faults, seed=options.seed, rate=options.rate)
    return print_table(report, options.limit)


if __name__ == "__main__":
    sys.exit(main())
