"""The root command: global options, errors as lines, exit codes, and what it must not import."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from orchestration.cli import main as root
from orchestration.cli.commands import ENTRIES, load_command
from orchestration.errors import (
    BusyError,
    ConfigError,
    InputError,
    JobFailedError,
    JobTimeoutError,
    MillraceError,
    UnreachableError,
)

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Replaces the application: `raising(error)` makes every command raise it."""
    for name in ("MILLRACE_INSTANCE", "MILLRACE_PROFILE"):
        monkeypatch.setenv(name, "")
    return monkeypatch


def raising(patch: pytest.MonkeyPatch, error: BaseException) -> None:
    def app(**_: object) -> None:
        raise error

    patch.setattr(root, "app", app)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(["run"], ["run"], id="nothing to move"),
        pytest.param(["run", "--instance", "two"], ["--instance", "two", "run"], id="after the command"),
        pytest.param(["--instance", "two", "run"], ["--instance", "two", "run"], id="before the command"),
        pytest.param(["run", "--profile=aws", "--json"], ["--profile=aws", "run", "--json"], id="with an equals sign"),
        pytest.param(["up", "--debug"], ["--debug", "up"], id="a flag"),
        pytest.param(["duckdb", "-c", "x", "--", "--debug"], ["duckdb", "-c", "x", "--", "--debug"], id="after --"),
        pytest.param(["test", "--instance", "x"], ["test", "--instance", "x"], id="pytest's own options"),
        pytest.param(
            ["--instance", "x", "test", "-k", "--debug"], ["--instance", "x", "test", "-k", "--debug"], id="both"
        ),
        pytest.param(["config", "show", "test", "--debug"], ["--debug", "config", "show", "test"], id="a value `test`"),
        pytest.param(["run", "--instance"], ["run", "--instance"], id="without its value"),
    ],
)
def test_global_options_may_stand_after_the_command(given: list[str], expected: list[str]) -> None:
    assert root.hoist(given) == expected


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(MillraceError("x"), 1, id="any"),
        pytest.param(ConfigError("x"), 2, id="configuration"),
        pytest.param(InputError("x"), 2, id="input"),
        pytest.param(JobFailedError("x"), 4, id="job failed"),
        pytest.param(UnreachableError("x"), 5, id="unreachable"),
        pytest.param(JobTimeoutError("x"), 6, id="timeout"),
        pytest.param(BusyError("x"), 7, id="busy"),
        pytest.param(KeyboardInterrupt(), 130, id="ctrl-c"),
        pytest.param(typer.Abort(), 130, id="abort"),
        pytest.param(ValueError("odd"), 1, id="a fault of ours"),
    ],
)
def test_every_error_has_its_exit_code(failing: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    raising(failing, error)
    assert root.run(["run"]) == code


def test_an_error_is_one_line_and_a_hint_on_stderr(
    failing: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(failing, UnreachableError("the broker does not answer", hint="start the stack"))
    root.run(["run"])
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: the broker does not answer\nhint: start the stack\n")


def test_with_json_an_error_is_the_one_document_on_stdout(
    failing: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(failing, BusyError("taken", hint="wait", context={"pid": 7}))
    root.run(["run", "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "error": {
            "type": "BusyError",
            "code": "internal",
            "message": "taken",
            "hint": "wait",
            "exit_code": 7,
            "is_retryable": True,
            "context": {"pid": "7"},
        }
    }


def test_a_secret_in_an_error_does_not_reach_the_terminal(
    failing: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(failing, ValueError("password=hunter2"))
    root.run(["run"])
    assert "hunter2" not in "".join(capsys.readouterr())


def test_only_debug_shows_a_traceback(failing: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(failing, ValueError("odd"))
    root.run(["run"])
    assert "Traceback" not in capsys.readouterr().err
    root.run(["--debug", "run"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(OSError(errno.ENOSPC, "No space left", "/state/x"), "the disk is full: /state/x", id="full disk"),
        pytest.param(PermissionError(errno.EACCES, "denied", "/state/x"), "no permission: /state/x", id="forbidden"),
        pytest.param(ModuleNotFoundError("x", name="dagster"), "the package dagster is not installed", id="package"),
        pytest.param(KeyError("column"), "unexpected KeyError: 'column'", id="fault"),
    ],
)
def test_foreign_errors_become_a_line_of_ours(error: Exception, message: str) -> None:
    known = root.as_millrace_error(error)
    assert known.message == message
    assert known.hint


def test_of_a_group_of_errors_ours_is_shown() -> None:
    ours = ConfigError("x")
    group = ExceptionGroup("two", [ValueError("a"), ExceptionGroup("inner", [ours])])
    assert root.first_of(group) is ours


def test_wrong_usage_exits_with_2_and_names_the_nearest_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.run(["cuonts"]) == 2
    assert "Did you mean 'counts'" in capsys.readouterr().err


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_command_of_the_table_exists_and_has_help(entry: object) -> None:
    command = load_command(entry)  # type: ignore[arg-type]
    assert command.help or command.commands


def test_help_lists_every_command_and_imports_none_of_them() -> None:
    script = (
        "import sys; from orchestration.cli import main; code = main.run(['--help']);"
        "heavy = {'pydantic', 'dagster', 'duckdb', 'pyarrow', 'rich', 'yaml', 'confluent_kafka'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for entry in ENTRIES:
        assert (f"  {entry.name} " in done.stdout) == bool(entry.summary)


def test_a_closed_pipe_is_quiet() -> None:
    script = "from orchestration.cli.main import main; main(['--help'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_instance_and_profile_reach_the_settings_of_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILLRACE_INSTANCE", "one")
    monkeypatch.setenv("MILLRACE_PROFILE", "local")
    root.run(root.hoist(["config", "show", "--json", "--instance", "two"]))
    assert json.loads(capsys.readouterr().out)["instance"] == "two"


@pytest.mark.parametrize(
    ("arguments", "is_json"),
    [
        pytest.param(["sql", "list", "--json"], True, id="flag"),
        pytest.param(["sql", "list", "--output", "json"], True, id="option"),
        pytest.param(["sql", "list", "-o", "json"], True, id="short"),
        pytest.param(["sql", "list", "--output=json"], True, id="equals"),
        pytest.param(["sql", "list", "-o", "ndjson"], False, id="lines"),
        pytest.param(["sql", "query", "json"], False, id="word"),
    ],
)
def test_an_error_is_json_where_the_result_would_be(arguments: list[str], is_json: bool) -> None:
    assert root.asks_for_json(arguments) is is_json
