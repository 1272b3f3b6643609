"""`millrace sql` as processes on the real stack: what is written, exit codes, and what a signal leaves behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.models import TERMINAL
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.wait import cancel_job
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for
from tests.integration.home import Ended
from tests.integration.lake import closed_port

pytestmark = pytest.mark.stack

MILLRACE_SQL = (sys.executable, "-m", "orchestration.cli.main", "sql")
COMMAND_S = 60.0
TICKS = (
    "CREATE TEMPORARY TABLE ticks (n BIGINT, s STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '{rate}');"
)
COUNTS = "SELECT name, COUNT(*) AS c FROM (VALUES ('a'), ('b'), ('a')) AS t(name) GROUP BY name"


@dataclass
class Gateway:
    """A proxy before the real gateway that counts what is asked."""

    url: str
    calls: list[str] = field(default_factory=list)

    @property
    def sessions_left_open(self) -> int:
        """Sessions that were opened through the proxy and not closed."""
        opened = self.calls.count("POST /v1/sessions")
        closed = sum(call.startswith("DELETE /v1/sessions/") and call.count("/") == 3 for call in self.calls)
        return opened - closed


@pytest.fixture(scope="module")
def proxied(settings: Settings) -> Iterator[Gateway]:
    """The real gateway behind a proxy."""
    with httpx.Client(base_url=settings.flink_sql_gateway_url, timeout=60, trust_env=False) as upstream:

        class Forward(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.calls.append(f"{self.command} {self.path}")
                answer = upstream.request(
                    self.command, self.path, content=body, headers={"Content-Type": "application/json"}
                )
                self.send_response(answer.status_code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_DELETE = forward

            def log_message(self, format: str, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as server:
            proxy = Gateway(f"http://127.0.0.1:{server.server_address[1]}")
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield proxy
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Cli:
    """Runs commands against the stack, with a registry and a namespace of this test alone."""

    environ: Mapping[str, str]
    folder: Path

    def __call__(self, *words: str, stdin: str | None = None, **environ: str) -> Ended:
        done = subprocess.run(
            [*MILLRACE_SQL, *words],
            env={**self.environ, **environ},
            cwd=self.folder,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def document(self, *words: str) -> Any:
        """Run a command that succeeds, and return its JSON document."""
        ended = self(*words, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command whose output is read while it runs."""
        return subprocess.Popen(
            [*MILLRACE_SQL, *words],
            env=dict(self.environ),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def spec(self, name: str, query: str, **fields: object) -> str:
        """Write the definition of a query and return its file."""
        path = self.folder / f"{name}.yml"
        small = {"parallelism": 1, "checkpoint_interval": "1 s", "sink": {"profile": "blackhole"}}
        path.write_text(json.dumps({"name": name, "query": query, **small, **fields}))
        return str(path)


@pytest.fixture
def cli(environ: Mapping[str, str], tmp_path: Path, proxied: Gateway, rest: FlinkRest) -> Iterator[Cli]:
    proxied.calls.clear()
    namespace = f"cli{uuid.uuid4().hex[:8]}"
    own = {
        "SQL_ENGINE_NAMESPACE": namespace,
        "SQL_ENGINE_REGISTRY": str(tmp_path / "queries.sqlite"),
        "FLINK_SQL_GATEWAY_URL": proxied.url,
        "PYTHONUNBUFFERED": "1",
    }
    yield Cli({**environ, **own}, tmp_path)
    for job in rest.jobs_overview():
        if job.name.startswith(f"{namespace}.") and job.state not in TERMINAL:
            cancel_job(rest, job.id)


def script(cli: Cli, job: str, *, rate: int = 50) -> str:
    """Write a script with an unbounded query whose job has this name, and return its file."""
    path = cli.folder / "unbounded.sql"
    path.write_text(f"SET 'pipeline.name' = '{job}';\n{TICKS.format(rate=rate)}\nSELECT n FROM ticks;\n")
    return str(path)


def state_of(rest: FlinkRest, name: str) -> str:
    """Return the state of the one job with this name."""
    [job] = [job for job in rest.jobs_overview() if job.name == name]
    return job.state


def wait_until_over(rest: FlinkRest, name: str) -> str:
    """Wait for the end of a job as long as the engine promises, and return its state."""

    def look() -> tuple[str | None, object]:
        state = state_of(rest, name)
        return (state if state in TERMINAL else None), state

    return wait_for(look, what=f"the end of {name}", timeout_s=10, backoff=Backoff(0.1, 0.5))


def test_a_query_prints_one_line_a_row_and_leaves_no_session(cli: Cli, proxied: Gateway) -> None:
    ended = cli("query", "SELECT 1 AS a, 'x' AS b")
    assert (ended.code, ended.out, ended.err) == (0, '[1, "x"]\n', "")
    assert proxied.calls.count("POST /v1/sessions") == 1
    assert proxied.sessions_left_open == 0
    document = cli.document("query", "SELECT 1 AS a, 'x' AS b")
    assert [column["type"] for column in document["columns"]] == ["INT", "CHAR(1)"]
    assert document["end"]["reason"] == "eos"


@pytest.mark.parametrize(
    ("words", "records"),
    [
        pytest.param(
            ["-e", "changelog"],
            [
                {"op": "+I", "name": "a", "c": 1},
                {"op": "+I", "name": "b", "c": 1},
                {"op": "-U", "name": "a", "c": 1},
                {"op": "+U", "name": "a", "c": 2},
            ],
            id="changelog",
        ),
        pytest.param(["-e", "fold"], [["a", 2], ["b", 1]], id="fold"),
        pytest.param(["-m", "batch", "-e", "object"], [{"name": "a", "c": 2}, {"name": "b", "c": 1}], id="batch"),
    ],
)
def test_changes_are_written_as_they_are_asked_for(cli: Cli, words: list[str], records: list[object]) -> None:
    found = [json.loads(line) for line in cli("query", *words, COUNTS).out.splitlines()]
    assert sorted(map(str, found)) == sorted(map(str, records))


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        pytest.param("SELECT * FROM orders EMIT CHANGES", "V03", id="ksqlDB"),
        pytest.param("SELECT 1; SELECT 2", "V02", id="two statements"),
    ],
)
def test_refused_sql_exits_with_2_and_reaches_no_gateway(cli: Cli, proxied: Gateway, sql: str, rule: str) -> None:
    ended = cli("query", sql)
    assert (ended.code, ended.out) == (2, "")
    assert rule in ended.err
    assert proxied.calls == []


