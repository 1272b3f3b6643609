"""The shell of `millrace sql` on a terminal of its own, on the real stack."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestration.flink.client.models import TERMINAL
from orchestration.flink.client.rest import FlinkRest
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for

pytestmark = pytest.mark.stack

WAIT_S = 20.0
CTRL_C, CTRL_D, TAB, ENTER = "\x03", "\x04", "\t", "\r"
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()>=78].?|\x1b\][^\x07]*\x07")
# The terminal becomes the controlling one, so that Ctrl-C is a signal there as it is for a person.
_IN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, '-m', 'orchestration.cli.main', 'sql', *sys.argv[1:]])"
)


class Terminal:
    """A shell on a pseudo-terminal of 120 columns. Context manager."""

    def __init__(self, environ: Mapping[str, str], *words: str) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _IN_TERMINAL, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environ, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "120", "LINES": "40"},
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""

    def __enter__(self) -> Terminal:
        self.expect(r"\\q leaves[\s\S]*flink>")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def enter(self, text: str) -> None:
        """Forget what was seen, type a line, wait for its echo, and press Enter."""
        self.seen = ""
        self.type(text)
        self.expect(re.escape(text.splitlines()[-1][-20:]))
        self.type(ENTER)

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until the screen has shown something, and return it."""
        deadline = time.monotonic() + WAIT_S
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self.seen[-3000:]}"
            if select.select([self._ours], [], [], 0.2)[0]:
                self.seen += self._read()
        return found

    def run(self, text: str, pattern: str) -> re.Match[str]:
        """Enter a line, wait for what it shows, and for the next prompt."""
        self.enter(text)
        found = self.expect(pattern)
        self.expect(f"{pattern}[\\s\\S]*flink>")
        return found

    def _read(self) -> str:
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # Linux says EIO when the other side is closed
            data = b""
        assert data or self.process.poll() is None, f"the shell ended:\n{self.seen[-3000:]}"
        return _ESCAPE.sub("", data.decode(errors="replace")).replace("\r", "")


