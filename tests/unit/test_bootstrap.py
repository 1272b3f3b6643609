"""The `millrace` script, with a stand-in for uv and a PATH that holds only what a test puts there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "millrace"
TOOLS = ["sh", "dirname", "readlink", "cksum", "tr", "df", "awk", "cmp", "ln", "mkdir", "rm", "mv", "cp", "sed"]
TOOLS += ["uname", "cat", "env", "chmod"]
REAL_PYTHON = f"3.12 glibc {sys.executable}"
# Makes an environment whose python only shows what it was called with.
FAKE_UV = """#!/bin/sh
echo "$@" >> "$UV_CALLS"
case $1 in
    venv)
        for last; do :; done
        mkdir -p "$last/bin"
        printf '#!/bin/sh\\n[ "$1" = -c ] || echo "ran: $*"\\n' > "$last/bin/python"
        chmod +x "$last/bin/python" ;;
    pip) [ -z "${UV_FAILS:-}" ] || { echo 'error: registry said no' >&2; exit 2; } ;;
esac
"""


@dataclass(frozen=True)
class Machine:
    """A checkout, and a folder that is all of PATH."""

    root: Path
    bin: Path
    home: Path

    def put(self, name: str, text: str) -> None:
        """Put a command on PATH."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def put_python(self, name: str, answer: str | None) -> None:
        """Put a Python on PATH that describes itself as `answer`; None: a shim that fails."""
        self.put(name, f"#!/bin/sh\necho '{answer}'\n" if answer else "#!/bin/sh\nexit 127\n")

    def run(self, *args: str, script: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the script from another folder."""
        return subprocess.run(
            [str(script or self.root / "millrace"), *args],
            cwd=self.home,
            env={"PATH": str(self.bin), "HOME": str(self.home), "UV_CALLS": str(self.uv_calls)} | environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def uv_calls(self) -> Path:
        """File in which uv's stand-in notes its calls."""
        return self.bin.parent / "uv-calls"

    def count_uv_calls(self) -> int:
        """Return how often uv was called since the last look."""
        count = len(self.uv_calls.read_text(encoding="utf-8").splitlines()) if self.uv_calls.exists() else 0
        self.uv_calls.unlink(missing_ok=True)
        return count


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path / "check out", tmp_path / "bin", tmp_path / "home")
    for folder in (found.root, found.bin, found.home):
        folder.mkdir()
    shutil.copy(SCRIPT, found.root)
    for name in ("requirements.lock", "pyproject.toml"):
        (found.root / name).write_text("1", encoding="utf-8")
    for tool in TOOLS:
        (found.bin / tool).symlink_to(shutil.which(tool) or tool)
    found.put("uv", FAKE_UV)
    found.put_python("python3", REAL_PYTHON)
    return found


def test_the_script_is_plain_sh_and_executable() -> None:
    assert subprocess.run(["sh", "-n", str(SCRIPT)], check=False).returncode == 0
    assert os.access(SCRIPT, os.X_OK)


def test_the_first_start_installs_and_the_second_does_not(machine: Machine) -> None:
    first = machine.run("status", "--json")
    assert (first.returncode, first.stdout) == (0, "ran: -P -m orchestration.cli.main status --json\n"), first.stderr
    assert machine.count_uv_calls() > 2
    assert machine.run("up").stdout == "ran: -P -m orchestration.cli.main up\n"
    assert machine.count_uv_calls() == 0


def test_the_environment_lies_in_the_cache(machine: Machine) -> None:
    machine.run()
    target = (machine.root / ".venv").readlink()
    assert target.is_relative_to(machine.home / ".cache" / "millrace" / "venvs")


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_is_installed(machine: Machine, name: str) -> None:
    machine.run()
    machine.count_uv_calls()
    (machine.root / name).write_text("2", encoding="utf-8")
    assert machine.run().returncode == 0
    assert machine.count_uv_calls() > 0


