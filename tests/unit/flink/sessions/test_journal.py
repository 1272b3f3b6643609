"""The journal: what a new session repeats, and what one that is behind still has to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.flink.sessions.journal import Journal

TABLE = "CREATE TABLE t (a INT) WITH ('connector' = 'datagen')"


def replay(*statements: str, init: tuple[str, ...] = (), position: int = 0) -> list[str]:
    """Return what a session that has followed up to `position` runs."""
    journal = Journal(init)
    for statement in statements:
        journal.record(statement)
    return [entry.sql for entry in journal.since(position)]


@pytest.mark.parametrize(
    ("statements", "repeated"),
    [
        pytest.param([TABLE, "DROP TABLE t"], [], id="create-drop"),
        pytest.param([TABLE, "DROP TABLE IF EXISTS `t`"], [], id="drop-if-exists-quoted"),
        pytest.param([TABLE, "DROP TABLE default_catalog.default_database.t"], [], id="drop-by-full-path"),
        pytest.param([TABLE, "ALTER TABLE t ADD (b INT)", "DROP TABLE t"], [], id="create-alter-drop"),
        pytest.param([TABLE, "DROP TABLE t", TABLE], [TABLE], id="made-again"),
        pytest.param([TABLE, "DROP TEMPORARY TABLE t"], [TABLE, "DROP TEMPORARY TABLE t"], id="other-kind-of-table"),
        pytest.param(
            [TABLE, "ALTER TABLE t RENAME TO u", "DROP TABLE u"],
            [TABLE, "ALTER TABLE t RENAME TO u", "DROP TABLE u"],
            id="renamed",
        ),
        pytest.param(
            [TABLE, "ALTER TABLE t RENAME TO u", TABLE, "DROP TABLE t"],
            [TABLE, "ALTER TABLE t RENAME TO u"],
            id="the-name-was-used-again",
        ),
        pytest.param(
            [TABLE, "CREATE VIEW v AS SELECT a FROM t", "DROP TABLE t"],
            [TABLE, "CREATE VIEW v AS SELECT a FROM t", "DROP TABLE t"],
            id="a-view-needs-it",
        ),
        pytest.param(
            [TABLE, "CREATE VIEW v AS SELECT a FROM t", "DROP VIEW v", "DROP TABLE t"], [], id="the-view-went-first"
        ),
        pytest.param(
            ["CREATE VIEW v AS SELECT 1 AS a", "CREATE OR REPLACE VIEW v AS SELECT 2 AS a"],
            ["CREATE OR REPLACE VIEW v AS SELECT 2 AS a"],
            id="replaced",
        ),
        pytest.param(
            [TABLE, "CREATE TABLE IF NOT EXISTS t (b INT) WITH ('connector' = 'print')"], [TABLE], id="exists-already"
        ),
        pytest.param(["SET 'a' = '1'", "SET 'a' = '2'"], ["SET 'a' = '2'"], id="set-twice"),
        pytest.param(["SET 'a' = '1'", "SET 'b' = '2'", "RESET"], ["RESET"], id="reset-all"),
        pytest.param(["SET 'a' = '1'", "SET 'b' = '2'", "RESET 'a'"], ["SET 'b' = '2'", "RESET 'a'"], id="reset-one"),
        pytest.param(["RESET 'a'", "SET 'a' = '1'"], ["SET 'a' = '1'"], id="set-after-reset"),
        pytest.param(["SET"], [], id="set-lists"),
        pytest.param(["USE d", "USE e"], ["USE e"], id="use-twice"),
        pytest.param(["ADD JAR '/a.jar'", "ADD JAR '/a.jar'"], ["ADD JAR '/a.jar'"], id="same-jar"),
        pytest.param(["LOAD MODULE hive", "UNLOAD MODULE hive"], [], id="module"),
        pytest.param(["SELECT 1", "SHOW TABLES", "INSERT INTO t SELECT 1"], [], id="no-change-of-the-session"),
    ],
)
def test_a_new_session_repeats_what_is_left(statements: list[str], repeated: list[str]) -> None:
    assert replay(*statements) == repeated


def test_a_session_that_saw_the_create_still_drops() -> None:
    assert replay(TABLE, "DROP TABLE t", position=1) == ["DROP TABLE t"]
    assert replay(TABLE, "DROP TABLE t", position=2) == []


def test_a_session_that_is_behind_gets_only_the_rest() -> None:
    assert replay(TABLE, "SET 'a' = '1'", "CREATE VIEW v AS SELECT 1 AS x", position=2) == [
        "CREATE VIEW v AS SELECT 1 AS x"
    ]


@pytest.mark.parametrize(
    ("sql", "is_kept"),
    [
        ("CREATE TABLE lake.db.t (a INT)", False),
        ("DROP TABLE lake.db.t", False),
        ("CREATE DATABASE lake.db", False),
        ("CREATE TEMPORARY TABLE lake.db.t (a INT)", True),
        ("CREATE TEMPORARY SYSTEM FUNCTION f AS 'x.F'", True),
        ("CREATE TABLE default_catalog.default_database.t (a INT)", True),
        ("CREATE TABLE memory.db.t (a INT)", True),
        ("USE CATALOG lake", True),
        ("CREATE CATALOG other WITH ('type' = 'iceberg')", True),
    ],
)
def test_what_outlives_the_session_is_left_out(sql: str, is_kept: bool) -> None:
    init = ("CREATE CATALOG lake WITH ('type' = 'iceberg')", "CREATE CATALOG memory WITH ('type'='generic_in_memory')")
    journal = Journal(init)
    assert journal.keeps(sql) is is_kept
    journal.record(sql)
    assert [entry.sql for entry in journal.since(0)] == ([sql] if is_kept else [])


def test_a_table_of_the_current_persistent_catalog_is_left_out() -> None:
    statements = ("USE CATALOG lake", TABLE, "USE CATALOG default_catalog", TABLE)
    assert replay(*statements) == ["USE CATALOG default_catalog", TABLE]


def test_dropping_what_every_session_makes_when_it_opens_is_repeated() -> None:
    again = "CREATE TABLE IF NOT EXISTS t (a INT)"
    assert replay(again, "DROP TABLE t", init=(TABLE,)) == [again, "DROP TABLE t"]


def test_a_declaration_of_one_mode_is_not_repeated_in_the_other() -> None:
    journal = Journal()
    declared = "CREATE TABLE IF NOT EXISTS t (a INT) WITH ('connector' = 'kafka')"
    journal.record(declared, "streaming", for_mode_only=True)
    assert [entry.sql for entry in journal.since(0, "streaming")] == [declared]
    assert journal.since(0, "batch") == []
    assert (journal.has_declared(declared, "streaming"), journal.has_declared(declared, "batch")) == (True, False)


def test_settings_are_those_set_and_not_reset() -> None:
    journal = Journal()
    for sql in ("SET 'a' = '1'", "SET 'b' = '2'", "RESET 'a'"):
        journal.record(sql)
    assert journal.settings == {"b"}


def test_drops_that_everybody_has_followed_are_forgotten() -> None:
    journal = Journal()
    for _ in range(50):
        journal.record("CREATE TEMPORARY VIEW v AS SELECT 1 AS a")
        journal.record("DROP TEMPORARY VIEW v")
        journal.compact(journal.position)
    assert len(journal) == 0
    assert journal.position == 100


names = st.sampled_from(["t", "u"])
actions = st.lists(
    st.one_of(
        st.tuples(st.just("create"), names),
        st.tuples(st.just("drop"), names),
        st.tuples(st.just("set"), names),
        st.tuples(st.just("reset"), names),
    ),
    max_size=12,
)


class World:
    """Tables and settings of one session, as the gateway would keep them; refuses what the gateway refuses."""

    def __init__(self) -> None:
        self.tables: dict[str, str] = {}
        self.settings: dict[str, str] = {}

    def run(self, sql: str) -> bool:
        words = sql.replace("'", "").split()
        match words:
            case ["CREATE", "TABLE", name, *_]:
                is_new = name not in self.tables
                self.tables.setdefault(name, sql)
                return is_new
            case ["DROP", "TABLE", name]:
                return self.tables.pop(name, None) is not None
            case ["SET", key, _, value]:
                self.settings[key] = value
                return True
            case ["RESET", key]:
                self.settings.pop(key, None)
                return True
            case _:
                raise AssertionError(sql)


@given(actions, st.integers(0, 12))
def test_following_the_journal_from_anywhere_makes_the_same_session(steps: list[tuple[str, str]], behind: int) -> None:
    first, second, journal = World(), World(), Journal()
    position = 0
    for number, (action, name) in enumerate(steps):
        sql = {
            "create": f"CREATE TABLE {name} (c{number} INT)",
            "drop": f"DROP TABLE {name}",
            "set": f"SET '{name}' = '{number}'",
            "reset": f"RESET '{name}'",
        }[action]
        if first.run(sql):
            journal.record(sql)
        if number == behind:
            position = follow(second, journal, 0)
    follow(second, journal, position)
    third = World()
    follow(third, journal, 0)
    for world in (second, third):
        assert (world.tables, world.settings) == (first.tables, first.settings)


def follow(world: World, journal: Journal, position: int) -> int:
    for entry in journal.since(position):
        assert world.run(entry.sql), f"refused: {entry.sql}"
    return journal.position
