"""Writes of single tables to the real catalog: what readers see, what a failure leaves, what another writer meets."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.catalog import open_catalog
from orchestration.catalog.compact import compact_table
from orchestration.catalog.compaction import SizePolicy
from orchestration.catalog.journal import Journal
from orchestration.catalog.rollback import set_head
from orchestration.dbt_plugin.gold import BUILT_AT, connect_gold
from orchestration.dbt_plugin.writing import write
from orchestration.dbt_plugin.writing.request import WriteRequest
from orchestration.dbt_plugin.writing.touched import BUILT_FROM
from orchestration.dbt_plugin.writing.write import Outcome, write_table
from orchestration.errors import CatalogError, CheckFailedError, ConfigError, ConflictError
from orchestration.lakehouse.maintenance.tables import list_names
from orchestration.settings import Settings

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("stack")]

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
THOUSAND = "select i as id, i % 7 as day, 'a' || i as name from range(1000) r(i)"
OTHERS = "select i as id, i % 7 as day, 'b' || i as name from range(1200) r(i)"
KEYED = {"strategy": "delete+insert", "unique_key": ["id"]}


class Table:
    """A table that does not exist yet, in a namespace of one test."""

    def __init__(self, settings: Settings, conn: duckdb.DuckDBPyConnection, namespace: str) -> None:
        self.settings, self.conn, self.namespace, self.name = settings, conn, namespace, f"t_{uuid.uuid4().hex[:6]}"
        self.relation = f"lakehouse.{namespace}.{self.name}"

    def request(self, sql: str, **config: Any) -> WriteRequest:
        """Return the request of a model."""
        place = {"database": "lakehouse", "namespace": self.namespace, "name": self.name, "sql": sql}
        return WriteRequest.from_config({**place, **config})

    def write(self, sql: str, **config: Any) -> Outcome:
        """Write in a session of its own."""
        with self.conn.cursor() as cursor:
            return write_table(cursor, self.request(sql, **config), built_at=NOW)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query in a new session; {t} stands for the table."""
        with self.conn.cursor() as cursor:
            return cursor.execute(sql.format(t=self.relation)).fetchall()

    def content(self) -> tuple[Any, ...]:
        """Return rows and a hash of them that does not hang on their order."""
        [row] = self.query("select count(*), sum(hash(id, day, name)) from {t}")
        return row

    def names(self) -> set[str]:
        """Return the tables of the namespace."""
        found = list_names(open_catalog(self.settings))
        return {name.split(".")[1] for name in found if name.startswith(f"{self.namespace}.")}


@pytest.fixture(scope="module")
def namespace(settings: Settings) -> Iterator[str]:
    catalog, name = open_catalog(settings), f"writes_{uuid.uuid4().hex[:8]}"
    catalog.create_namespace(name)
    yield name
    for identifier in catalog.list_tables(name):
        catalog.drop_table(identifier)
    catalog.drop_namespace(name)


