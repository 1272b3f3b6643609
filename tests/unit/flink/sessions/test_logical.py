"""Logical sessions: two modes, several threads, lost gateway sessions."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from orchestration.errors import ConfigError, FlinkError, SessionLostError, StatementError
from orchestration.flink.client.failures import OutcomeUnknownError
from orchestration.flink.reading.stream import QUERY_DEFAULTS
from orchestration.flink.sessions.logical import LogicalSession
from orchestration.flink.sessions.session import SessionSpec
from tests.unit.flink.fakes import page, server_error
from tests.unit.flink.many_sessions import GATEWAY_ERROR, FakeSession, ManySessions

TABLE = "CREATE TABLE t (a INT) WITH ('connector' = 'datagen')"
VIEW = "CREATE VIEW v AS SELECT a FROM t"
REFUSED = "org.apache.flink.table.api.ValidationException: Querying an unbounded table is not allowed."


@pytest.fixture
def gateway() -> ManySessions:
    return ManySessions()


@pytest.fixture
def replays() -> list[int]:
    return []


@pytest.fixture
def session(gateway: ManySessions, replays: list[int]) -> Iterator[LogicalSession]:
    with LogicalSession(gateway.client(), SessionSpec(), on_replay=lambda: replays.append(1)) as logical:
        yield logical


def run(session: LogicalSession, *statements: str) -> None:
    for statement in statements:
        session.execute(statement).close()


def test_nothing_is_opened_before_the_first_statement(session: LogicalSession, gateway: ManySessions) -> None:
    assert gateway.requests == []
    run(session, "SELECT 1")
    assert session.handles == (("streaming", "s1"),)


def test_the_other_mode_is_a_sibling_with_the_same_tables(session: LogicalSession, gateway: ManySessions) -> None:
    run(session, TABLE, VIEW)
    session.execute("SELECT * FROM v", mode="batch").close()
    session.execute("SELECT * FROM v", {"execution.runtime-mode": "BATCH", "a": "b"}).close()
    run(session, "SELECT * FROM v")
    assert session.handles == (("streaming", "s1"), ("batch", "s2"))
    assert gateway.ran("s1") == [TABLE, VIEW, "SELECT * FROM v"]
    assert gateway.ran("s2") == [TABLE, VIEW, "SELECT * FROM v", "SELECT * FROM v"]
    assert gateway.sessions["s2"].configs == [dict(QUERY_DEFAULTS), {**QUERY_DEFAULTS, "a": "b"}]


def test_setting_the_mode_goes_over_to_the_sibling_and_no_session_ever_changes(
    session: LogicalSession, gateway: ManySessions
) -> None:
    run(session, TABLE, "SET 'execution.runtime-mode' = 'batch'", "SELECT 1")
    assert session.mode == "batch"
    run(session, "RESET 'execution.runtime-mode'", "SELECT 2")
    assert session.mode == "streaming"
    assert gateway.ran("s1") == [TABLE, "SET 'execution.runtime-mode' = 'streaming'", "SELECT 2"]
    assert gateway.ran("s2") == [TABLE, "SET 'execution.runtime-mode' = 'batch'", "SELECT 1"]


def test_mode_automatic_is_refused_before_anything_is_sent(session: LogicalSession, gateway: ManySessions) -> None:
    with pytest.raises(ConfigError, match="'automatic' is not supported"):
        session.execute("SET 'execution.runtime-mode' = 'automatic'")
    with pytest.raises(ConfigError, match="not supported"):
        session.execute("SELECT 1", {"execution.runtime-mode": "automatic"})
    assert gateway.requests == []


def test_reset_gives_back_what_the_session_was_opened_with(gateway: ManySessions) -> None:
    spec = SessionSpec(properties={"parallelism.default": 1})
    with LogicalSession(gateway.client(), spec) as session:
        run(session, "SET 'a' = '1'", "RESET")
        session.execute("SELECT 1", mode="batch").close()
    own = ["SET 'parallelism.default' = '1'", "SET 'execution.runtime-mode' = 'streaming'"]
    assert gateway.ran("s1")[:2] == ["SET 'a' = '1'", "RESET"]
    assert sorted(gateway.ran("s1")[2:]) == sorted(own)
    assert gateway.ran("s2")[0] == "RESET"
    assert "SET 'execution.runtime-mode' = 'batch'" in gateway.ran("s2")


def test_a_view_that_the_other_mode_refuses_is_left_out_and_named_when_it_is_missed(
    session: LogicalSession, gateway: ManySessions
) -> None:
    run(session, TABLE, VIEW)

    def configure(session: FakeSession, sql: str) -> httpx.Response | None:
        return server_error(REFUSED) if sql == VIEW else None

    gateway.on_configure = configure
    session.execute("SHOW TABLES", mode="batch").close()
    gateway.answers["SELECT * FROM v"] = lambda session: server_error(
        "org.apache.flink.table.api.ValidationException: Object 'v' not found"
    )
    with pytest.raises(StatementError) as caught:
        session.execute("SELECT * FROM v", mode="batch")
    assert caught.value.message == "Object 'v' not found"
    assert caught.value.hint == f"mode batch does not take '{VIEW}': Querying an unbounded table is not allowed."


def test_a_lost_session_is_replaced_replayed_and_counted_once(
    session: LogicalSession, gateway: ManySessions, replays: list[int]
) -> None:
    run(session, TABLE, VIEW, "DROP VIEW v")
    gateway.lose()
    assert session.execute("SELECT * FROM t").fetch_all() == [(1,)]
    assert session.handles == (("streaming", "s2"),)
    assert gateway.ran("s2") == [TABLE, "SELECT * FROM t"]
    assert replays == [1]


def test_an_insert_is_repeated_when_the_session_was_gone_before_it(
    session: LogicalSession, gateway: ManySessions
) -> None:
    run(session, TABLE)
    gateway.lose()
    run(session, "INSERT INTO t SELECT 1")
    assert gateway.ran("s2") == [TABLE, "INSERT INTO t SELECT 1"]


def lost_at_result(session: FakeSession) -> httpx.Response:
    return server_error(f"{GATEWAY_ERROR}Session '{session.handle}' does not exist.")


def test_an_insert_that_got_an_operation_is_never_repeated(
    session: LogicalSession, gateway: ManySessions, replays: list[int]
) -> None:
    gateway.answers["INSERT INTO t SELECT 1"] = lost_at_result
    with pytest.raises(SessionLostError) as caught:
        session.execute("INSERT INTO t SELECT 1")
    assert (caught.value.code, caught.value.context["operation"]) == ("session_lost", "op0")
    assert [sql for one in gateway.sessions.values() for sql in one.ran] == ["INSERT INTO t SELECT 1"]
    assert replays == []


def test_a_query_that_lost_its_session_is_repeated_once(
    session: LogicalSession, gateway: ManySessions, replays: list[int]
) -> None:
    gateway.answers["SELECT 1"] = lost_at_result
    with pytest.raises(SessionLostError):
        session.execute("SELECT 1")
    assert [one.ran for one in gateway.sessions.values()] == [["SELECT 1"], ["SELECT 1"]]
    assert replays == [1]


def test_a_submit_without_an_answer_is_not_repeated_and_its_session_is_not_used_again(
    session: LogicalSession, gateway: ManySessions
) -> None:
    def hang(session: FakeSession, sql: str) -> httpx.Response | None:
        raise httpx.ReadTimeout("slow")

    gateway.on_submit = hang
    with pytest.raises(OutcomeUnknownError):
        session.execute("INSERT INTO t SELECT 1")
    assert session.handles == ()
    assert gateway.closed == ["s1"]


def test_a_refused_statement_is_not_remembered(session: LogicalSession, gateway: ManySessions) -> None:
    gateway.answers[TABLE] = lambda session: server_error(REFUSED)
    with pytest.raises(StatementError):
        session.execute(TABLE)
    session.execute("SELECT 1", mode="batch").close()
    assert gateway.ran("s2") == ["SELECT 1"]


def test_a_table_made_by_a_query_is_repeated_as_a_plain_table(session: LogicalSession, gateway: ManySessions) -> None:
    ddl = "CREATE TABLE `default_catalog`.`default_database`.`c` (`n` INT) WITH ('connector' = 'blackhole')"
    text = {"type": "VARCHAR", "nullable": True, "length": 2147483647}
    answer = {**page([[ddl]], columns=[("result", text)]), "resultType": "EOS"}
    gateway.answers["SHOW CREATE TABLE `c`"] = lambda session: httpx.Response(200, json=answer)
    run(session, "CREATE TABLE c WITH ('connector' = 'blackhole') AS SELECT 1 AS n")
    session.execute("SELECT * FROM c", mode="batch").close()
    assert gateway.ran("s2") == [ddl, "SELECT * FROM c"]


def test_a_thread_that_finds_the_session_busy_gets_another_one_with_the_same_view(
    session: LogicalSession, gateway: ManySessions
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def submit(session: FakeSession, sql: str) -> httpx.Response | None:
        if sql == "INSERT INTO slow SELECT 1":
            started.set()
            assert go_on.wait(5)
        return None

    gateway.on_submit = submit
    run(session, TABLE, VIEW)
    thread = threading.Thread(target=run, args=(session, "INSERT INTO slow SELECT 1"))
    thread.start()
    assert started.wait(5)
    run(session, "SELECT * FROM v", "DROP VIEW v")
    go_on.set()
    thread.join(5)
    assert gateway.ran("s2") == [TABLE, VIEW, "SELECT * FROM v", "DROP VIEW v"]
    run(session, "SELECT 1")
    assert gateway.ran("s1")[-2:] == ["DROP VIEW v", "SELECT 1"]
    assert len(session.handles) == 2


def test_a_declaration_is_made_once_and_in_its_mode_only(session: LogicalSession, gateway: ManySessions) -> None:
    declared = "CREATE TABLE IF NOT EXISTS orders (a INT) WITH ('connector' = 'kafka')"
    session.declare([declared])
    session.declare([declared])
    session.execute("SELECT 1", mode="batch").close()
    assert gateway.ran("s1") == [declared]
    assert gateway.ran("s2") == ["SELECT 1"]
    assert session.settings == frozenset()


def test_closing_closes_every_session_and_refuses_more(session: LogicalSession, gateway: ManySessions) -> None:
    run(session, "SELECT 1")
    session.execute("SELECT 1", mode="batch").close()
    session.close()
    session.close()
    assert gateway.open == set()
    with pytest.raises(FlinkError, match="closed"):
        session.execute("SELECT 1")


def test_a_forked_child_opens_sessions_of_its_own(
    session: LogicalSession, gateway: ManySessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(session, TABLE)
    with monkeypatch.context() as child:
        child.setattr("os.getpid", lambda: -1)
        run(session, "SELECT * FROM t")
        assert gateway.ran("s2") == [TABLE, "SELECT * FROM t"]
        assert gateway.open == {"s1", "s2"}


LAKE = "CREATE CATALOG c WITH ('type'='iceberg')"


@pytest.mark.parametrize(
    ("init", "statements"),
    [
        pytest.param([], ["USE CATALOG `c`", "USE `d`"], id="a-catalog-that-is-there"),
        pytest.param([LAKE, TABLE], [LAKE, "USE CATALOG `c`", "USE `d`", TABLE], id="a-catalog-that-init-makes"),
    ],
)
def test_catalog_and_database_are_current_as_soon_as_they_exist(init: list[str], statements: list[str]) -> None:
    assert list(SessionSpec(catalog="c", database="d", init=init).statements()) == statements


def test_a_specification_coerces_values_and_is_the_same_whatever_its_name() -> None:
    one = SessionSpec(name="a", properties={"x": True, "y": 1})
    assert one.settings == {"x": "true", "y": "1"}
    assert one.key() == SessionSpec(name="b", properties={"y": "1", "x": "true"}).key()
    assert one.key() != one.in_mode("batch").key()
    with pytest.raises(ConfigError, match="z must be text"):
        SessionSpec(properties={"z": None})
    with pytest.raises(ConfigError, match="automatic"):
        SessionSpec(mode="automatic")  # type: ignore[arg-type]
