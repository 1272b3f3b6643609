"""The cluster or the gateway is away: told quickly and by name, and work goes on when it is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestration.errors import MillraceError, UnreachableError
from orchestration.flink.client.probe import ALIVE_S
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.settings import Settings
from tests.integration.sql.gateways import Forwarder, OwnGateway, free_port

NUMBERS = (
    "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '20', "
    "'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '100000')"
)


@pytest.fixture
def engine(own_gateway: OwnGateway) -> Iterator[SqlEngine]:
    with open_engine(own_gateway.settings) as opened:
        yield opened


def test_a_cluster_that_is_down_is_told_within_ten_seconds(engine: SqlEngine, cluster_link: Forwarder) -> None:
    assert engine.execute("SELECT 1 AS a").to_list()[0].values == (1,)
    cluster_link.cut()
    try:
        threading.Event().wait(ALIVE_S)
        started = time.monotonic()
        with pytest.raises(UnreachableError) as caught:
            engine.execute("SELECT 1 AS a")
        assert time.monotonic() - started < 10
        assert (caught.value.code, caught.value.exit_code) == ("cluster_unreachable", 5)
        with pytest.raises(UnreachableError) as probed:
            engine.probe()
        assert probed.value.code == "cluster_unreachable"
        with pytest.raises(UnreachableError, match="JobManager"):
            engine.wait_ready(timeout_s=1)
    finally:
        cluster_link.mend()
    engine.wait_ready(timeout_s=10)
    assert engine.execute("SELECT 2 AS a").to_list()[0].values == (2,)


def test_a_gateway_that_is_down_is_told_after_the_retries(settings: Settings) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with open_engine(settings.with_changes(flink_sql_gateway_url=url)) as engine:
        started = time.monotonic()
        with pytest.raises(UnreachableError) as caught:
            engine.execute("SELECT 1 AS a")
        took = time.monotonic() - started
        assert (caught.value.code, caught.value.exit_code) == ("gateway_unreachable", 5)
        assert url in caught.value.message
        assert 3 < took < 30
        assert b'sql_engine_http_retries_total{endpoint="/v1/sessions"} 5.0' in engine.metrics.text()


def test_a_restarted_gateway_ends_a_result_clearly_and_the_next_queries_work(
    engine: SqlEngine, own_gateway: OwnGateway
) -> None:
    engine.execute("SELECT 1 AS a").to_list()
    with engine.session() as session:
        session.execute(NUMBERS).close()
        with closing(engine.run_script("SELECT n FROM numbers", session=session)) as script:
            stream = next(script).stream
            assert stream is not None
            assert next(stream).values[0] is not None
            job_id = stream.job_id
            assert job_id is not None
            own_gateway.stop()
            own_gateway.start()
            with pytest.raises(MillraceError) as caught:
                for _ in stream:
                    pass
            assert caught.value.code == "session_lost"
            # Nobody but the engine can end the query's job: the gateway that started it is gone.
            assert stream.wait_settled(15)
            assert engine.rest.job(job_id).state == "CANCELED"
        # The pool's session is gone as well, and so is the logical session's: both are made again.
        assert engine.execute("SELECT 2 AS a").to_list()[0].values == (2,)
        assert [row[0] for row in session.execute("SHOW TABLES").fetch_all()] == ["numbers"]
    assert b"sql_engine_session_replays_total 2.0" in engine.metrics.text()
