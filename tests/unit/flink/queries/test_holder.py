"""Whether the process that took a query still lives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta

from orchestration.flink.queries.holder import is_at_work, this_process
from tests.unit.flink.queries.records import NOW

LATER = NOW + timedelta(seconds=60)


def test_this_process_is_at_work_until_its_time_is_over() -> None:
    assert is_at_work(this_process(), LATER, NOW)
    assert not is_at_work(this_process(), NOW, NOW)


def test_nobody_is_not_at_work() -> None:
    assert not is_at_work(f"{socket.gethostname()}:999999999:0", LATER, NOW)
    assert not is_at_work(None, None, NOW)


def test_a_process_that_ended_is_not_at_work() -> None:
    program = "from orchestration.flink.queries.holder import this_process; print(this_process())"
    other = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()
    assert other != this_process()
    assert not is_at_work(other, LATER, NOW)


def test_a_process_that_nobody_reaped_is_not_at_work() -> None:
    program = "from orchestration.flink.queries.holder import this_process; print(this_process(), flush=True)"
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        name = other.stdout.read().strip()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert not is_at_work(name, LATER, NOW)
    finally:
        other.communicate()


def test_another_process_with_the_same_number_is_not_taken_for_it() -> None:
    host, pid, start = this_process().rsplit(":", 2)
    assert not is_at_work(f"{host}:{pid}:{int(start) - 60}", LATER, NOW)


def test_another_machine_is_believed_until_its_time_is_over() -> None:
    assert is_at_work("elsewhere:1:100", LATER, NOW)
    assert not is_at_work("elsewhere:1:100", NOW, LATER)
