"""dbt in this process: offline, quiet, its errors as ours."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from orchestration.dbt_plugin.runner import DbtNode, DbtRun, run_dbt
from orchestration.errors import CheckFailedError, ConfigError
from orchestration.settings import Settings


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError(f"a connection was tried: {args[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_network")
def test_parse_needs_no_service_and_leaves_nothing_behind(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ)
    run = run_dbt(Settings(state_dir=tmp_path), ["parse"])
    assert run.is_success
    assert (run.command, run.nodes) == ("parse", ())
    assert dict(os.environ) == before
    assert capfd.readouterr().out == ""
    files = [h for one in logging.root.manager.loggerDict.values() for h in getattr(one, "handlers", ())]
    assert not [h for h in files if isinstance(h, logging.FileHandler) and str(tmp_path) in h.baseFilename]


def test_command_that_dbt_does_not_know_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such command 'bild'"):
        run_dbt(Settings(state_dir=tmp_path), ["bild"])


def node(name: str, status: str, message: str | None = None) -> DbtNode:
    return DbtNode(f"model.millrace.{name}", "model", status, 0.1, message)


def test_failure_names_each_failed_node_with_its_first_line() -> None:
    nodes = (node("a", "success"), node("b", "error", "Runtime Error in b\n  long story"), node("c", "skipped"))
    run = DbtRun("build", is_success=False, duration_s=1.0, nodes=nodes)
    assert [one.unique_id for one in run.failed] == ["model.millrace.b"]
    assert (run.count("success"), run.count("skipped")) == (1, 1)
    with pytest.raises(CheckFailedError) as caught:
        run.require_success()
    assert caught.value.message == "dbt build failed: model.millrace.b: Runtime Error in b"


def test_success_requires_nothing() -> None:
    DbtRun("build", is_success=True, duration_s=1.0, nodes=()).require_success()
