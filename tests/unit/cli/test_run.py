"""`millrace run` and `millrace demo` over a fake pipeline."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from orchestration import pipeline
from orchestration.cli import demo, run
from orchestration.errors import InputError, UnreachableError
from orchestration.generator.sample import sample_expectation
from orchestration.lakehouse import counts as counting
from orchestration.lakehouse.counts import Counts
from orchestration.pipeline import CheckOutcome, RunFailedError, RunReport, Stage
from orchestration.settings import Settings

RUNNER = CliRunner()
REPORT = RunReport(
    run_id="12345678-0000",
    is_success=True,
    seconds=12.34,
    stages=(Stage("landing", 100, 1.0, 0.5), Stage("bronze", 95, 2.0, 1.0), Stage("silver", 80, 2.0, 1.0)),
    checks=(
        CheckOutcome("bronze/raw", "not_empty", True, True, "95 rows"),
        CheckOutcome("bronze/raw", "restarts", False, False, "1 restart"),
    ),
)
NONE = Counts(0, 0, 0, 0, 0, 0)
EXPECTED = sample_expectation(1000, 0.05)
FULL = Counts(
    EXPECTED.produced, EXPECTED.dead_lettered, EXPECTED.bronze, EXPECTED.silver, EXPECTED.duplicates, EXPECTED.rejected
)


@dataclass
class Fake:
    """A pipeline that only writes down how it was called."""

    report: RunReport = REPORT
    counts: list[Counts] = field(default_factory=lambda: [NONE, FULL])
    calls: list[tuple[Settings, dict[str, Any]]] = field(default_factory=list)
    error: BaseException | None = None


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    made = Fake()

    def run_batch(settings: Settings, **options: Any) -> RunReport:
        made.calls.append((settings, options))
        if made.error is not None:
            raise made.error
        return made.report

    monkeypatch.setenv("MILLRACE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(pipeline, "run_batch", run_batch)
    monkeypatch.setattr(run, "require_services", lambda _: None)
    monkeypatch.setattr(demo, "bring_up", lambda settings: settings)
    monkeypatch.setattr(counting, "count_layers", lambda *_: made.counts.pop(0))
    return made


def invoke(register: Callable[[typer.Typer], None], *arguments: str) -> Any:
    app = typer.Typer(rich_markup_mode=None)
    app.callback()(lambda: None)
    register(app)
    return RUNNER.invoke(app, list(arguments))


def test_run_hands_its_options_to_the_pipeline(fake: Fake, tmp_path: Path) -> None:
    file = tmp_path / "trips.parquet"
    file.touch()
    invoke(run.register, "run", "--data", str(file), "--full-refresh", "--again", "--max-events", "7")
    ((settings, options),) = fake.calls
    assert settings.max_events == 7
    assert {name: options[name] for name in ("source", "again", "full_refresh")} == {
        "source": str(file),
        "again": True,
        "full_refresh": True,
    }


def test_run_json_has_stages_and_checks(fake: Fake) -> None:
    document = json.loads(invoke(run.register, "run", "--json").stdout)
    assert document == {
        "run_id": "12345678-0000",
        "seconds": 12.34,
        "stages": [
            {"name": "landing", "rows": 100, "seconds": 1.0},
            {"name": "bronze", "rows": 95, "seconds": 2.0},
            {"name": "silver", "rows": 80, "seconds": 2.0},
        ],
        "checks": {"passed": 1, "failed": 0, "warnings": 1},
    }


def test_run_shows_the_rate_of_the_work_not_of_loading_libraries(fake: Fake) -> None:
    lines = invoke(run.register, "run").stdout.splitlines()
    assert lines[1].split() == ["landing", "100", "1.0", "s", "200/s"]


def test_a_failed_run_keeps_its_message_and_exit_code(fake: Fake) -> None:
    fake.error = RunFailedError("bronze: no disk", hint="free some", cause="JobFailedError")
    result = invoke(run.register, "run")
    assert isinstance(result.exception, RunFailedError)
    assert (result.exception.exit_code, result.exception.hint) == (4, "free some")


@pytest.mark.parametrize(
    ("cause", "code"),
    [("UnreachableError", 5), ("BusyError", 7), ("OutcomeUnknownError", 5), ("ValueError", 1), ("", 1)],
)
def test_the_exit_code_is_that_of_the_steps_error(cause: str, code: int) -> None:
    import orchestration.flink.client.failures  # noqa: F401 - defines further classes of errors

    assert RunFailedError("x", cause=cause).exit_code == code


def test_data_that_is_not_there_is_refused_before_anything_is_loaded(fake: Fake) -> None:
    assert isinstance(invoke(run.register, "run", "--data", "/none/x.parquet").exception, InputError)
    assert fake.calls == []


@pytest.mark.parametrize("data", ["s3://bucket/trips/", "/data/*.parquet"])
def test_addresses_and_globs_are_left_to_the_landing(data: str) -> None:
    assert run.absolute(data) == data


def test_a_stack_that_is_down_is_told_at_once_by_the_service_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(address: tuple[str, int], timeout: float) -> nullcontext[None]:
        if address[1] == 8181:
            raise ConnectionRefusedError(111, "Connection refused")
        return nullcontext()

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(UnreachableError) as caught:
        run.require_services(Settings())
    assert caught.value.message == "the Iceberg catalog at 127.0.0.1:8181 does not answer: Connection refused"
    assert caught.value.hint is not None
    assert "millrace up" in caught.value.hint


def test_demo_json_is_the_document_that_scripts_rely_on(fake: Fake) -> None:
    document = json.loads(invoke(demo.register, "demo", "--rows", "1000", "--json").stdout)
    assert set(document) == {"stages", "counts", "checks", "ui"}
    assert document["counts"] == FULL.as_dict()
    assert document["ui"] == "http://127.0.0.1:3000"


def test_demo_accepts_exactly_the_dead_letters_that_its_sample_has(fake: Fake) -> None:
    invoke(demo.register, "demo", "--rows", "1000")
    assert fake.calls[0][0].dlq_max == EXPECTED.dead_lettered


def test_demo_writes_its_sample_once(fake: Fake) -> None:
    invoke(demo.register, "demo", "--rows", "1000")
    path = Path(fake.calls[0][1]["source"])
    written = path.stat().st_mtime_ns
    fake.counts = [FULL, FULL]
    invoke(demo.register, "demo", "--rows", "1000")
    assert path.stat().st_mtime_ns == written
    fake.counts = [FULL, FULL]
    invoke(demo.register, "demo", "--rows", "2000")
    assert path.stat().st_mtime_ns != written


def test_demo_fails_when_an_equation_does_not_hold_and_still_prints_one_document(fake: Fake) -> None:
    fake.counts = [NONE, Counts(1000, 0, 999, 999, 0, 0)]
    result = invoke(demo.register, "demo", "--rows", "1000", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["counts"]["bronze"] == 999
    assert "produced = bronze + dead_lettered" in result.stderr


OTHER = Counts(5, 0, 5, 5, 0, 0)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        pytest.param(NONE, FULL, "✓ each number is what the sample was told to contain", id="first run"),
        pytest.param(
            FULL, FULL, "✓ each number is what the sample was told to contain; it had landed before, nothing was added",
            id="second run",
        ),
        pytest.param(
            OTHER,
            Counts(*(one + two for one, two in zip(OTHER.as_dict().values(), FULL.as_dict().values(), strict=True))),
            "✓ each number is what the sample was told to contain",
            id="on top of other data",
        ),
        pytest.param(NONE, Counts(1000, 0, 1000, 900, 50, 50), "✗ dead_lettered: 0 instead of 9", id="wrong"),
        pytest.param(
            OTHER, Counts(500, 0, 500, 500, 0, 0),
            "the sample landed in more than one run, on top of other data: not compared", id="cut off before",
        ),
    ],
)  # fmt: skip
def test_demo_compares_the_layers_with_the_sample(before: Counts, after: Counts, line: str) -> None:
    assert demo.compare(after, before, EXPECTED)[0] == line
