"""The registry on PostgreSQL: all that holds on SQLite holds there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from orchestration.flink.queries.registry import Registry
from tests.integration.sql.postgres import PASSWORD, Postgres, running_postgres
from tests.unit.flink.queries.registry_cases import OpenRegistry, RegistryCases, insert


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def url(postgres: Postgres) -> str:
    """Address of an empty database."""
    postgres.execute("DROP SCHEMA public CASCADE")
    postgres.execute("CREATE SCHEMA public")
    return postgres.url


@pytest.fixture
def open_registry(url: str) -> OpenRegistry:
    return partial(Registry, url, namespace="test")


class TestOnPostgres(RegistryCases):
    """All that holds on every database."""


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_each_usual_spelling_of_the_address_is_taken(url: str, scheme: str) -> None:
    registry = Registry(f"{scheme}://{url.partition('://')[2]}", "test")
    assert insert(registry) == registry.get("orders")


def test_the_unique_name_is_held_by_the_database_itself(open_registry: OpenRegistry, postgres: Postgres) -> None:
    insert(open_registry())
    ((definition,),) = postgres.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'queries_name'")
    assert "CREATE UNIQUE INDEX" in str(definition)
    assert "WHERE ((state)::text <> 'DELETED'::text)" in str(definition)


def test_the_password_of_the_database_is_not_shown(open_registry: OpenRegistry) -> None:
    with pytest.raises(Exception, match="no persistent query has the name or id 'x'") as caught:
        open_registry().require("x")
    assert PASSWORD not in str(caught.value)