@pytest.fixture(scope="module")
def conn(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the catalog attached; its cursors are sessions that do not see each other's transactions."""
    with connect_gold(settings, read_only=False) as opened:
        yield opened


@pytest.fixture
def table(settings: Settings, conn: duckdb.DuckDBPyConnection, namespace: str) -> Table:
    return Table(settings, conn, namespace)


def rows_of(query: str) -> tuple[Any, ...]:
    row = duckdb.sql(f"select count(*), sum(hash(id, day, name)) from ({query})").fetchone()
    assert row is not None
    return row


def test_a_table_is_made_once_and_then_replaced_with_its_history(table: Table) -> None:
    first = table.write(THOUSAND)
    again = table.write(THOUSAND)
    changed = table.write(OTHERS)
    assert (first.rows, first.rows_written, first.snapshot_before) == (1000, 1000, None)
    assert (again.rows_written, again.snapshot_before, again.snapshot_after) == (0, *[first.snapshot_after] * 2)
    assert (changed.rows, changed.rows_written, changed.snapshot_before) == (1200, 1200, first.snapshot_after)
    assert table.content() == rows_of(OTHERS)
    assert table.query(f"select count(*) from {{t}} at (version => {first.snapshot_after})") == [(1000,)]
    read = open_catalog(table.settings).load_table(f"{table.namespace}.{table.name}")
    assert read.scan().to_arrow().num_rows == 1200
    assert read.properties[BUILT_AT] == NOW.isoformat()
    assert {name for name in table.names() if table.name in name} == {table.name}


def test_a_row_that_comes_twice_counts_as_a_change(table: Table) -> None:
    table.write("select 1 as id, 1 as day, 'a' as name union all select 2, 2, 'b'")
    twice = table.write("select 1 as id, 1 as day, 'a' as name union all select 1, 1, 'a'")
    assert twice.rows_written == 2
    assert table.query("select id from {t}") == [(1,), (1,)]


def test_readers_never_see_zero_or_a_part_during_twenty_rebuilds(table: Table) -> None:
    table.write(THOUSAND)
    seen: list[tuple[Any, ...]] = []
    errors: list[BaseException] = []
    over = threading.Event()

    def poll(count: Callable[[], tuple[Any, ...]]) -> None:
        try:
            while not over.is_set():
                seen.append(count())
                over.wait(0.02)
        except (duckdb.Error, ValueError, KeyError) as error:
            errors.append(error)

    reader = table.conn.cursor()
    query = f"select count(*), min(name[1]), max(name[1]) from {table.relation}"
    catalog = open_catalog(table.settings)

    def by_duckdb() -> tuple[Any, ...]:
        row = reader.execute(query).fetchone()
        assert row is not None
        return row

    def by_pyiceberg() -> tuple[Any, ...]:
        found = catalog.load_table(f"{table.namespace}.{table.name}").scan().to_arrow()
        letters = {str(name)[0] for name in found["name"].to_pylist()}
        return found.num_rows, min(letters, default=None), max(letters, default=None)

    readers = [threading.Thread(target=poll, args=(one,)) for one in (by_duckdb, by_pyiceberg)]
    for thread in readers:
        thread.start()
    with table.conn.cursor() as conn:
        for number in range(20):
            write_table(conn, table.request(OTHERS if number % 2 == 0 else THOUSAND), built_at=NOW)
    over.set()
    for thread in readers:
        thread.join()
    reader.close()
    assert errors == []
    assert len(seen) > 10
    assert set(seen) <= {(1000, "a", "a"), (1200, "b", "b")}


@pytest.mark.parametrize(
    ("sql", "config", "reason"),
    [
        pytest.param("select id, day, error('row 900') as name from (" + OTHERS + ") where id = 900", {},
                     "row 900", id="query-fails"),
        pytest.param(OTHERS, {"post_hooks": ["select * from no_such_table"]}, "no_such_table", id="post-hook-fails"),
        pytest.param(OTHERS, {"pre_hooks": ["select * from no_such_table"]}, "no_such_table", id="pre-hook-fails"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_first", [True, False], ids=["first-build", "later-build"])
def test_a_failed_build_leaves_what_was_there(
    table: Table, sql: str, config: dict[str, Any], reason: str, is_first: bool
) -> None:
    before = None if is_first else table.write(THOUSAND).snapshot_after
    with pytest.raises(CatalogError, match=reason):
        table.write(sql, **config)
    assert (table.name in table.names()) is not is_first
    if before:
        assert table.content() == rows_of(THOUSAND)
    good = table.write(OTHERS)
    assert (good.rows, good.snapshot_before) == (1200, before)


def test_hooks_inside_the_transaction_see_the_new_rows(table: Table) -> None:
    hooks = [f"create or replace temp table seen as select count(*) as n from {table.relation}"]
    with table.conn.cursor() as conn:
        write_table(conn, table.request(THOUSAND, post_hooks=hooks), built_at=NOW)
        assert conn.execute("from seen").fetchall() == [(1000,)]


def test_a_new_column_is_added_in_place(table: Table) -> None:
    first = table.write(THOUSAND)
    table.write(f"select *, id * 2 as twice from ({THOUSAND})")
    assert table.query("select sum(twice) from {t}") == [(999000,)]
    assert table.query(f"select count(*) from {{t}} at (version => {first.snapshot_after})") == [(1000,)]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        pytest.param(f"select id, name from ({THOUSAND})", "day is no longer in the model", id="dropped"),
        pytest.param(f"select id::varchar as id, day, name from ({THOUSAND})",
                     "id is BIGINT in the table and VARCHAR in the model", id="retyped"),
    ],
)  # fmt: skip
def test_columns_that_go_or_change_need_a_full_refresh(table: Table, sql: str, reason: str) -> None:
    table.write(THOUSAND)
    with pytest.raises(ConflictError, match=reason) as caught:
        table.write(sql)
    assert "--full-refresh" in (caught.value.hint or "")
    assert table.content() == rows_of(THOUSAND)
    anew = table.write(sql, is_full_refresh=True)
    assert "made anew, and its history ended" in anew.notice
    assert (anew.rows, anew.rows_written) == (1000, 1000)
    assert len(table.query("from iceberg_snapshots({t})")) == 1


def test_a_full_refresh_that_changes_no_column_keeps_the_history(table: Table) -> None:
    first = table.write(THOUSAND, **KEYED)
    table.write("select 5000::bigint as id, 1::bigint as day, 'x' as name", **KEYED)
    whole = table.write(OTHERS, is_full_refresh=True, **KEYED)
    assert (whole.rows, whole.notice) == (1200, "")
    assert table.query(f"select count(*) from {{t}} at (version => {first.snapshot_after})") == [(1000,)]


LATE = "select i as id, i % 7 as day, 'late' || i as name from range(990, 1010) r(i)"
WHOLE = f"from ({THOUSAND}) where id < 990 union all {LATE}"


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(KEYED, id="delete+insert"),
        pytest.param({"strategy": "merge", "unique_key": "id"}, id="merge"),
    ],
)
def test_keyed_strategies_give_what_a_full_rebuild_gives(table: Table, config: dict[str, Any]) -> None:
    table.write(THOUSAND, **config)
    late = table.write(LATE, **config)
    assert late.rows == 1010
    assert table.content() == rows_of(WHOLE)
    again = table.write(LATE, **config)
    assert (again.rows_written, again.snapshot_after) == (0, late.snapshot_after)