@pytest.fixture(scope="module")
def own_environ(
    environ: Mapping[str, str], settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The stack's services, with a state folder of this test alone, in which the history lies."""
    return {
        **environ,
        "MILLRACE_STATE_DIR": str(tmp_path_factory.mktemp("shell")),
        "FLINK_SQL_GATEWAY_URL": settings.flink_sql_gateway_url,
        "FLINK_REST_URL": settings.flink_rest_url,
    }


@pytest.fixture(scope="module")
def shell(own_environ: Mapping[str, str]) -> Iterator[Terminal]:
    """One shell for all tests: each leaves it at its prompt."""
    with Terminal(own_environ) as opened:
        yield opened


def jobs_named(rest: FlinkRest, name: str) -> list[str]:
    return [job.state for job in rest.jobs_overview() if job.name == name]


def test_a_statement_may_have_several_lines(shell: Terminal) -> None:
    shell.enter("SELECT 1 AS left_one,")
    shell.expect(r"\.\.\.>")
    shell.run("'x' AS right_one;", r"left_one\s+right_one[\s\S]*1\s+x[\s\S]*1 row\b")


def test_an_error_is_a_line_with_a_mark_and_the_shell_goes_on(shell: Terminal) -> None:
    found = shell.run("SELECT * FROM nope;", r"\n(SELECT \* FROM nope;)\s*\n( *)\^\s*\nerror: (.*)\n")
    assert len(found[2]) == len("SELECT * FROM ")
    assert "'nope' not found" in found[3]
    shell.run("SELECT 1 AS a EMIT CHANGES;", r"\n {14}\^\s*\nerror: V03")


def test_statements_share_one_session(shell: Terminal) -> None:
    shell.run("CREATE TEMPORARY VIEW pair AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(n, s);", "done")
    shell.run("SELECT SUM(n) AS total FROM pair;", r"total[\s\S]*\b3\b[\s\S]*1 row\b")
    shell.run("SET 'execution.runtime-mode' = 'batch';", "done")
    shell.run("SELECT COUNT(*) AS many FROM pair;", r"many[\s\S]*\b2\b[\s\S]*1 row\b")
    shell.run("RESET 'execution.runtime-mode';", "done")


def test_tables_are_described(shell: Terminal) -> None:
    shell.run("CREATE TABLE trips (distance DOUBLE, zone STRING) WITH ('connector' = 'datagen');", "done")
    shell.run("\\d trips", r"distance\s+DOUBLE[\s\S]*zone\s+STRING[\s\S]*2 rows")
    shell.run("\\d", r"trips[\s\S]*made when a statement names them: .*taxi_raw")


def test_tab_completes_tables_and_columns(shell: Terminal) -> None:
    shell.run("CREATE TABLE IF NOT EXISTS trips (distance DOUBLE, zone STRING) WITH ('connector' = 'datagen');", "done")
    shell.seen = ""
    shell.type("DESCRIBE tri")
    shell.expect(r"DESCRIBE tri[\s\S]*trips")
    shell.type(TAB + ";" + ENTER)
    shell.expect("distance")
    shell.expect(r"2 rows[\s\S]*flink>")


def test_ctrl_c_ends_a_query_and_not_the_shell(shell: Terminal, rest: FlinkRest) -> None:
    job = f"shell.{uuid.uuid4().hex[:8]}"
    shell.run("CREATE TEMPORARY TABLE ticks (n INT) WITH ('connector'='datagen', 'rows-per-second'='50');", "done")
    shell.run(f"SET 'pipeline.name' = '{job}';", "done")
    shell.enter("SELECT MOD(n, 2) AS k, COUNT(*) AS many FROM ticks GROUP BY MOD(n, 2);")
    found = shell.expect(r"\b([3-9]) rows?, (\d{2,}) changes")
    assert int(found[1]) == 3, "rows of the keys -1, 0 and 1, each in its place"
    shell.type(CTRL_C)
    shell.expect(r"cancelled after \d+ rows\n3 rows[\s\S]*flink>")
    assert jobs_named(rest, job) == ["CANCELED"]
    shell.run("RESET 'pipeline.name';", "done")
    shell.run("SELECT 5 AS still_here;", r"still_here[\s\S]*\b5\b[\s\S]*1 row\b")


def test_ctrl_c_at_the_prompt_drops_what_was_typed(shell: Terminal) -> None:
    shell.seen = ""
    shell.type("SELECT nonsense")
    shell.expect("nonsense")
    shell.type(CTRL_C)
    shell.run("SELECT 6 AS after_it;", r"after_it[\s\S]*\b6\b[\s\S]*1 row\b")


def test_timing_and_limits_are_switched(shell: Terminal) -> None:
    shell.run("\\timing", "timing is on")
    shell.run("SELECT 7 AS timed;", r"1 row, \d\.\d s")
    shell.run("\\timing", "timing is off")
    shell.run("\\limit 2 9", r"after 2 changes or 9 s")
    shell.run("SELECT * FROM (VALUES (1), (2), (3)) AS t(n);", r"stopped after 2 rows")
    shell.run("\\limit 1000 60", r"after 1,000 changes or 60 s")
    shell.run("\\nothing", r"error: there is no command \\nothing")
    shell.run("\\help", r"\\d \[TABLE\]")


def test_an_insert_goes_on_and_its_job_is_named(shell: Terminal, rest: FlinkRest) -> None:
    job = f"shell.{uuid.uuid4().hex[:8]}"
    shell.run("CREATE TEMPORARY TABLE few (n INT) WITH ('connector'='datagen', 'number-of-rows'='5');", "done")
    shell.run("CREATE TEMPORARY TABLE hole (n INT) WITH ('connector'='blackhole');", "done")
    shell.run(f"SET 'pipeline.name' = '{job}';", "done")
    found = shell.run("INSERT INTO hole SELECT n FROM few;", r"job ([0-9a-f]{32}): http")
    shell.run("RESET 'pipeline.name';", "done")

    def look() -> tuple[str | None, object]:
        state = rest.job(found[1]).state
        return (state if state in TERMINAL else None), state

    assert wait_for(look, what=f"the end of {job}", timeout_s=20, backoff=Backoff(0.2, 0.5)) == "FINISHED"


@pytest.mark.parametrize("keys", [pytest.param("\\q" + ENTER, id="command"), pytest.param(CTRL_D, id="end of file")])
def test_the_shell_is_left_and_its_history_stays(own_environ: Mapping[str, str], keys: str) -> None:
    with Terminal(own_environ, "--read-only") as opened:
        opened.run("SELECT 8 AS remembered;", r"1 row\b")
        opened.run("CREATE TABLE t (n INT) WITH ('connector' = 'jdbc', 'password' = 'hunter22');", "error: V05")
        opened.type(keys)
        assert opened.process.wait(15) == 0
    [history] = Path(own_environ["MILLRACE_STATE_DIR"]).glob("*/sql_history")
    text = history.read_text(encoding="utf-8")
    assert "remembered" in text
    assert "hunter22" not in text