def test_the_words_of_a_string_are_no_syntax(cli: Cli) -> None:
    assert cli("query", "SELECT 'EMIT CHANGES' AS s").out == '["EMIT CHANGES"]\n'


def test_an_unknown_table_exits_with_4_and_says_where(cli: Cli) -> None:
    error = json.loads(cli("query", "--json", "SELECT * FROM nope").out)["error"]
    assert (error["code"], error["exit_code"]) == ("sql_semantic_error", 4)
    ended = cli("query", "SELECT * FROM nope")
    assert ended.code == 4
    assert "'nope'" in ended.err
    assert "line 1, column 15" in ended.err
    assert "\tat " not in ended.err
    assert "Caused by" not in ended.err


def test_what_is_no_sql_exits_with_4_as_a_parse_error(cli: Cli) -> None:
    assert json.loads(cli("query", "--json", "SELEC 1").out)["error"]["code"] == "sql_parse_error"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_the_query_then_the_command(
    cli: Cli, rest: FlinkRest, proxied: Gateway, number: signal.Signals
) -> None:
    job = f"cli.{uuid.uuid4().hex[:8]}"
    process = cli.start("run", script(cli, job))
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())
    assert state_of(rest, job) == "RUNNING"
    process.send_signal(number)
    rest_of_rows, told = process.communicate(timeout=15)
    assert process.returncode == 130, told
    assert state_of(rest, job) == "CANCELED"
    assert "cancelled after" in told
    assert "Traceback" not in told + rest_of_rows
    assert proxied.sessions_left_open == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_takes_a_deploy_back(cli: Cli, rest: FlinkRest, number: signal.Signals) -> None:
    file = cli.spec("dropped", "SELECT n FROM ticks", inputs=[TICKS.format(rate=5).rstrip(";")])
    process = cli.start("deploy", file)
    assert process.stderr is not None
    told = next(line for line in process.stderr if "runs steadily" in line)
    process.send_signal(number)
    _, rest_of_told = process.communicate(timeout=30)
    assert process.returncode == 130, rest_of_told
    assert rest.job(told.split("until job ")[1].split()[0]).state == "CANCELED"


