"""One holder at a time; the lock goes with its holder, however it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.errors import BusyError
from orchestration.locking import hold

HOLDER = """
import sys
from pathlib import Path
from orchestration.locking import hold
with hold(Path(sys.argv[1]), "bronze.raw_rides", wait_s=1):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def start_holder(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start a process that holds the lock until its input ends."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_free_lock_is_taken_without_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    with hold(tmp_path / "locks", "bronze.raw_rides", wait_s=0, on_wait=said.append):
        assert (tmp_path / "locks" / "bronze.raw_rides.lock").is_file()
    assert said == []


def test_a_second_holder_is_refused_and_told_who_holds_it(
    tmp_path: Path, start_holder: Callable[[], subprocess.Popen[str]]
) -> None:
    process, said = start_holder(), []
    with (
        pytest.raises(BusyError) as error,
        hold(tmp_path, "bronze.raw_rides", wait_s=0, on_wait=said.append),
    ):
        pytest.fail("two holders")
    assert f"bronze.raw_rides is in use by process {process.pid}" in error.value.message
    assert error.value.is_retryable
    assert said == [f"waiting for bronze.raw_rides: held by process {process.pid}"]


def test_two_threads_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    with hold(tmp_path, "a", wait_s=0), pytest.raises(BusyError), hold(tmp_path, "a", wait_s=0):
        pytest.fail("two holders")


def test_locks_of_different_names_are_independent(tmp_path: Path) -> None:
    with hold(tmp_path, "a", wait_s=0), hold(tmp_path, "b", wait_s=0):
        pass


def test_a_waiter_gets_the_lock_when_its_holder_is_killed(
    tmp_path: Path, start_holder: Callable[[], subprocess.Popen[str]]
) -> None:
    process = start_holder()

    def kill(_: str) -> None:
        process.kill()
        process.wait()

    with hold(tmp_path, "bronze.raw_rides", wait_s=10, on_wait=kill):
        pass


def test_a_lock_is_free_again_after_an_error_in_the_block(tmp_path: Path) -> None:
    def fail() -> None:
        with hold(tmp_path, "a", wait_s=0):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with hold(tmp_path, "a", wait_s=0):
        pass


def test_a_lock_file_that_does_not_tell_its_holder_still_excludes(
    tmp_path: Path, start_holder: Callable[[], subprocess.Popen[str]]
) -> None:
    start_holder()
    (tmp_path / "bronze.raw_rides.lock").write_text("not JSON", encoding="utf-8")
    with pytest.raises(BusyError, match="another process"), hold(tmp_path, "bronze.raw_rides", wait_s=0):
        pytest.fail("two holders")