def test_insert_overwrite_replaces_the_partitions_of_the_new_rows(table: Table) -> None:
    dated = "select i as id, date '2024-01-30' + i::int as day, 'a' || i as name from range(4) r(i)"
    config = {"strategy": "insert_overwrite", "partition_by": "month(day)"}
    table.write(dated, **config)
    table.write("select 9::bigint as id, date '2024-02-20' as day, 'b' as name", **config)
    assert table.query("select id from {t} order by id") == [(0,), (1,), (9,)]
    spec = open_catalog(table.settings).load_table(f"{table.namespace}.{table.name}").spec()
    assert [str(field.transform) for field in spec.fields] == ["month"]


DAYS = "select i as id, date '2024-01-01' + (i % 3)::int as day, 'a' || i as name from range(30) r(i)"


TORN = f"call set_iceberg_table_properties({{t}}, {{{{'{BUILT_FROM}': 'torn'}}}})"


class Dated:
    """A table of sums by day over a source that is partitioned by it, and how it is built."""

    def __init__(self, table: Table) -> None:
        self.table, self.source = table, f"{table.relation}_source"
        self.change(f"create table {self.source} (id bigint, day date, name varchar) partitioned by (day)")
        self.change(f"insert into {self.source} {DAYS}")

    def change(self, sql: str) -> None:
        """Run a statement; {s} is the source, {t} the table."""
        self.table.query(sql.replace("{s}", self.source))

    def sums(self, condition: str = "true", total: str = "sum(id)") -> str:
        return (
            f"select day, count(*) as n, ({total})::bigint as total from {self.source} where {condition} group by day"
        )

    def build(self, total: str = "sum(id)", *, is_first: bool = False) -> Outcome:
        dates = f"{self.table.name}__dates"
        condition = "true" if is_first else f"day in (select changed_date from {dates})"
        return self.table.write(
            self.sums(condition, total), strategy="replace_touched_dates", unique_key="day", changes_of=self.source,
            changed_dates=dates, touched_dates=dates,
        )  # fmt: skip

    def head(self, relation: str, back: int) -> None:
        """Roll a table back by so many snapshots."""
        found = open_catalog(self.table.settings).load_table(relation.removeprefix("lakehouse."))
        set_head(found, found.snapshots()[-1 - back].snapshot_id)


