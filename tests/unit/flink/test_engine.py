"""The engine: what it checks before it sends, where statements run, how it ends."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from orchestration.errors import (
    ConfigError,
    FlinkError,
    InputError,
    SessionLostError,
    SqlRefusedError,
    UnreachableError,
)
from orchestration.flink.client import probe
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.reading.feed import Limits
from orchestration.flink.reading.stream import QUERY_DEFAULTS
from orchestration.flink.sessions.session import SessionSpec
from orchestration.settings import Settings
from orchestration.waiting import wait_for
from tests.unit.flink.fakes import GATEWAY_URL, REST_URL, insert_page, page, server_error
from tests.unit.flink.many_sessions import GATEWAY_ERROR, FakeSession, ManySessions

JOB = "a" * 32


@pytest.fixture
def gateway() -> ManySessions:
    return ManySessions()


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    def make(**values: object) -> Settings:
        urls = {"flink_sql_gateway_url": GATEWAY_URL, "flink_rest_url": REST_URL}
        return Settings(state_dir=tmp_path, sql_engine_registry=str(tmp_path / "q.sqlite"), **urls | values)  # type: ignore[arg-type]

    return make


@pytest.fixture
def engine(gateway: ManySessions, make_settings: Callable[..., Settings]) -> Iterator[SqlEngine]:
    with open_engine(make_settings(), transport=gateway.transport()) as opened:
        yield opened


def rows(engine: SqlEngine, sql: str, **options: object) -> list[tuple[object, ...]]:
    return [change.values for change in engine.execute(sql, **options).to_list()]  # type: ignore[arg-type]


def metric(engine: SqlEngine, name: str) -> float:
    found = [line for line in engine.metrics.text().decode().splitlines() if line.startswith(f"{name} ")]
    assert found, engine.metrics.text().decode()
    return float(found[0].rpartition(" ")[2])


def test_opening_sends_nothing(engine: SqlEngine, gateway: ManySessions) -> None:
    assert gateway.requests == []


def test_queries_share_a_session_and_run_with_the_defaults_of_queries(engine: SqlEngine, gateway: ManySessions) -> None:
    assert rows(engine, "SELECT 1") == [(1,)]
    assert rows(engine, "SELECT 2", properties={"parallelism.default": 4}) == [(1,)]
    assert rows(engine, "SHOW TABLES") == [(1,)]
    assert gateway.ran("s1") == ["SELECT 1", "SELECT 2", "SHOW TABLES"]
    assert gateway.sessions["s1"].configs == [
        dict(QUERY_DEFAULTS),
        {**QUERY_DEFAULTS, "parallelism.default": "4"},
        {},
    ]
    assert gateway.sessions["s1"].name.startswith("millrace-adhoc-")


@pytest.mark.parametrize(
    ("sql", "options", "error"),
    [
        pytest.param("SELECT * FROM t EMIT CHANGES", {}, SqlRefusedError, id="emit-changes"),
        pytest.param("INSERT INTO t SELECT 1", {}, SqlRefusedError, id="insert-without-permission"),
        pytest.param("SELECT 1", {"properties": {"rest.port": "1"}}, ConfigError, id="a-setting-of-the-cluster"),
        pytest.param("SELECT 1", {"properties": {"a": None}}, ConfigError, id="no-value"),
        pytest.param("SELECT 1", {"mode": "automatic"}, ConfigError, id="mode-automatic"),
    ],
)
def test_what_is_refused_is_never_sent(
    engine: SqlEngine, gateway: ManySessions, sql: str, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        engine.execute(sql, **options)  # type: ignore[arg-type]
    assert gateway.requests == []


def test_a_statement_that_makes_something_gets_a_session_of_its_own(engine: SqlEngine, gateway: ManySessions) -> None:
    gateway.answers["INSERT INTO t SELECT 1"] = lambda session: httpx.Response(
        200, json={**insert_page(JOB), "nextResultUri": None, "resultType": "EOS"}
    )
    rows(engine, "SELECT 1")
    stream = engine.execute("INSERT INTO t SELECT 1", allow={"dml"})
    assert stream.job_id == JOB
    stream.to_list()
    assert gateway.sessions["s2"].ran == ["INSERT INTO t SELECT 1"]
    assert gateway.closed == ["s2"]
    assert metric(engine, 'sql_engine_statements_total{class="dml",code="",outcome="ok"}') == 1


def test_a_cluster_that_is_down_is_found_before_a_session_is_opened(engine: SqlEngine, gateway: ManySessions) -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    gateway.cluster = down
    with pytest.raises(UnreachableError) as caught:
        engine.execute("SELECT 1")
    assert caught.value.code == "cluster_unreachable"
    assert gateway.sessions == {}


def test_a_cluster_that_answered_is_not_asked_again_for_a_second(
    engine: SqlEngine, gateway: ManySessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(probe.time, "monotonic", lambda: now[0])
    for pause_s in (0.0, probe.ALIVE_S / 2, probe.ALIVE_S):
        now[0] += pause_s
        engine.require_cluster()
    assert gateway.requests == ["cluster /overview"] * 2


def test_the_probe_names_the_service_that_is_missing(engine: SqlEngine, gateway: ManySessions) -> None:
    info, overview = engine.probe()
    assert (info.version, overview.slots_total) == ("2.1.3", 8)
    gateway.cluster = lambda request: httpx.Response(503)
    with pytest.raises(UnreachableError) as caught:
        engine.probe()
    assert caught.value.code == "cluster_unreachable"
    with pytest.raises(UnreachableError, match="Flink JobManager") as waited:
        engine.wait_ready(timeout_s=0)
    assert waited.value.code == "cluster_unreachable"


def test_expired_sessions_of_the_pool_are_replaced_and_the_query_succeeds(
    engine: SqlEngine, gateway: ManySessions
) -> None:
    with engine.pool.session(SessionSpec()), engine.pool.session(SessionSpec()):
        pass
    gateway.lose()
    assert rows(engine, "SELECT 1") == [(1,)]
    assert sum(engine.pool.stats().values()) == 1
    assert metric(engine, "sql_engine_session_replays_total") == 1


def test_idle_sessions_of_the_pool_make_room_for_a_session_of_ones_own(
    engine: SqlEngine, gateway: ManySessions
) -> None:
    gateway.max_sessions = 1
    rows(engine, "SELECT 1")
    with engine.session() as session:
        session.execute("SELECT 2").close()
        assert gateway.open == {"s2"}
        with engine.session() as second, pytest.raises(FlinkError) as caught:
            second.execute("SELECT 3")
    assert caught.value.code == "session_limit"


def test_a_session_that_is_lost_twice_is_an_error(engine: SqlEngine, gateway: ManySessions) -> None:
    gateway.on_submit = lambda session, sql: server_error(f"{GATEWAY_ERROR}Session '{session.handle}' does not exist.")
    with pytest.raises(SessionLostError):
        engine.execute("SELECT 1")
    assert len(gateway.sessions) == 2
    assert metric(engine, 'sql_engine_statements_total{class="query",code="session_lost",outcome="error"}') == 1


def test_a_refused_query_gives_its_session_back_and_is_counted_by_its_code(
    engine: SqlEngine, gateway: ManySessions
) -> None:
    gateway.answers["SELECT a FROM nope"] = lambda session: server_error(
        "org.apache.flink.table.api.ValidationException: Object 'nope' not found"
    )
    with pytest.raises(FlinkError, match="Object 'nope' not found"):
        rows(engine, "SELECT a FROM nope")
    assert engine.pool.stats() == {("streaming", "idle"): 1}
    name = 'sql_engine_statements_total{class="query",code="sql_semantic_error",outcome="error"}'
    assert metric(engine, name) == 1


def endless(session: FakeSession) -> httpx.Response:
    """Return a first page that says that more will come, which never does."""
    more = f"/v2/sessions/{session.handle}/operations/op0/result/0?rowFormat=JSON"
    return httpx.Response(200, json={**page([[1]]), "nextResultUri": more})


def test_closing_ends_what_still_runs_and_then_the_sessions(engine: SqlEngine, gateway: ManySessions) -> None:
    gateway.answers["SELECT a FROM endless"] = endless
    stream = engine.execute("SELECT a FROM endless")
    assert next(iter(stream)).values == (1,)
    own = engine.session()
    own.execute("SELECT 1").close()
    engine.close()
    engine.close()
    assert gateway.open == set()
    closing = [request for request in gateway.requests if request.startswith("DELETE")]
    assert closing[0].endswith("/close")
    assert stream.end is not None
    assert stream.end.reason == "cancelled"
    with pytest.raises(FlinkError, match="closed"):
        engine.execute("SELECT 1")
    with pytest.raises(FlinkError, match="closed"):
        engine.session()


def test_a_stream_that_nobody_holds_gives_its_session_back(engine: SqlEngine, gateway: ManySessions) -> None:
    gateway.answers["SELECT a FROM endless"] = endless
    engine.execute("SELECT a FROM endless", limits=Limits(max_rows=5))
    gc.collect()
    idle = {("streaming", "idle"): 1}

    def look() -> tuple[bool | None, object]:  # the stream's own thread gives it back
        stats = engine.pool.stats()
        return (True if stats == idle else None), stats

    wait_for(look, what="the session to be idle", timeout_s=5)


def test_a_script_runs_in_one_session_and_its_queries_are_streams(engine: SqlEngine, gateway: ManySessions) -> None:
    insert = "INSERT INTO t SELECT 1"
    gateway.answers[insert] = lambda session: httpx.Response(200, json={**insert_page(JOB), "nextResultUri": None})
    script = f"CREATE TABLE t (a INT);\n{insert};\n\nSELECT a FROM t"
    outcomes = [
        (
            outcome.statement,
            outcome.line,
            outcome.kind.value,
            outcome.job_id,
            outcome.stream and outcome.stream.to_list(),
        )
        for outcome in engine.run_script(script)
    ]
    assert [outcome[:4] for outcome in outcomes] == [
        ("CREATE TABLE t (a INT)", 1, "ddl", None),
        (insert, 2, "insert", JOB),
        ("SELECT a FROM t", 4, "query", None),
    ]
    assert len(outcomes[2][4] or []) == 1
    assert gateway.sessions["s1"].configs == [{}, {}, dict(QUERY_DEFAULTS)]
    assert gateway.open == set()


def test_a_script_keeps_what_it_set_itself(engine: SqlEngine, gateway: ManySessions) -> None:
    script = "SET 'parallelism.default' = '4'; SELECT 1"
    for outcome in engine.run_script(script):
        if outcome.stream is not None:
            outcome.stream.to_list()
    expected = {key: value for key, value in QUERY_DEFAULTS.items() if key != "parallelism.default"}
    assert gateway.sessions["s1"].configs[-1] == expected


def test_a_wrong_script_is_refused_as_a_whole(engine: SqlEngine, gateway: ManySessions) -> None:
    with pytest.raises(SqlRefusedError):
        engine.run_script("SELECT 1; SELECT * FROM t EMIT CHANGES")
    assert gateway.requests == []


def test_a_given_session_is_left_open_by_a_script(engine: SqlEngine, gateway: ManySessions) -> None:
    with engine.session() as session:
        for _ in engine.run_script("CREATE TABLE t (a INT)", session=session):
            pass
        assert gateway.open == {"s1"}
        assert gateway.ran("s1") == ["CREATE TABLE t (a INT)"]


def test_a_plan_comes_with_the_details_that_were_asked_for(engine: SqlEngine, gateway: ManySessions) -> None:
    engine.explain("INSERT INTO t SELECT 1;", details=["changelog_mode", "estimated_cost"])
    assert gateway.ran("s1") == ["EXPLAIN CHANGELOG_MODE, ESTIMATED_COST INSERT INTO t SELECT 1"]
    with pytest.raises(InputError, match="no detail 'colours'"):
        engine.explain("SELECT 1", details=["colours"])
    with pytest.raises(InputError, match="no plan"):
        engine.explain("SHOW TABLES")


def test_only_queries_are_described(engine: SqlEngine, gateway: ManySessions) -> None:
    with pytest.raises(InputError, match="only a query"):
        engine.describe("SHOW TABLES")
    assert gateway.requests == []


def test_validation_asks_flink_only_when_it_is_deep_and_the_rules_find_no_error(
    engine: SqlEngine, gateway: ManySessions
) -> None:
    assert [problem.code for problem in engine.validate("SELECT * FROM t EMIT CHANGES", deep=True)] == ["V03"]
    engine.validate("SELECT 1")
    assert gateway.requests == []
    assert engine.validate("SELECT 1", deep=True) == []
    assert gateway.ran("s1") == ["EXPLAIN SELECT 1"]


def test_rows_come_asynchronously_too(engine: SqlEngine) -> None:
    async def read() -> list[tuple[object, ...]]:
        async with await engine.aexecute("SELECT 1") as stream:
            return [change.values async for change in stream]

    assert asyncio.run(read()) == [(1,)]


def test_a_topic_and_an_iceberg_table_of_the_same_name_do_not_hide_each_other(engine: SqlEngine) -> None:
    for name, path in (("a", "`default_catalog`.`default_database`.`totals`"), ("b", "`lakehouse`.`streams`.`totals`")):
        record = engine.registry.new_record(QuerySpec(name=name, query="SELECT 1 AS n"))
        engine.registry.insert(replace(record, ddl=f"CREATE TABLE {path} (n INT) WITH ('connector' = 'print')"))
    [found] = engine.tables.statements_for("SELECT n FROM totals")
    assert (found.name, found.origin, "print" in found.ddl) == ("totals", "query", True)


def test_the_sinks_of_live_queries_are_no_reason_to_fail_when_the_registry_does(
    gateway: ManySessions, make_settings: Callable[..., Settings], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "q.sqlite").write_text("this is no database, but it is long enough to be looked at" * 20)
    with open_engine(make_settings(), transport=gateway.transport()) as engine:
        assert rows(engine, "SELECT 1") == [(1,)]
    assert "the sinks of persistent queries are not known" in caplog.text


def test_the_header_and_the_number_of_retries_come_from_the_settings(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization"))
        raise httpx.ConnectError("refused", request=request)

    header = tmp_path / "header"
    header.write_text("Bearer s3cr3t-t0k3n\n")
    settings = make_settings(flink_auth_header_file=header, sql_engine_http_retries=2)
    with open_engine(settings, transport=httpx.MockTransport(answer)) as engine:
        with pytest.raises(UnreachableError) as caught:
            engine.gateway.info()
        assert len(seen) == 3
        assert metric(engine, 'sql_engine_http_retries_total{endpoint="/v1/info"}') == 2
    assert set(seen) == {"Bearer s3cr3t-t0k3n"}
    assert "s3cr3t" not in f"{caught.value} {caught.value.context}"
