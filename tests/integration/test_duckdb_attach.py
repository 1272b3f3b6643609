"""DuckDB, the dbt plugin and the command on the real catalog."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from orchestration.catalog import open_catalog
from orchestration.cli.main import run
from orchestration.dbt_plugin.attach import connect
from orchestration.dbt_plugin.runner import run_dbt
from orchestration.errors import CatalogError, UnreachableError
from orchestration.settings import Settings

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("stack")]

ROWS = pa.table({"n": pa.array([1, 2], pa.int64()), "price": pa.array([Decimal("1.10"), None], pa.decimal128(10, 2))})


@pytest.fixture
def table(settings: Settings) -> Iterator[str]:
    """A table of two rows in a namespace of this test alone."""
    catalog, namespace = open_catalog(settings), f"duckdb_{uuid.uuid4().hex[:8]}"
    catalog.create_namespace(namespace)
    catalog.create_table(f"{namespace}.prices", schema=ROWS.schema).append(ROWS)
    yield f"{namespace}.prices"
    catalog.drop_table(f"{namespace}.prices")
    catalog.drop_namespace(namespace)


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """The stack's settings with a gold file of this test alone."""
    return settings.with_changes(state_dir=tmp_path, catalog_uri=settings.catalog_uri, warehouse=settings.warehouse)


def test_rows_that_pyiceberg_wrote_are_read(own: Settings, table: str) -> None:
    with connect(own) as conn:
        rows = conn.execute(f"select n, price from lakehouse.{table} order by n").fetchall()
    assert rows == [(1, Decimal("1.10")), (2, None)]


def test_read_only_connection_cannot_change_the_catalog(own: Settings, table: str) -> None:
    with connect(own) as conn, pytest.raises(duckdb.InvalidInputException, match="read-only"):
        conn.execute(f"insert into lakehouse.{table} values (3, 3.30)")


def test_writing_connection_commits_to_the_catalog(own: Settings, table: str, settings: Settings) -> None:
    with connect(own, read_only=False) as conn:
        conn.execute(f"insert into lakehouse.{table} values (3, 3.30)")
    assert open_catalog(settings).load_table(table).scan().to_arrow().num_rows == 3
    assert own.gold_path.is_file()


def test_catalog_that_does_not_answer_is_named_with_the_remedy(own: Settings) -> None:
    with pytest.raises(UnreachableError, match=r"catalog at http://127\.0\.0\.1:1 does not answer") as caught:
        connect(own.with_changes(catalog_uri="http://127.0.0.1:1"))
    assert "./millrace up" in (caught.value.hint or "")


def test_dbt_says_so_in_the_same_words(own: Settings) -> None:
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1 does not answer"):
        run_dbt(own.with_changes(catalog_uri="http://127.0.0.1:1"), ["build", "--select", "stg_yellow_trips"])


def test_address_that_is_no_catalog_is_refused(own: Settings, settings: Settings) -> None:
    with pytest.raises(CatalogError, match="has no warehouse"):
        connect(own.with_changes(catalog_uri=f"{settings.catalog_uri}/nowhere"))


def test_credentials_reach_the_token_endpoint_and_stay_hidden(own: Settings, table: str) -> None:
    secured = own.with_changes(catalog_client_id="dbt", catalog_client_secret="planted-value")
    with connect(secured) as conn:
        assert conn.execute(f"select count(*) from lakehouse.{table}").fetchall() == [(2,)]
        told = conn.execute("from duckdb_databases()").fetchall() + conn.execute("from duckdb_secrets()").fetchall()
    assert "planted-value" not in str(told)


def test_command_prints_exact_json(
    own: Settings, table: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILLRACE_STATE_DIR", str(own.state_dir))
    monkeypatch.setenv("CATALOG_URI", own.catalog_uri)
    assert run(["duckdb", "--json", "-c", f"select n, price from lakehouse.{table} order by n"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed, parse_float=Decimal) == [{"n": 1, "price": Decimal("1.10")}, {"n": 2, "price": None}]


def test_command_that_fails_is_one_line_and_not_zero(
    own: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILLRACE_STATE_DIR", str(own.state_dir))
    monkeypatch.setenv("CATALOG_URI", own.catalog_uri)
    assert run(["duckdb", "-c", "select 1 from nowhere"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: the query failed: Catalog Error: Table with name nowhere does not exist")
    assert len(said.err.splitlines()) == 1