@pytest.mark.parametrize(
    ("happens", "written"),
    [
        pytest.param(lambda d: None, 0, id="nothing"),
        pytest.param(lambda d: d.change("insert into {s} values (50, '2024-01-02', 'late')"), 1, id="late-row"),
        pytest.param(lambda d: d.change("insert into {s} values (50, '2024-02-02', 'new')"), 1, id="new-date"),
        pytest.param(lambda d: d.change("delete from {s} where day = '2024-01-02'"), 2, id="vanished-date"),
        pytest.param(lambda d: d.change("update {s} set id = 7 where id = 4"), 3, id="replaced-row"),
        pytest.param(lambda d: d.head(d.source, 1), 1, id="source-rolled-back"),
        pytest.param(lambda d: d.head(d.table.relation, 2), 3, id="table-rolled-back"),
        pytest.param(lambda d: d.change("delete from {t} where day = '2024-01-01'"), 3, id="edited-by-somebody"),
        pytest.param(lambda d: d.change(TORN), 0, id="unreadable-origin"),
    ],
)  # fmt: skip
def test_touched_dates_are_computed_again_and_no_others(
    table: Table, happens: Callable[[Dated], object], written: int
) -> None:
    dated = Dated(table)
    dated.build(is_first=True)
    dated.change("insert into {s} values (40, '2024-01-03', 'second')")
    assert dated.build().rows_written == 1
    happens(dated)
    assert dated.build().rows_written == written
    assert set(table.query("from {t}")) == set(table.query(dated.sums()))
    assert dated.build().rows_written == 0


def test_a_changed_formula_computes_every_date_again(table: Table) -> None:
    dated = Dated(table)
    dated.build(is_first=True)
    assert dated.build("sum(id) + 1").rows_written == 3
    assert set(table.query("from {t}")) == set(table.query(dated.sums(total="sum(id) + 1")))


def test_append_adds_and_writes_nothing_for_no_rows(table: Table) -> None:
    table.write(THOUSAND, strategy="append")
    after = table.write(LATE, strategy="append")
    assert (after.rows, after.rows_written) == (1020, 20)
    assert table.write(f"{LATE} limit 0", strategy="append").snapshot_after == after.snapshot_after


@pytest.mark.parametrize("strategy", ["delete+insert", "merge"])
def test_a_null_key_is_refused_before_anything_is_written(table: Table, strategy: str) -> None:
    first = table.write(THOUSAND, strategy=strategy, unique_key="id")
    with pytest.raises(CheckFailedError, match="1 rows have no value in the unique_key id"):
        table.write("select null::bigint as id, 1::bigint as day, 'x' as name", strategy=strategy, unique_key="id")
    assert table.query("select count(*) from iceberg_snapshots({t})") == [(1,)]
    assert table.content()[0] == first.rows


def test_merge_refuses_a_key_that_comes_twice(table: Table) -> None:
    table.write(THOUSAND, strategy="merge", unique_key="id")
    with pytest.raises(CheckFailedError, match="1 values of the unique_key id are in several rows"):
        table.write(f"{LATE} union all select 991, 1, 'twice'", strategy="merge", unique_key="id")


@pytest.mark.parametrize(
    ("on_schema_change", "found"),
    [
        pytest.param("ignore", {"id", "day", "name"}, id="ignore"),
        pytest.param("append_new_columns", {"id", "day", "name", "more"}, id="append"),
        pytest.param("fail", "more is new in the model", id="fail"),
    ],
)
def test_on_schema_change(table: Table, on_schema_change: str, found: set[str] | str) -> None:
    table.write(THOUSAND, **KEYED)
    config = {**KEYED, "on_schema_change": on_schema_change}
    more = f"select *, 'm' as more from ({LATE})"
    if isinstance(found, str):
        with pytest.raises(ConflictError, match=found):
            table.write(more, **config)
        return
    assert table.write(more, **config).rows == 1010
    assert {row[0] for row in table.query("describe {t}")} == found


def test_a_contract_that_the_query_breaks_is_an_error_before_the_write(table: Table) -> None:
    contract = [{"name": "id", "type": "integer"}, {"name": "day", "type": "bigint"}]
    with pytest.raises(ConfigError, match="name is not in the contract; id is BIGINT in the query and INTEGER"):
        table.write(THOUSAND, contract=contract)
    assert table.name not in table.names()


def test_a_contract_gives_the_table_its_types_and_not_null(table: Table) -> None:
    contract = [{"name": "id", "type": "bigint", "is_required": True}, {"name": "price", "type": "decimal(10,2)"}]
    table.write("select 1::bigint as id, 2.5::decimal(10,2) as price", contract=contract, format_version=2)
    schema = open_catalog(table.settings).load_table(f"{table.namespace}.{table.name}").schema()
    assert [(f.name, str(f.field_type), f.required) for f in schema.fields] == [
        ("id", "long", True),
        ("price", "decimal(10, 2)", False),
    ]


