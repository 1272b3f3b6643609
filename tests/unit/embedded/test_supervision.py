"""What the stack says about servers: states, log ends, purge, disk errors."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from orchestration.embedded.logs import Follower, last_lines, print_logs
from orchestration.embedded.purge import purge_instance
from orchestration.embedded.stack import TITLES, Stack, check_name, map_disk_errors
from orchestration.embedded.supervisor import ServerState
from orchestration.errors import StackError
from orchestration.settings import Settings


@pytest.mark.parametrize(
    ("state", "is_running", "has_ended"),
    [
        pytest.param("STOPPED", False, False, id="stopped"),
        pytest.param("STARTING", True, False, id="starting"),
        pytest.param("RUNNING", True, False, id="running"),
        pytest.param("BACKOFF", False, True, id="backoff"),
        pytest.param("EXITED", False, True, id="exited"),
        pytest.param("FATAL", False, True, id="fatal"),
        pytest.param("STOPPING", False, False, id="stopping"),
    ],
)
def test_states_of_supervisord(state: str, is_running: bool, has_ended: bool) -> None:
    found = ServerState("kafka", state, 1, 0.0, "")
    assert (found.is_running, found.has_ended) == (is_running, has_ended)


def test_a_stack_that_was_never_started_is_stopped(tmp_path: Path) -> None:
    stack = Stack(Settings(state_dir=tmp_path))
    assert [server.name for server in stack.status()] == list(TITLES)
    assert {server.state for server in stack.status()} == {"STOPPED"}
    assert not stack.is_up()
    assert stack.down() == 0


def test_an_unknown_server_lists_the_known_ones() -> None:
    with pytest.raises(StackError) as caught:
        check_name("zookeeper")
    assert "taskmanager" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("number", "says"),
    [
        pytest.param(errno.ENOSPC, "is full", id="full"),
        pytest.param(errno.EDQUOT, "is full", id="quota"),
        pytest.param(errno.EACCES, "cannot write", id="not-allowed"),
        pytest.param(errno.EROFS, "cannot write", id="read-only"),
    ],
)
def test_disk_errors_become_one_line_with_a_remedy(tmp_path: Path, number: int, says: str) -> None:
    with pytest.raises(StackError, match=says) as caught, map_disk_errors(tmp_path):
        raise OSError(number, "as the system says", "file")
    assert "MILLRACE_STATE_DIR" in (caught.value.hint or "")


def test_other_system_errors_are_not_disguised(tmp_path: Path) -> None:
    with pytest.raises(ProcessLookupError), map_disk_errors(tmp_path):
        raise ProcessLookupError(errno.ESRCH, "gone")


def test_last_lines_of_a_log_and_of_none(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert last_lines(path, 3) == []
    path.write_text("1\n2\n3\n4\n", encoding="utf-8")
    assert last_lines(path, 2) == ["3", "4"]
    assert last_lines(path, 0) == []


def test_following_sees_whole_lines_and_survives_rotation(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("old\n", encoding="utf-8")
    follower = Follower(path)
    with path.open("a", encoding="utf-8") as file:
        file.write("new\nhal")
    assert follower.new_lines() == ["new"]
    with path.open("a", encoding="utf-8") as file:
        file.write("f\n")
    assert follower.new_lines() == ["half"]
    path.write_text("a\n", encoding="utf-8")
    assert follower.new_lines() == ["a"]
    path.unlink()
    assert follower.new_lines() == []


def test_several_logs_are_told_apart(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.log" for name in ("kafka", "catalog")}
    for name, path in paths.items():
        path.write_text(f"of {name}\n", encoding="utf-8")
    out = io.StringIO()
    print_logs(paths, 5, out)
    assert out.getvalue() == "kafka   | of kafka\ncatalog | of catalog\n"


def checkout(tmp_path: Path) -> Path:
    """A checkout in which everything was made that running makes."""
    root = tmp_path / "checkout"
    for name in (".millrace/default/kafka", ".millrace/other", "dbt/target", "orchestration/__pycache__", ".git/x"):
        (root / name).mkdir(parents=True)
    (root / "orchestration" / "module.py").touch()
    (tmp_path / "venv").mkdir()
    (root / ".venv").symlink_to(tmp_path / "venv")
    return root


def test_purge_of_one_of_two_instances_leaves_the_rest(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    purge_instance(Settings(repo_root=root, instance="default"))
    assert not (root / ".millrace" / "default").exists()
    assert (root / ".millrace" / "other").is_dir()
    assert (root / ".venv").is_symlink()


def test_purge_of_the_last_instance_leaves_what_git_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    root = checkout(tmp_path)
    (root / ".millrace" / "other").rmdir()
    purge_instance(Settings(repo_root=root))
    assert sorted(path.name for path in root.iterdir()) == [".git", "dbt", "orchestration"]
    assert [path.name for path in (root / "orchestration").iterdir()] == ["module.py"]
    assert (tmp_path / "venv").is_dir()


def test_purge_with_state_elsewhere_does_not_touch_the_checkout(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    settings = Settings(repo_root=root, state_dir=tmp_path / "state")
    settings.instance_dir.mkdir(parents=True)
    assert purge_instance(settings) == [settings.instance_dir, settings.state_dir]
    assert (root / ".venv").is_symlink()
