"""`millrace report`: what it writes, prints and opens."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from orchestration.cli import report as command
from orchestration.errors import UnreachableError
from orchestration.lakehouse.counts import Counts
from orchestration.pipeline import history
from orchestration.report import content
from orchestration.report.accounting import balance
from orchestration.report.content import Report
from orchestration.report.plots import busiest_zones, demand_by_hour, payment_mix, revenue_by_day
from orchestration.settings import Settings, load_settings

RUNNER = CliRunner()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> typer.Typer:
    """The command on an empty lakehouse, in an instance of its own."""
    monkeypatch.setenv("MILLRACE_STATE_DIR", str(tmp_path))

    def collect(settings: Settings, *_: object) -> Report:
        return Report(
            dataset="taxi",
            instance=settings.instance,
            written_at=content.datetime(2024, 1, 1, tzinfo=content.UTC),
            plots=(revenue_by_day([]), demand_by_hour([]), busiest_zones([]), payment_mix([])),
            accounting=balance(Counts(7, 0, 7, 7, 0, 0), [], waiting_for_bronze=0, waiting_for_silver=0),
            descriptions={},
            layers=(),
            tables=(),
            mart_names=dict.fromkeys(
                ("mart_daily_revenue", "mart_hourly_demand", "mart_location_performance", "fct_trips"), "a mart"
            ),
        )

    monkeypatch.setattr(content, "collect_report", collect)
    monkeypatch.setattr(history, "last_runs", lambda _: ())
    made = typer.Typer(rich_markup_mode=None)
    made.callback()(lambda: None)
    command.register(made)
    return made


def test_it_writes_to_the_instance_and_prints_where(app: typer.Typer, tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["report"])
    assert done.exit_code == 0, done.output
    path = Path(done.stdout.strip())
    assert path == load_settings().instance_dir / "report.html"
    assert path.is_relative_to(tmp_path)
    assert "holds no rows" in path.read_text(encoding="utf-8")


def test_as_json_it_prints_what_the_page_says(app: typer.Typer, tmp_path: Path) -> None:
    target = tmp_path / "here" / "page.html"
    done = RUNNER.invoke(app, ["report", "--json", "-o", str(target)])
    document = json.loads(done.stdout)
    assert document["path"] == str(target)
    assert document["accounting"]["equations"][0]["total"] == {"name": "produced", "rows": 7}
    assert document["plots"]["revenue"] == {
        "summary": "",
        "columns": ["Day", "Kind of day", "Trips", "Revenue"],
        "rows": [],
    }
    assert target.is_file()


@pytest.mark.parametrize(
    ("is_terminal", "flags", "is_opened"),
    [
        pytest.param(True, [], True, id="on a terminal"),
        pytest.param(False, [], False, id="in a pipe"),
        pytest.param(True, ["--no-open"], False, id="asked not to"),
        pytest.param(True, ["--json"], False, id="for a machine"),
    ],
)
def test_the_page_opens_for_people_alone(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, is_terminal: bool, flags: list[str], is_opened: bool
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(command, "open_page", opened.append)
    monkeypatch.setattr(command, "is_terminal", lambda: is_terminal)
    assert RUNNER.invoke(app, ["report", *flags]).exit_code == 0
    assert bool(opened) is is_opened


class Desktop(webbrowser.BaseBrowser):
    """A browser of a desktop."""

    def __init__(self) -> None:
        super().__init__("desktop")
        self.opened: list[str] = []

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        self.opened.append(url)
        return True


def test_it_opens_in_the_browser_of_the_desktop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    desktop = Desktop()
    monkeypatch.setattr(webbrowser, "get", lambda: desktop)
    command.open_page(tmp_path / "a b.html")
    assert desktop.opened == [f"{tmp_path.as_uri()}/a%20b.html"]


def test_a_browser_that_would_take_the_terminal_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("w3m"))
    command.open_page(tmp_path / "page.html")
    assert "no browser" in capsys.readouterr().err


def test_without_any_browser_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def get() -> webbrowser.BaseBrowser:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", get)
    command.open_page(tmp_path / "page.html")
    assert "no browser" in capsys.readouterr().err


def test_a_service_that_does_not_answer_leaves_the_old_page(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")

    def collect(*_: object) -> Report:
        raise UnreachableError("the catalog does not answer")

    monkeypatch.setattr(content, "collect_report", collect)
    done = RUNNER.invoke(app, ["report", "-o", str(target)])
    assert isinstance(done.exception, UnreachableError)
    assert target.read_text() == "old"
