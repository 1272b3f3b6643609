"""The marts of a whole run, on the silver table that Flink wrote, against plain SQL on the same table."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from orchestration.dbt_plugin.gold import connect_gold, mart_table
from orchestration.settings import Settings
from tests.integration.home import Home, open_home
from tests.integration.lake import expect
from tests.unit.dbt_plugin.mart_sql import EXPECTED, content, differences, prepare

pytestmark = pytest.mark.stack

ROWS, DIRTY = 4321, 0.05


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home after one run on a dirty month."""
    with open_home(settings, tmp_path_factory.mktemp("marts"), DLQ_MAX=str(ROWS)) as opened:
        ended = opened.millrace("run", "--data", str(opened.lake.sample("2024-01", ROWS, DIRTY)), "--json")
        assert ended.code == 0, ended.err
        yield opened


@pytest.fixture(scope="module")
def gold(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """The catalog, ready for the expected queries."""
    with connect_gold(home.settings) as conn:
        prepare(conn, "lakehouse.silver.cleaned_trips")
        yield conn


@pytest.mark.parametrize("mart", EXPECTED)
def test_mart_holds_what_plain_sql_computes_from_the_iceberg_table(
    home: Home, gold: duckdb.DuckDBPyConnection, mart: str
) -> None:
    stored = mart_table(home.settings, mart)
    assert stored == f"lakehouse.gold.{mart}"
    assert differences(gold, mart, stored) == []
    assert content(gold, mart, f"from {stored}") == content(gold, mart, EXPECTED[mart])


def test_every_trip_of_silver_is_in_the_fact_table(gold: duckdb.DuckDBPyConnection) -> None:
    # The sample has no implausible trip that passes silver's rules.
    facts = content(gold, "fct_trips", "from lakehouse.gold.fct_trips")[0]
    assert facts == expect(ROWS, DIRTY)["silver"]