def test_a_type_that_iceberg_lacks_is_named_with_what_to_cast_to(table: Table) -> None:
    with pytest.raises(ConfigError, match=r"total is HUGEINT: cast it to bigint or decimal\(38, 0\)"):
        table.write("select sum(i) as total from range(3) r(i)")


class Race:
    """A cursor whose next commits come second: somebody else writes the table just before each."""

    def __init__(self, conn: duckdb.DuckDBPyConnection, other: Callable[[], object], times: int) -> None:
        self._conn, self._other, self._left = conn, other, times

    def execute(self, sql: str) -> duckdb.DuckDBPyConnection:
        """Run a statement, after the other writer's if it is a commit."""
        if sql == "COMMIT" and self._left:
            self._left -= 1
            self._other()
        return self._conn.execute(sql)


@pytest.mark.parametrize(
    ("config", "lost", "attempts"),
    [
        pytest.param({}, 1, 2, id="replace-once"),
        pytest.param({}, write.ATTEMPTS - 1, write.ATTEMPTS, id="replace-as-often-as-it-may"),
        pytest.param({"strategy": "merge", "unique_key": "id"}, 1, 2, id="merge"),
    ],
)
def test_a_lost_race_is_run_again(table: Table, config: dict[str, Any], lost: int, attempts: int) -> None:
    table.write(THOUSAND)
    number = iter(range(100_000, 200_000))

    def other() -> None:
        table.write(f"select {next(number)}::bigint as id, 1::bigint as day, 'z' as name", strategy="append")

    with table.conn.cursor() as conn:
        done = write_table(Race(conn, other, lost), table.request(OTHERS, **config), built_at=NOW)
    assert done.attempts == attempts
    kept = table.query("select count(*) from {t} where name <> 'z'")
    assert (kept, table.query("select count(*) from {t} where name = 'z'")) == ([(1200,)], [(lost if config else 0,)])


@pytest.mark.parametrize(
    ("config", "tried"),
    [pytest.param({}, "4 attempts", id="replace"), pytest.param({"strategy": "append"}, "append is not", id="append")],
)
def test_a_race_that_is_always_lost_names_the_other_writers_snapshot(
    table: Table, config: dict[str, Any], tried: str
) -> None:
    table.write(THOUSAND)
    number = iter(range(100_000, 200_000))
    others: list[int | None] = []

    def other() -> None:
        sql = f"select {next(number)}::bigint as id, 1::bigint as day, 'z' as name"
        others.append(table.write(sql, strategy="append").snapshot_after)

    with table.conn.cursor() as conn, pytest.raises(ConflictError, match=tried) as caught:
        write_table(Race(conn, other, 9), table.request(OTHERS, **config), built_at=NOW)
    assert f"its newest snapshot is {others[-1]}" in caught.value.message
    assert table.query("select count(*) from {t} where name[1] = 'a'") == [(1000,)]


def test_maintenance_folds_the_deletes_of_rebuilds_in(table: Table, tmp_path: Path) -> None:
    for number in range(5):
        table.write(OTHERS if number % 2 else THOUSAND)
    found = open_catalog(table.settings).load_table(f"{table.namespace}.{table.name}")
    assert len(found.inspect.delete_files()) == 4
    compact_table(found, SizePolicy(), Journal(tmp_path / "journal"))
    compacted = open_catalog(table.settings).load_table(f"{table.namespace}.{table.name}")
    assert (len(compacted.inspect.data_files()), len(compacted.inspect.delete_files())) == (1, 0)
    assert table.content() == rows_of(THOUSAND)
    table.write(OTHERS)
    assert table.content() == rows_of(OTHERS)


def test_a_table_that_a_killed_first_build_left_empty_is_not_built_upon(table: Table) -> None:
    with table.conn.cursor() as cursor:
        cursor.execute(f"create table {table.relation} (something_else varchar)")
    assert (table.write(THOUSAND, strategy="append").rows, table.content()) == (1000, rows_of(THOUSAND))


def test_two_first_builds_at_once_give_one_table(table: Table) -> None:
    failed: list[ConflictError] = []

    def build() -> None:
        try:
            table.write(THOUSAND)
        except ConflictError as error:
            failed.append(error)

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) < 2
    assert table.content() == rows_of(THOUSAND)
