"""What maintenance does for a table of many small commits: a DuckDB aggregate before, after, and freshly written.

    .venv/bin/python benchmarks/maintenance.py [--commits 500] [--rows 4000]

Needs the stack (`./millrace up`). Makes tables in a namespace of its own and drops them.
"""

from __future__ import annotations

import argparse
import statistics
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from orchestration.catalog import open_catalog
from orchestration.catalog.compact import compact_table
from orchestration.catalog.compaction import SizePolicy
from orchestration.catalog.expiry import expire_table
from orchestration.catalog.journal import Journal
from orchestration.catalog.retention import Needed, Retention
from orchestration.dbt_plugin.attach import connect_catalog
from orchestration.settings import Settings, load_settings

SCHEMA = pa.schema([("day", pa.int32()), ("id", pa.int64()), ("zone", pa.int32()), ("fare", pa.float64())])
QUERY = "SELECT zone, count(*), sum(fare), max(id) FROM lakehouse.{table} GROUP BY zone"
HASH = "SELECT count(*), bit_xor(hash(day, id, zone, fare)) FROM lakehouse.{table}"
REPETITIONS = 7


def make_rows(number: int, rows: int) -> pa.Table:
    """Return the rows of one commit."""
    random = np.random.default_rng(number)
    columns = (
        np.arange(rows, dtype=np.int32) % 2,
        np.arange(number * rows, (number + 1) * rows),
        random.integers(1, 266, rows, dtype=np.int32),
        random.random(rows) * 100,
    )
    return pa.table([pa.array(column) for column in columns], schema=SCHEMA)


def create(catalog: Catalog, name: str) -> Table:
    """Create a table of two partitions."""
    table = catalog.create_table(name, schema=SCHEMA)
    with table.update_spec() as spec:
        spec.add_identity("day")
    return table


def timed(what: str, step: Callable[[], object]) -> object:
    """Run a step, print how long it took, and return what it returned."""
    started = time.monotonic()
    result = step()
    print(f"{what}: {time.monotonic() - started:.2f} s")
    return result


def aggregate_ms(settings: Settings, table: str) -> float:
    """Return the median time of the aggregate, each with a connection and metadata of its own."""
    times: list[float] = []
    for _ in range(REPETITIONS):
        with connect_catalog(settings) as connection:
            started = time.monotonic()
            connection.execute(QUERY.format(table=table)).fetchall()
            times.append((time.monotonic() - started) * 1000)
    return statistics.median(times)


def content(settings: Settings, table: str) -> tuple[int, ...]:
    """Return rows and a hash of them that does not hang on their order."""
    with connect_catalog(settings) as connection:
        row = connection.execute(HASH.format(table=table)).fetchone()
    assert row is not None
    return row


def main() -> None:
    """Run the benchmark and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--commits", type=int, default=500)
    parser.add_argument("--rows", type=int, default=4000, help="of each commit")
    chosen = parser.parse_args()
    settings = load_settings()
    catalog = open_catalog(settings)
    namespace = f"bench_{uuid.uuid4().hex[:8]}"
    catalog.create_namespace(namespace)
    try:
        run(settings, catalog, namespace, chosen.commits, chosen.rows)
    finally:
        for name in catalog.list_tables(namespace):
            catalog.drop_table(name)
        catalog.drop_namespace(namespace)


def run(settings: Settings, catalog: Catalog, namespace: str, commits: int, rows: int) -> None:
    """Write, measure, maintain, measure."""
    many, fresh = f"{namespace}.many", f"{namespace}.fresh"
    table, whole = create(catalog, many), create(catalog, fresh)
    parts = [make_rows(number, rows) for number in range(commits)]
    timed(f"{commits} commits", lambda: [table.append(part) for part in parts])
    whole.append(pa.concat_tables(parts))
    before_ms, before = aggregate_ms(settings, many), content(settings, many)
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder, "journal"))
        print(timed("compaction", lambda: compact_table(table, SizePolicy(), journal)))
        after_ms, after = aggregate_ms(settings, many), content(settings, many)
        now, keep_one = datetime.now(UTC), Retention(max_age_ms=0, retain_last=1)
        print(timed("expiry", lambda: expire_table(table, keep_one, Needed, journal, now)))
    expired_ms, fresh_ms = aggregate_ms(settings, many), aggregate_ms(settings, fresh)
    print(f"content unchanged: {before == after == content(settings, many) == content(settings, fresh)}")
    print(f"aggregate: before {before_ms:.0f} ms, compacted {after_ms:.0f} ms, expired {expired_ms:.0f} ms, ", end="")
    print(f"freshly written {fresh_ms:.0f} ms; ratio {expired_ms / fresh_ms:.2f}")


if __name__ == "__main__":
    main()
