"""What maintenance does for a table of many small commits: a DuckDB aggregate before, after, and freshly written.

    .venv/bin/python benchmarks/maintenance.py [--commits 500] [--rows 20000]

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

import duckdb
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
REPETITIONS = 11


def make_rows(number: int, rows: int) -> pa.Table:
    """Return the rows of one commit."""
    made = duckdb.sql(
        "SELECT (i % 2)::INT AS day, i AS id, (hash(i) % 265 + 1)::INT AS zone, (hash(i + 1) % 10000) / 100 AS fare "
        f"FROM range({number * rows}, {(number + 1) * rows}) AS numbers(i)"
    )
    return made.to_arrow_table().cast(SCHEMA)


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


def show(settings: Settings, moment: str, many: str, fresh: str) -> None:
    """Print what the aggregate takes on both tables, in turns, each time with a new connection: medians."""
    taken: dict[str, list[tuple[float, float]]] = {many: [], fresh: []}
    for _ in range(REPETITIONS):
        for table, times in taken.items():
            with connect_catalog(settings) as connection:
                # Processor time too: it tells the same on a machine that does other work.
                started, used = time.perf_counter(), time.process_time()
                connection.execute(QUERY.format(table=table)).fetchall()
                times.append(((time.perf_counter() - started) * 1000, (time.process_time() - used) * 1000))
    for place, what in enumerate(("wall", "processor")):
        many_ms, fresh_ms = (statistics.median(row[place] for row in taken[table]) for table in (many, fresh))
        print(f"{moment}, {what}: {many_ms:.0f} ms; written at once {fresh_ms:.0f} ms; ratio {many_ms / fresh_ms:.2f}")


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
    parser.add_argument("--rows", type=int, default=20_000, help="of each commit")
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
    before = content(settings, many)
    show(settings, "before", many, fresh)
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder, "journal"))
        print(timed("compaction", lambda: compact_table(table, SizePolicy(), journal)))
        is_same = before == content(settings, many)
        show(settings, "compacted", many, fresh)
        now, keep_ten = datetime.now(UTC), Retention(max_age_ms=0, retain_last=10)
        print(timed("expiry", lambda: expire_table(table, keep_ten, Needed, journal, now)))
    show(settings, "expired", many, fresh)
    print(f"content unchanged: {is_same and before == content(settings, many) == content(settings, fresh)}")


if __name__ == "__main__":
    main()
