"""The environment of the tests, and Dagster's command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from orchestration.cli import test as testing
from orchestration.cli import ui
from orchestration.errors import StackError
from orchestration.settings import Settings


def test_tests_do_not_see_the_settings_of_this_shell() -> None:
    shell = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "DAGSTER_HOME": "/x",
        "DBT_TARGET": "prod",
        "MILLRACE_INSTANCE": "two",
        "BROKER_URL": "prod:9092",
        "AWS_SECRET_ACCESS_KEY": "x",
        "MILLRACE_CACHE": "/cache",
        "PYTEST_ADDOPTS": "-x",
    }
    assert testing.clean_environment(shell) == {
        "PATH": "/bin",
        "HOME": "/home/me",
        "MILLRACE_CACHE": "/cache",
        "PYTEST_ADDOPTS": "-x",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


def test_pytest_gets_the_arguments_and_its_exit_code_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("orchestration.dbt_plugin.manifest.ensure_manifest", lambda _: tmp_path)
    (tmp_path / "test_one.py").write_text("def test_fails():\n    assert False\n", encoding="utf-8")
    assert testing.run_tests(["-q", "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path / "test_one.py")]) == 1


def test_dagster_listens_on_loopback_and_one_command_starts_both() -> None:
    settings = Settings(ui_port=3100)
    command = ui.command(settings, with_daemon=True, is_detached=False)
    assert command[:4] == [sys.executable, "-m", "dagster", "dev"]
    assert command[-6:] == ["-h", "127.0.0.1", "-p", "3100", "-m", "orchestration.definitions"]


def test_without_the_daemon_only_the_web_server_is_started() -> None:
    assert ui.command(Settings(), with_daemon=False, is_detached=False)[1:3] == ["-m", "dagster_webserver"]


def test_a_detached_server_carries_the_mark_by_which_down_finds_it(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    assert f"-Dmillrace.instance={settings.instance_dir}" in ui.command(settings, with_daemon=True, is_detached=True)


def test_a_server_that_ends_at_once_is_told_by_the_error_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "ui.log"
    log.write_text("starting\nImportError: no definitions\nbye\n", encoding="utf-8")
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"]) as process:
        process.wait()
        with pytest.raises(StackError, match="Dagster did not start: ImportError: no definitions"):
            ui.wait_until_ready(process, "http://127.0.0.1:1", log)


def test_stopping_ends_the_server_and_what_it_started() -> None:
    script = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        ui.stop(process, kill_after_s=0.2)
        assert process.poll() is not None
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_stopping_what_has_ended_does_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        ui.stop(process)