def test_a_reader_that_goes_away_ends_the_query(cli: Cli, rest: FlinkRest, proxied: Gateway) -> None:
    job = f"cli.{uuid.uuid4().hex[:8]}"
    process = cli.start("run", "--max-rows", "0", "--fetch-timeout", "0", script(cli, job))
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())
    process.stdout.close()
    process.communicate(timeout=15)
    assert wait_until_over(rest, job) == "CANCELED"
    assert proxied.sessions_left_open == 0


def test_an_unbounded_query_ends_at_its_limit(cli: Cli, rest: FlinkRest) -> None:
    job = f"cli.{uuid.uuid4().hex[:8]}"
    ended = cli("run", "--max-rows", "25", "--fetch-timeout", "0", script(cli, job))
    assert (ended.code, len(ended.out.splitlines())) == (0, 25)
    assert "stopped after 25 rows" in ended.err
    assert wait_until_over(rest, job) == "CANCELED"


def test_a_script_runs_two_statements_of_what_looks_like_four(cli: Cli) -> None:
    text = "-- one; two\nSELECT 'a;b' AS s;\nSELECT /* ; */ 2 AS n\n;\n"
    assert cli("run", "-", stdin=text).out == '["a;b"]\n[2]\n'
    assert cli(stdin=text).out == '["a;b"]\n[2]\n'


def test_the_schema_of_a_query_is_known_without_a_job(cli: Cli) -> None:
    schema = cli.document("describe", COUNTS)
    assert [(one["name"], one["type"], one["is_nullable"]) for one in schema["columns"]] == [
        ("name", "CHAR(1)", False),
        ("c", "BIGINT", False),
    ]
    assert schema["changelog"] == ["I", "UA"]


def test_the_planner_is_asked_by_a_deep_validation(cli: Cli, proxied: Gateway) -> None:
    assert cli("validate", "SELECT * FROM nope").code == 0
    assert proxied.calls == []
    ended = cli("validate", "--deep", "SELECT * FROM nope")
    assert ended.code == 2
    assert "SELECT * FROM nope\n                ^" in ended.out


def test_a_plan_is_shown(cli: Cli) -> None:
    assert "changelogMode=[I,UA]" in cli("explain", "-d", "changelog_mode", COUNTS).out