def test_a_removed_link_is_made_again_without_installing(machine: Machine) -> None:
    machine.run()
    machine.count_uv_calls()
    (machine.root / ".venv").unlink()
    assert machine.run("up").stdout.startswith("ran:")
    assert machine.count_uv_calls() == 0


def test_a_copied_checkout_gets_an_environment_of_its_own(machine: Machine) -> None:
    machine.run()
    machine.count_uv_calls()
    copy = machine.root.with_name("copy")
    shutil.copytree(machine.root, copy, symlinks=True)
    assert machine.run(script=copy / "millrace").returncode == 0
    assert machine.count_uv_calls() > 0
    assert (copy / ".venv").readlink() != (machine.root / ".venv").readlink()


def test_it_works_through_links(machine: Machine) -> None:
    (machine.home / "direct").symlink_to(machine.root / "millrace")
    (machine.home / "relative").symlink_to("direct")
    assert machine.run("up", script=machine.home / "relative").stdout.startswith("ran:")


def test_shims_that_fail_are_passed_over(machine: Machine) -> None:
    machine.put_python("python3.13", None)
    machine.put_python("python3.12", "3.10 glibc /usr/bin/python3.10")
    assert machine.run("up").stdout.startswith("ran:")


@pytest.mark.parametrize(
    ("python", "uname", "says"),
    [
        pytest.param("", None, "no Python 3.11, 3.12 or 3.13 found (no python3 on PATH)", id="no-python"),
        pytest.param("3.9 glibc /usr/bin/python3", None, "(python3 is 3.9)", id="old-python"),
        pytest.param("3.14 glibc /usr/bin/python3", None, "(python3 is 3.14)", id="new-python"),
        pytest.param("3.12 other /usr/bin/python3", None, "another C library than glibc", id="musl"),
        pytest.param(REAL_PYTHON, ("Linux", "riscv64"), "riscv64 processors are not supported", id="processor"),
        pytest.param(REAL_PYTHON, ("FreeBSD", "x86_64"), "FreeBSD is not supported", id="system"),
    ],
)
def test_what_cannot_work_is_one_line(machine: Machine, python: str, uname: tuple[str, str] | None, says: str) -> None:
    if python:
        machine.put_python("python3", python)
    else:
        (machine.bin / "python3").unlink()
    if uname:
        machine.put("uname", f'#!/bin/sh\n[ "$1" = -s ] && echo {uname[0]} || echo {uname[1]}\n')
    done = machine.run("up")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr


def test_a_full_disk_is_said_before_installing(machine: Machine) -> None:
    machine.put("df", "#!/bin/sh\nprintf 'h\\nfs 9 9 1048576 99%% /\\n'\n")
    done = machine.run("up")
    assert (done.returncode, done.stdout) == (1, "")
    assert "only 1024 MiB are free" in done.stderr


def test_a_failed_installation_says_what_to_do_and_is_tried_again(machine: Machine) -> None:
    done = machine.run("up", UV_FAILS="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "check network, proxy, disk or mirror" in done.stderr.splitlines()[-1]
    assert machine.run("up").stdout.startswith("ran:")


def test_a_folder_that_is_not_ours_is_left_alone(machine: Machine) -> None:
    (machine.root / ".venv").mkdir()
    done = machine.run("up")
    assert done.returncode == 1
    assert "move it away" in done.stderr


def test_starts_at_once_install_once(machine: Machine) -> None:
    environ = {"PATH": str(machine.bin), "HOME": str(machine.home), "UV_CALLS": str(machine.uv_calls)}
    started = [
        subprocess.Popen([str(machine.root / "millrace"), "up"], env=environ, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert {process.communicate(timeout=60)[0] for process in started} == {"ran: -P -m orchestration.cli.main up\n"}
    assert sum(line.startswith("venv") for line in machine.uv_calls.read_text(encoding="utf-8").splitlines()) == 1
