"""The registry on SQLite: a file of its own, private, and safe from several processes."""

from __future__ import annotations

import sqlite3
import stat
import threading
from functools import partial
from pathlib import Path

import pytest

from orchestration.errors import ConfigError, UnreachableError
from orchestration.flink.queries.database import SCHEMA_VERSION, Database
from orchestration.flink.queries.registry import Registry
from tests.unit.flink.queries.registry_cases import OpenRegistry, RegistryCases, insert


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "queries.sqlite"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def open_registry(url: str) -> OpenRegistry:
    return partial(Registry, url, namespace="test")


class TestOnSqlite(RegistryCases):
    """All that holds on every database."""


def test_nothing_is_opened_before_the_first_use(open_registry: OpenRegistry, path: Path) -> None:
    open_registry()
    assert not path.parent.exists()


def test_the_file_is_private_and_in_wal_mode(open_registry: OpenRegistry, path: Path) -> None:
    insert(open_registry())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_file_that_another_process_is_just_making_is_waited_for(open_registry: OpenRegistry, path: Path) -> None:
    """SQLite itself refuses at once to change the journal of a file whose first writer is at work."""
    path.parent.mkdir(parents=True)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    timer.start()
    insert(open_registry())
    timer.join()
    other.close()


def test_a_registry_of_a_newer_version_is_left_alone(open_registry: OpenRegistry, path: Path) -> None:
    insert(open_registry())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    with pytest.raises(ConfigError, match=r"made by a newer millrace \(schema 99, ours 1\)"):
        open_registry().all()


def test_an_older_registry_takes_each_step_once(open_registry: OpenRegistry, url: str) -> None:
    insert(open_registry())
    steps: list[str] = []
    migrations = (lambda connection: steps.append("to 2"), lambda connection: steps.append("to 3"))
    for _ in range(2):
        with Database(url, migrations).begin() as connection:
            assert connection.execute(SCHEMA_VERSION.select()).all() == [(3,)]
    assert steps == ["to 2", "to 3"]


def test_a_new_registry_takes_no_steps(url: str) -> None:
    def fail(connection: object) -> None:
        raise AssertionError("a new database is made as it should be")

    with Database(url, (fail,)).begin() as connection:
        assert connection.execute(SCHEMA_VERSION.select()).all() == [(2,)]


def test_a_broken_file_is_named_with_the_remedy(open_registry: OpenRegistry, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("this is no database, and it is long enough for SQLite to see that it is none" * 20)
    with pytest.raises(ConfigError, match="cannot be used: file is not a database") as caught:
        open_registry().all()
    assert "millrace sql reconcile" in str(caught.value.hint)


def test_a_place_where_nothing_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"the query registry .*file/q\.sqlite cannot be made"):
        Registry(f"sqlite:///{tmp_path}/file/q.sqlite", "test").all()


@pytest.mark.parametrize("url", ["mysql://h/d", "not a url", "postgres"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="query registry"):
        Registry(url, "test")


def test_an_unreachable_database_does_not_show_its_password() -> None:
    registry = Registry("postgresql://me:hunter2@127.0.0.1:1/none", "test")
    with pytest.raises(UnreachableError, match=r"the query registry .*127\.0\.0\.1:1/none does not answer") as caught:
        registry.all()
    assert "hunter2" not in str(caught.value)
