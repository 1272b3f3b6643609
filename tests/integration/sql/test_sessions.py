"""Logical sessions on a real gateway: both modes, several threads, expiry, the end of a process."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid

import pytest

from orchestration.errors import StatementError
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.sessions.logical import LogicalSession
from orchestration.flink.sessions.session import SessionSpec
from orchestration.settings import Settings
from tests.integration.sql.gateways import OwnGateway, knows_session

WATERMARKED = (
    "CREATE TABLE orders (id BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) "
    "WITH ('connector' = 'datagen', 'number-of-rows' = '5', 'fields.id.kind' = 'sequence', "
    "'fields.id.start' = '1', 'fields.id.end' = '5')"
)
VIEW = "CREATE VIEW ids AS SELECT id FROM orders"


def run(session: LogicalSession, *statements: str) -> None:
    for statement in statements:
        session.execute(statement).close()


def ids(session: LogicalSession, sql: str = "SELECT id FROM ids") -> list[object]:
    return sorted(row[0] for row in session.execute(sql).fetch_all())  # type: ignore[type-var]


def test_the_modes_take_turns_over_a_table_with_a_watermark(engine: SqlEngine) -> None:
    with engine.session() as session:
        run(session, WATERMARKED)
        for mode in ("streaming", "batch", "streaming"):
            run(session, f"SET 'execution.runtime-mode' = '{mode}'")
            assert len(session.execute("SELECT * FROM orders").fetch_all()) == 5
        assert [mode for mode, _ in session.handles] == ["streaming", "batch"]


def test_reset_keeps_the_mode_and_the_properties_of_the_session(engine: SqlEngine) -> None:
    with engine.session(SessionSpec(mode="batch", properties={"table.local-time-zone": "Asia/Tokyo"})) as session:
        run(session, "SET 'parallelism.default' = '3'", "RESET")
        [(_, handle)] = session.handles
        config = engine.gateway.session_config(handle)
        assert (config["execution.runtime-mode"], config["table.local-time-zone"]) == ("batch", "Asia/Tokyo")
        assert config.get("parallelism.default") != "3"


def test_a_table_made_by_a_query_is_known_to_the_other_mode_and_its_job_ran_once(
    engine: SqlEngine, rest: FlinkRest
) -> None:
    name = f"test.ctas.{uuid.uuid4().hex[:8]}"
    with engine.session(SessionSpec(properties={"pipeline.name": name})) as session:
        run(session, WATERMARKED, "CREATE TABLE copied WITH ('connector' = 'blackhole') AS SELECT id FROM orders")
        columns = session.execute("DESCRIBE copied", mode="batch").fetch_all()
        assert [column[:2] for column in columns] == [("id", "BIGINT")]
    assert len([job for job in rest.jobs_overview() if job.name == name]) == 1


def test_a_view_of_one_thread_is_there_for_another_thread_on_its_own_session(engine: SqlEngine) -> None:
    slow = (
        "CREATE TABLE slow (id INT) WITH ('connector' = 'datagen', 'number-of-rows' = '2', 'rows-per-second' = '1')",
        "CREATE TABLE hole (id INT) WITH ('connector' = 'blackhole')",
    )
    with engine.session() as session:
        run(session, *slow, WATERMARKED, VIEW)
        # A synchronous INSERT holds its gateway session: the other thread needs another one.
        config = {"table.dml-sync": "true", "execution.checkpointing.checkpoints-after-tasks-finish": "false"}
        insert = threading.Thread(
            target=lambda: session.execute("INSERT INTO hole SELECT id FROM slow", config).close()
        )
        insert.start()
        held = session.handles[0][1]
        assert ids(session) == [1, 2, 3, 4, 5]
        run(session, "DROP VIEW ids")
        insert.join(30)
        handles = [handle for _, handle in session.handles]
        assert handles[0] == held
        assert len(handles) == 2
        with pytest.raises(StatementError) as caught:
            run(session, "SELECT id FROM ids")
        assert caught.value.code == "sql_semantic_error"


def test_heartbeats_keep_an_idle_session_and_without_them_it_is_made_again_once(own_gateway: OwnGateway) -> None:
    with open_engine(own_gateway.settings) as engine, engine.session() as kept, engine.session() as left:
        for session in (kept, left):
            run(session, WATERMARKED, "CREATE TABLE hole (id BIGINT) WITH ('connector' = 'blackhole')", VIEW)
        handles = {session: session.handles for session in (kept, left)}
        [member] = left._members
        member.session._heartbeat.stop()
        threading.Event().wait(12)  # the gateway forgets after 5 s, and looks every second
        assert ids(kept) == [1, 2, 3, 4, 5]
        assert kept.handles == handles[kept]
        assert b"sql_engine_session_replays_total 0.0" in engine.metrics.text()
        assert ids(left) == [1, 2, 3, 4, 5]
        assert len(left.handles) == 1
        assert left.handles != handles[left]
        assert b"sql_engine_session_replays_total 1.0" in engine.metrics.text()


_FORKING = """
import os
from orchestration.flink.engine import open_engine
from orchestration.settings import load_settings
with open_engine(load_settings()) as engine:
    session = engine.session()
    session.execute("CREATE VIEW v AS SELECT 7 AS a").close()
    engine.execute("SELECT 1").to_list()
    child = os.fork()
    who = "parent" if child else "child"
    rows = session.execute("SELECT a FROM v").fetch_all(), engine.execute("SELECT 2").to_list()[0].values
    if child:
        os.waitpid(child, 0)
    print(who, rows, session.handles[0][1], flush=True)
    session.close()
"""


def test_a_forked_child_works_on_sessions_of_its_own(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORKING],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    child, parent = (line.rpartition(" ") for line in done.stdout.splitlines())
    assert (child[0], parent[0]) == ("child ([(7,)], (2,))", "parent ([(7,)], (2,))")
    assert child[2] != parent[2]


_UNCLOSED = """
from orchestration.flink.engine import open_engine
from orchestration.flink.sessions.session import SessionSpec
from orchestration.settings import load_settings
engine = open_engine(load_settings())
engine.execute("SELECT 1").to_list()
session = engine.session()
session.execute("CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'rows-per-second' = '1')").close()
result = session.execute("SELECT a FROM t")
lease = engine.pool.lease(SessionSpec())
print(lease.session.handle, session.handles[0][1], result.job_id)
"""


def test_a_process_that_closes_nothing_leaves_no_session_and_no_query(
    settings: Settings, environ: dict[str, str], rest: FlinkRest
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _UNCLOSED], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    pooled, own, job_id = done.stdout.split()
    assert not knows_session(settings, pooled)
    assert not knows_session(settings, own)
    assert rest.job(job_id).state in ("CANCELLING", "CANCELED")