def test_a_query_lives_through_its_commands(cli: Cli, rest: FlinkRest) -> None:
    """Deploy, look, savepoint, stop, restart, delete: what each says to machines, and its exit code."""
    inputs = [TICKS.format(rate=5).rstrip(";")]
    file = cli.spec("ticker", "SELECT n FROM ticks", inputs=inputs)
    deployed = cli.document("deploy", file)
    job_id = deployed["job_id"]
    assert (deployed["state"], rest.job(job_id).state) == ("RUNNING", "RUNNING")
    assert cli.document("deploy", file)["unchanged"] is True
    [listed] = cli.document("list")
    assert (listed["name"], listed["state"], listed["job_id"]) == ("ticker", "RUNNING", job_id)

    other = cli.spec("ticker", "SELECT n + 1 AS n FROM ticks", inputs=inputs)
    assert cli("deploy", other).code == 7

    status = cli.document("status", "ticker")
    assert (status["health"]["level"], status["slots"]["used"], status["restarts"]) == ("healthy", 1, 0)
    assert Path(cli("savepoint", "ticker").out.strip().removeprefix("file:")).is_dir()
    logged = cli.document("logs", job_id)
    assert logged["failures"] == []
    assert any(job_id in line["text"] for line in logged["lines"])

    stopped = cli.document("stop", "ticker")
    assert (stopped["state"], stopped["changed"]) == ("SUSPENDED", True)
    assert rest.job(job_id).state == "FINISHED"
    restarted = cli.document("restart", "ticker")
    assert restarted["restored_from"] == stopped["savepoint_path"]

    assert cli.document("delete", "ticker")["changed"] is True
    assert rest.job(restarted["job_id"]).state == "CANCELED"
    assert cli.document("delete", "ticker")["changed"] is False
    assert cli.document("list") == []


def test_stopping_says_what_there_was_to_stop(cli: Cli, rest: FlinkRest) -> None:
    inputs = [TICKS.format(rate=5).rstrip(";")]
    failing = cli.spec("failing", "SELECT CAST(s AS INT) AS n FROM ticks", inputs=inputs)
    ended = cli("deploy", failing)
    assert ended.code == 4
    assert "NumberFormatException" in ended.err
    assert "\tat " not in ended.err
    stopped = cli.document("stop", "failing")
    assert (stopped["state"], stopped["changed"]) == ("FAILED", False)
    with pytest.raises(JobNotFoundError):
        rest.job("0" * 32)
    unknown = cli("stop", "--json", "0" * 32)
    assert (unknown.code, json.loads(unknown.out)["error"]["code"]) == (3, "not_found")
    assert cli("stop", "zzz").code == 2


def test_reconcile_finds_the_queries_of_a_registry_that_is_gone(cli: Cli) -> None:
    file = cli.spec("lost", "SELECT n FROM ticks", inputs=[TICKS.format(rate=5).rstrip(";")])
    job_id = cli.document("deploy", file)["job_id"]
    for path in cli.folder.glob("queries.sqlite*"):
        path.unlink()
    assert cli.document("list") == []
    [repair] = cli.document("reconcile")
    assert repair["action"] == "adopt"
    [listed] = cli.document("list")
    assert (listed["job_id"], listed["state"]) == (job_id, "RUNNING")


def test_the_doctor_finds_the_stack_well(cli: Cli, proxied: Gateway) -> None:
    ended = cli("doctor", "--deep", "--json")
    found = json.loads(ended.out)["findings"]
    assert [one for one in found if one["level"] == "FAIL"] == []
    assert ended.code == 0
    looked_at = {"versions", "slots", "session", "statements", "savepoint folder", "savepoint", "clock"}
    assert looked_at <= {one["name"] for one in found}
    [present] = [one["message"] for one in found if one["name"] == "connectors" and one["level"] == "PASS"]
    assert {"kafka", "upsert-kafka", "filesystem", "iceberg"} <= set(present.split(", "))
    assert proxied.sessions_left_open == 0


@pytest.mark.parametrize(
    ("variable", "code"),
    [
        pytest.param("FLINK_REST_URL", "cluster_unreachable", id="cluster"),
        pytest.param("FLINK_SQL_GATEWAY_URL", "gateway_unreachable", id="gateway"),
    ],
)
def test_a_service_that_is_down_exits_with_5(cli: Cli, variable: str, code: str) -> None:
    down = {variable: f"http://127.0.0.1:{closed_port()}", "SQL_ENGINE_HTTP_RETRIES": "1"}
    ended = cli("query", "--json", "SELECT 1 AS a", **down)
    assert (ended.code, json.loads(ended.out)["error"]["code"]) == (5, code)
    doctor = cli("doctor", "--json", **down)
    assert doctor.code == 5
    assert json.loads(doctor.out)["ok"] is False
