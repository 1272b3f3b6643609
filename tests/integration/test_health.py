"""`millrace health` on the real stack: well when it is fresh, and it says with its exit code when something is down."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from orchestration.flink.client.models import TERMINAL
from orchestration.flink.engine import open_engine
from orchestration.flink.queries.spec import QuerySpec
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for
from tests.integration.conftest import stack_environ
from tests.integration.home import Home, open_home
from tests.integration.lake import closed_port

pytestmark = pytest.mark.stack

FAILS_AT = 200
NUMBERS = (
    "CREATE TEMPORARY TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10', "
    "'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000')"
)


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A stack that holds nothing yet, with a namespace of queries of its own."""
    with open_home(
        settings, tmp_path_factory.mktemp("health"), SQL_ENGINE_NAMESPACE=f"health-{uuid.uuid4().hex[:6]}"
    ) as opened:
        yield opened


def health(home: Home, **environ: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the lines by name."""
    done = home.millrace("health", "--json", **environ)
    document = json.loads(done.out)
    lines: Mapping[str, Any] = {line["name"]: line for line in document["lines"]}
    return done.code, {"level": document["level"], **lines}


def test_a_fresh_stack_is_healthy(home: Home) -> None:
    code, lines = health(home)
    assert (code, lines["level"]) == (0, "healthy"), lines
    assert {"broker", "catalog", "warehouse", "cluster", "gateway", "bronze", "silver", "marts"} < set(lines)
    assert lines["bronze"]["message"] == "never written"
    assert lines[f"{home.settings.dlq_topic}"]["message"].startswith("0 dead letters")


def test_a_gateway_that_is_down_is_unhealthy(home: Home) -> None:
    code, lines = health(home, FLINK_SQL_GATEWAY_URL=f"http://127.0.0.1:{closed_port()}")
    assert (code, lines["level"]) == (1, "unhealthy")
    assert lines["gateway"]["codes"] == ["gateway_down"]
    assert {lines[name]["level"] for name in ("broker", "catalog", "cluster")} == {"healthy"}


def test_a_persistent_query_that_failed_is_unhealthy(home: Home) -> None:
    spec = QuerySpec.model_validate(
        {
            "name": "doomed",
            "query": f"SELECT 1 / ({FAILS_AT} - n) AS n FROM numbers",
            "inputs": (NUMBERS,),
            "sink": {"profile": "blackhole"},
            "parallelism": 1,
            "checkpoint_interval": "2 s",
            "execution": {"restart-strategy.type": "none"},
        }
    )
    with open_engine(home.settings) as engine:
        job_id = engine.deploy(spec).job_id
        try:
            code, lines = health(home)
            assert (code, lines["doomed"]["level"]) == (0, "healthy")
            shown = home.millrace("jobs", "show", job_id, "--json")
            job = json.loads(shown.out)
            assert (job["id"], job["state"], job["health"]["level"]) == (job_id, "RUNNING", "healthy")
            assert job["checkpoints"]["interval_s"] == 2
            assert job["vertices"]
            assert job_id in job["url"]

            wait_for(
                lambda: (engine.rest.job(job_id).state in TERMINAL or None, "live"),
                what="the job's end",
                timeout_s=60,
                backoff=Backoff(0.1, 0.5),
            )
            code, lines = health(home)
            assert (code, lines["level"]) == (1, "unhealthy")
            assert lines["doomed"]["codes"] == ["job_failed"]
            assert "/ by zero" in lines["doomed"]["message"]
            assert "millrace sql" in lines["doomed"]["hint"]
        finally:
            engine.delete("doomed", force=True, drop_data=True)


def test_a_watched_lag_is_a_line_a_look_and_ends_with_0_on_an_interrupt(settings: Settings) -> None:
    environ = os.environ | stack_environ(settings.state_dir, settings.instance)
    arguments = ["lag", "--watch", "--json", "--interval", "0.3"]
    with subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli.main", *arguments],
        env=environ, cwd=settings.repo_root, stdout=subprocess.PIPE, text=True,
    ) as watching:  # fmt: skip
        assert watching.stdout is not None
        looks = [json.loads(watching.stdout.readline()) for _ in range(3)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 0
    assert [set(look) for look in looks[1:]] == [set(looks[0])] * 2
    assert looks[0]["produced_per_s"] is None
    assert looks[2]["produced_per_s"] is not None


def test_a_watched_lag_is_redrawn_in_place_on_a_terminal(settings: Settings) -> None:
    environ = os.environ | stack_environ(settings.state_dir, settings.instance) | {"TERM": "xterm", "COLUMNS": "120"}
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli.main", "lag", "--watch", "--interval", "0.3"],
        env=environ, cwd=settings.repo_root, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    ) as watching:  # fmt: skip
        os.close(terminal)
        seen = b""
        while seen.count(b"next in bronze") < 3:
            seen += os.read(controller, 4096)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 0
    os.close(controller)
    # Cursor up and erase line: what a table that is drawn over the one before begins with.
    assert b"\x1b[1A\x1b[2K" in seen
    assert b"up to date" in seen or b"records behind" in seen
